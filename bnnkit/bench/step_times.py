"""Where the time goes in the runtime: how long each step of a plan takes.

Binary layers are compared with the ceiling of the CPU (runtime/kernels/ceiling.py), which is
measured between the passes, so that it has the same clock and the same neighbours.
"""

import time
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.graph import Graph
from bnnkit.artifact.operators import operator_of_kind
from bnnkit.runtime.executable import Executable
from bnnkit.runtime.kernels.ceiling import Ceiling
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.steps.convolution import Convolution
from bnnkit.runtime.steps.step import Step

WARM_UP_RUNS = 3
LEAST_US = 0.01
"""What a step takes at least: a clock cannot tell less."""


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """One step.

    Attributes:
        name: Of the node that it computes.
        step: What kind of step it is.
        median_us: Microseconds, the median over the runs.
        share: Of a whole pass, a fraction; what all steps lack to 1 is in none of them.
        gmacs: Multiplications of signs in a nanosecond, of a binary layer.
        of_ceiling: The same as a fraction of what the threads could do at most.
    """

    name: str
    step: str
    median_us: float
    share: float
    gmacs: float | None = None
    of_ceiling: float | None = None


def step_times(
    artifact: Artifact, images: NDArray[Any], *, threads: int = 1, runs: int = 100
) -> list[StepTime]:
    """Time each step of the runtime's plan, in order, within whole deterministic passes.

    Each is started from Python. What that takes is measured with an empty program, and subtracted;
    it is about a microsecond, and times below that are noise.

    Args:
        artifact: The artifact.
        images: (N, *input_shape), of the input's dtype; all of them in one pass.
        threads: For the steps that can use them.
        runs: Passes.
    """
    plan = Plan(artifact.deterministic.graph)
    memory = Memory(plan.values, len(images), threads)
    np.copyto(memory.buffers[plan.graph.input], images)
    bound = [(step, Executable(memory, [step])) for step in plan.steps]
    steps = [(step, alone) for step, alone in bound if alone.stages]
    whole = Executable(memory, plan.steps)
    times, pass_us, ceiling = _passes([alone for _, alone in steps], _empty(memory), whole, runs)
    shapes = _binary_weights(plan.graph)
    return [
        StepTime(
            name=step.name,
            step=type(step).__name__,
            median_us=float(us),
            share=float(us / pass_us),
            **_speed(len(images) * _macs(step, shapes), us, ceiling * threads),
        )
        for (step, _), us in zip(steps, times, strict=True)
    ]


def _empty(memory: Memory) -> Executable:
    """A program that does nothing, started as all others are."""
    empty = Executable(memory, [])
    empty.stages.append(np.empty((0, 2), np.int64))
    return empty


def _passes(
    steps: list[Executable], empty: Executable, whole: Executable, runs: int
) -> tuple[NDArray[np.float64], float, float]:
    """Median microseconds of each step and of a whole pass, and the ceiling of one thread."""
    ceiling = Ceiling()
    stamps = np.empty((WARM_UP_RUNS + runs, len(steps) + 3), np.int64)
    ceilings = []
    for run in stamps:
        ceilings.append(ceiling.sample())
        run[0] = time.perf_counter_ns()
        for index, bound in enumerate([*steps, empty, whole], 1):
            bound.run()
            run[index] = time.perf_counter_ns()
    times = np.median(np.diff(stamps[WARM_UP_RUNS:], axis=1), axis=0) / 1e3
    *alone, start, pass_us = times
    return np.maximum(np.array(alone) - start, LEAST_US), pass_us, float(np.median(ceilings))


def _binary_weights(graph: Graph) -> dict[str, tuple[int, ...]]:
    """The shapes of weights that meet signs, by the node's name."""
    layers = ((node, operator_of_kind(node.kind)) for node in graph.nodes)
    return {
        node.name: tuple(node.attributes["weight_shape"])
        for node, operator in layers
        if operator is not None and operator.layer == "binary"
    }


def _macs(step: Step, shapes: dict[str, tuple[int, ...]]) -> int:
    """Multiplications of signs for one image; a step is one group of a convolution."""
    if not isinstance(step, Convolution) or step.name not in shapes:
        return 0
    return step.channels * prod(shapes[step.name][1:]) * prod(step.window.output)


def _speed(macs: int, us: float, ceiling: float) -> dict[str, float]:
    if not macs:
        return {}
    gmacs = macs / us / 1e3
    return {"gmacs": float(gmacs), "of_ceiling": float(gmacs / ceiling)}
