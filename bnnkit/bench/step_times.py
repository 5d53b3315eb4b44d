"""A profile of the runtime: how long each step of a plan takes.

Binary layers are compared with the peak rate of the CPU (runtime/kernels/ceiling.py). That rate is
measured between the passes, at the same clock and under the same load.
"""

import time
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.graph import Graph
from bnnkit.artifact.format.input_batch import Batch
from bnnkit.artifact.operators import operator_of_kind
from bnnkit.runtime.executable import Executable
from bnnkit.runtime.kernels.ceiling import Ceiling
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.steps.bit_sliced import BitSlicedConvolution
from bnnkit.runtime.steps.convolution import Convolution
from bnnkit.runtime.steps.step import Step
from bnnkit.runtime.threads import Program

WARM_UP_RUNS = 3
MIN_STEP_US = 0.01
"""The shortest time reported for a step; the clock cannot resolve less."""


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """The time of one step.

    Attributes:
        name: The name of the node that it computes.
        step: The kind of step.
        median_us: The median over the runs, in microseconds.
        share: The fraction of a whole pass; the shares sum to less than 1 because of time between
            the steps.
        gmacs: For a binary layer: multiplications of signs per nanosecond (GMAC/s).
        of_ceiling: The same as a fraction of the peak rate of the threads.
    """

    name: str
    step: str
    median_us: float
    share: float
    gmacs: float | None = None
    of_ceiling: float | None = None


def step_times(
    artifact: Artifact, images: Batch, *, threads: int = 1, runs: int = 100
) -> list[StepTime]:
    """Time each step of the runtime's plan, in order, in whole deterministic passes.

    Each step is started from Python. This overhead of about a microsecond is measured with an
    empty program and subtracted, so times below a microsecond are noise.

    Args:
        artifact: The artifact.
        images: The inputs of each pass, (N, ...).
        threads: The number of threads, for steps that use several.
        runs: The number of passes.
    """
    plan = Plan(artifact.deterministic.graph)
    memory = Memory(plan.values, len(images), threads)
    plan.load(images, memory)
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
    """Return a program that does nothing, for measuring the overhead of a start."""
    empty = Executable(memory, [])
    empty.stages.append(Program([]))
    return empty


def _passes(
    steps: list[Executable], empty: Executable, whole: Executable, runs: int
) -> tuple[NDArray[np.float64], float, float]:
    """Return the median microseconds of each step and of a pass, and one thread's peak rate."""
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
    return np.maximum(np.array(alone) - start, MIN_STEP_US), pass_us, float(np.median(ceilings))


def _binary_weights(graph: Graph) -> dict[str, tuple[int, ...]]:
    """Return the weight shapes of the binary layers, by the node's name."""
    layers = ((node, operator_of_kind(node.kind)) for node in graph.nodes)
    return {
        node.name: tuple(node.attributes["weight_shape"])
        for node, operator in layers
        if operator is not None
        and operator.layer == "binary"
        and "weight_shape" in node.attributes
    }


def _macs(step: Step, shapes: dict[str, tuple[int, ...]]) -> int:
    """Count multiplications of signs for one image; a step is one group of a convolution."""
    if not isinstance(step, Convolution | BitSlicedConvolution) or step.name not in shapes:
        return 0
    return step.channels * prod(shapes[step.name][1:]) * prod(step.window.output)


def _speed(macs: int, us: float, ceiling: float) -> dict[str, float]:
    if not macs:
        return {}
    gmacs = macs / us / 1e3
    return {"gmacs": float(gmacs), "of_ceiling": float(gmacs / ceiling)}
