"""Where the time goes in the runtime: how long each step of a plan takes."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bnnkit.runtime.graph import from_model
from bnnkit.runtime.memory import Memory
from bnnkit.runtime.plan import Bound, Plan

WARM_UP_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """One step.

    Attributes:
        name: Of the node that it computes.
        step: What kind of step it is.
        median_us: Microseconds, the median over the runs.
        share: Of the sum of all steps, a fraction.
    """

    name: str
    step: str
    median_us: float
    share: float


def step_times(
    model: onnx.ModelProto, images: NDArray[Any], *, threads: int = 1, runs: int = 100
) -> list[StepTime]:
    """Time each step of the runtime's plan, in order, within whole passes.

    Each is started from Python, which adds a few microseconds that a whole pass does not have.

    Args:
        model: The artifact.
        images: (N, *input_shape), of the input's dtype; all of them in one pass.
        threads: For the steps that can use them.
        runs: Passes.
    """
    plan = Plan(from_model(model))
    memory = Memory(plan.values, len(images), threads)
    np.copyto(memory.buffers[plan.graph.input], images)
    bound = [(step, Bound(memory, [step])) for step in plan.steps]
    steps = [(step, alone) for step, alone in bound if alone.stages]
    stamps = np.empty((WARM_UP_RUNS + runs, len(steps) + 1), np.int64)
    for run in stamps:
        run[0] = time.perf_counter_ns()
        for index, (_, alone) in enumerate(steps, 1):
            alone.run()
            run[index] = time.perf_counter_ns()
    medians = np.median(np.diff(stamps[WARM_UP_RUNS:], axis=1), axis=0) / 1e3
    return [
        StepTime(
            name=step.name,
            step=type(step).__name__,
            median_us=float(median),
            share=float(median / medians.sum()),
        )
        for (step, _), median in zip(steps, medians, strict=True)
    ]
