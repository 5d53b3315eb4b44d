"""A plan: the steps of a network, and their memory for one batch size and number of threads."""

from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import groupby

import numpy as np

from bnnkit.artifact.graph import Graph
from bnnkit.runtime.lowering.lower import lower
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory import Memory
from bnnkit.runtime.steps.step import KernelCall, NumpyCall, Step
from bnnkit.runtime.threads import Program, run_alone, thread_pool
from bnnkit.runtime.values import Array, Value

CHUNK_BYTES = 32 << 20
"""Buffers for as many images as fit into about this much are enough to keep the cores busy."""


class Bound:
    """Steps with all their arguments fixed, in memory of their own. One caller at a time.

    Attributes:
        memory: Where the values are.
        stages: Programs of compiled kernels, and calls of NumPy between them.
        names: The nodes' names, one for each stage.
    """

    def __init__(self, memory: Memory, steps: Sequence[Step]) -> None:
        self.memory = memory
        bound = [(step, step.bind(memory)) for step in steps]
        self.stages: list[Program | NumpyCall] = []
        for native, calls in groupby(bound, lambda pair: isinstance(pair[1], KernelCall)):
            found = [call for _, call in calls if call is not None]
            if native:
                self.stages.append(np.array(found, np.int64))
            else:
                self.stages += [call for call in found if not isinstance(call, KernelCall)]

    @property
    def nbytes(self) -> int:
        """Of its memory."""
        return self.memory.nbytes

    def run(self) -> None:
        """Compute all buffers from the input's; infinities and NaN are results, not warnings."""
        with np.errstate(all="ignore"):
            for stage in self.stages:
                if not isinstance(stage, np.ndarray):
                    stage()
                elif self.memory.threads == 1:
                    run_alone(stage)
                else:
                    thread_pool(self.memory.threads).run(stage)


class SampledBound:
    """A plan in memory for a batch and some draws of the noise. One caller at a time.

    Attributes:
        memory: Where the values are.
        shared: What does not depend on the draw.
    """

    def __init__(self, plan: "Plan", batch: int, draws: int, threads: int) -> None:
        self.memory = Memory(plan.values, batch, threads, sampled=plan.sampled, draws=draws)
        self.shared = Bound(self.memory, [s for s in plan.steps if s.target not in plan.sampled])
        self._steps = [step for step in plan.steps if step.target in plan.sampled]
        self._drawn: dict[int, Bound] = {}

    @property
    def nbytes(self) -> int:
        """Of its memory."""
        return self.memory.nbytes

    def drawn(self, draws: int) -> Bound:
        """What depends on the draw, for the first so many rows of the memory."""
        if draws not in self._drawn:
            self._drawn[draws] = Bound(self.memory.first(draws), self._steps)
        return self._drawn[draws]


class Plan:
    """What `lower` made of a graph; `bind` gives it memory."""

    def __init__(self, graph: Graph, weights: int = 0) -> None:
        """Lower the graph. The steps hold what they need of its constants, in another form.

        Args:
            graph: What to compute.
            weights: Which of the stored draws of the weights, where there are any.
        """
        builder: PlanBuilder = lower(graph, weights)
        self.graph = graph.without_constants
        self.steps = builder.steps
        self.sampled = frozenset(builder.sampled)
        self._flattened = builder.flattened
        self.values: dict[str, Value] = {
            name: value
            for name, value in builder.values.items()
            if name not in builder.padded and name not in builder.flattened
        }

    @property
    def signs(self) -> tuple[str, ...]:
        """Names of the signs that can be read, in the order of the graph."""
        names = [name for node in self.graph.nodes for name in node.outputs]
        sources = {name: self._flattened.get(name, name) for name in names}
        return tuple(
            name
            for name, source in sources.items()
            if source in self.values and self.values[source].kind == "signs"
        )

    def read(self, name: str, memory: Memory) -> Array:
        """A copy of a value as ONNX has it."""
        if name in self._flattened:
            signs = memory.onnx(self._flattened[name])
            return signs.reshape(len(signs), -1)
        return np.array(memory.onnx(name), order="C")

    def bind(self, batch: int, threads: int) -> Bound:
        """Buffers and calls for a batch."""
        return Bound(Memory(self.values, batch, threads), self.steps)

    @cached_property
    def chunk(self) -> int:
        """Images that are computed together when a batch is large."""
        return self._fitting(self.values.keys())

    @cached_property
    def chunk_of_draws(self) -> int:
        """Draws that are computed together, of one image or of several."""
        return self._fitting(self.values.keys() & self.sampled)

    def _fitting(self, names: Collection[str]) -> int:
        per_row = sum(_bytes(self.values[name]) for name in names)
        return max(1, min(64, CHUNK_BYTES // max(1, per_row)))


def _bytes(value: Value) -> int:
    buffer = value.allocate(1)
    return buffer.nbytes
