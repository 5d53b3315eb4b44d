"""Layers that pool their sums before they store them, which needs a quarter of the memory.

The runtime stores integer sums, converts them to float32, and takes the maximum of 2x2 pixels. The
conversion is exact and monotone, so the exported C takes the maximum first.
"""

from dataclasses import replace

from bnnkit.runtime.kernels import reals
from bnnkit.runtime.memory.values import Value
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.steps.convolution import Convolution
from bnnkit.runtime.steps.real import Chain, PoolReals
from bnnkit.runtime.steps.step import Step
from bnnkit.runtime.steps.window import KernelWindow


def with_pooled_sums(plan: Plan) -> tuple[list[Step], dict[str, Value]]:
    """Return the steps of a plan with such layers, and its values."""
    steps, values = list(plan.steps), dict(plan.values)
    for layer in plan.steps:
        cast = _sole_reader(plan, layer.target)
        pool = _sole_reader(plan, cast.target) if cast is not None else None
        if not (isinstance(layer, Convolution) and isinstance(cast, Chain)):
            continue
        if isinstance(pool, PoolReals) and _can_pool(plan, layer, cast, pool):
            steps[steps.index(layer)] = replace(layer, pools=True)
            steps[steps.index(cast)] = replace(cast, target=pool.target)
            steps.remove(pool)
            shape = values[layer.target].map[0], *pool.window.output
            values[layer.target] = replace(values[layer.target], shape=shape)
    return steps, values


def _can_pool(plan: Plan, layer: Convolution, cast: Chain, pool: PoolReals) -> bool:
    is_sums = plan.values[layer.target].kind == "sums" and not layer.pools
    is_cast = [code for code, _ in cast.operations] == [reals.CAST] and cast.signs is None
    rows, columns = layer.window.output
    plain = KernelWindow(
        size=(2, 2),
        stride=(2, 2),
        dilation=(1, 1),
        padding=(0, 0),
        output=(rows // 2, columns // 2),
    )
    writers = sum(step.target == layer.target for step in plan.steps)
    return is_sums and is_cast and pool.is_maximum and pool.window == plain and writers == 1


def _sole_reader(plan: Plan, name: str) -> Step | None:
    """Return the only step that reads a value; None if there are more, or it is an output."""
    readers = [step for step in plan.steps if name in _sources(step)]
    is_output = any(plan.stored_as(output) == name for output in plan.graph.outputs)
    return readers[0] if len(readers) == 1 and not is_output else None


def _sources(step: Step) -> list[str]:
    """Return the values that a step reads."""
    found = [getattr(step, "source", None), *getattr(step, "sources", ())]
    found += [operand for _, operand in getattr(step, "operations", ())]
    return [name for name in found if isinstance(name, str)]
