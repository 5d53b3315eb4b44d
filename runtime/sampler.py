"""Passes of a stochastic network; what does not depend on the noise is computed once."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.graph import Graph
from bnnkit.artifact.sample import Sample
from bnnkit.runtime.buffer_pool import BufferPool
from bnnkit.runtime.memory import Memory
from bnnkit.runtime.plan import Plan, SampledBound
from bnnkit.runtime.values import Array

Numbers = NDArray[np.int64]


class Sampler:
    """A stochastic network, ready for draws of its noise.

    Args:
        artifact: A stochastic one.

    Raises:
        UnsupportedError: It has an operator that the runtime lacks.
        ArtifactError: Its noise is damaged.
    """

    def __init__(self, artifact: Artifact) -> None:
        self._graph: Graph | None = artifact.graph
        self._n_weights = _stored_draws(artifact.graph)
        self._plans: dict[int, Plan] = {}
        self._pool: BufferPool[SampledBound] = BufferPool()
        self._lock = threading.Lock()
        self.plan()  # so that what is wrong is said when the file is loaded

    def weights_of(self, sample: int) -> int:
        """Which of the stored draws of the weights a sample uses."""
        return sample % self._n_weights

    def plan(self, weights: int = 0) -> Plan:
        """The plan for one of the stored draws of the weights; 0 where there are none."""
        with self._lock:
            if self._graph is not None and weights not in self._plans:
                self._plans[weights] = Plan(self._graph, weights)
                if len(self._plans) == self._n_weights:
                    self._graph = None  # the plans hold what they need, in another form
            return self._plans[weights]

    def chunk(self) -> int:
        """Images that are computed together when a batch is large."""
        return self.plan().chunk

    @contextmanager
    def prepared(
        self, images: Array, numbers: Numbers, threads: int, draws: int
    ) -> "Iterator[Drawing]":
        """Images ready to be drawn.

        Args:
            images: (N, *input_shape), N at most `chunk`.
            numbers: (N,), by which the generator counts them.
            threads: The result is the same bits for every number.
            draws: How many will be asked for at a time, at most; more are done in parts.
        """
        draws = min(draws, self.plan().chunk_of_draws)
        with ExitStack() as stack:

            def bound(weights: int) -> tuple[Plan, SampledBound]:
                plan, key = self.plan(weights), (weights, len(images), threads, draws)
                sampling = self._pool.acquire(
                    key, lambda: SampledBound(plan, len(images), draws, threads)
                )
                stack.callback(self._pool.release, key, sampling)
                np.copyto(sampling.memory.buffers[plan.graph.input], images)
                sampling.shared.run()
                return plan, sampling

            yield Drawing(numbers, draws, bound)


class Drawing:
    """Some images whose shared part is computed, until the context ends.

    Args:
        numbers: (N,), of the images.
        most: Draws of a pass.
        bound: The plan and the memory for a stored draw of the weights, its shared part done.
    """

    def __init__(
        self, numbers: Numbers, most: int, bound: Callable[[int], tuple[Plan, SampledBound]]
    ) -> None:
        self._numbers, self._most, self._bound = numbers, most, bound
        self._ready: dict[int, tuple[Plan, SampledBound]] = {}

    def run(
        self, images: Numbers, samples: Sequence[Sample], weights: int, names: Sequence[str]
    ) -> dict[str, Array]:
        """Values of some draws.

        Args:
            images: (D,): each draw's place in the batch.
            samples: D, of one seed, that all use these weights.
            weights: Which of the stored draws.
            names: Of the values.

        Returns:
            Each value, (D, ...).
        """
        if weights not in self._ready:
            self._ready[weights] = self._bound(weights)
        plan, sampling = self._ready[weights]
        parts: list[dict[str, Array]] = []
        for one in _passes(len(images), self._most):
            here = images[one]
            bound = sampling.drawn(len(here))
            bound.memory.draws.set(here, self._numbers[here], samples[one])
            bound.run()
            parts.append({name: _rows(plan, name, bound.memory, here) for name in names})
        return {name: np.concatenate([part[name] for part in parts]) for name in names}


def _rows(plan: Plan, name: str, memory: Memory, images: Numbers) -> Array:
    """A value for each draw; one that is the same for all draws of an image has a row for each."""
    value = plan.read(name, memory)
    return value if name in plan.sampled else value[images]


def _passes(count: int, most: int) -> Iterator[slice]:
    """Whole passes, and what is left in powers of two, so that few sizes have to be bound."""
    start = 0
    while start < count:
        left = count - start
        size = most if left >= most else 1 << (left.bit_length() - 1)
        yield slice(start, start + size)
        start += size


def _stored_draws(graph: Graph) -> int:
    """How many draws of the weights the file stores; 1 if it has no draws."""
    draws = {node.inputs[0] for node in graph.nodes if node.kind == "bnnkit.WeightDraw"}
    sizes = [len(graph.constants[name]) - 1 for name in draws if name in graph.constants]
    return max([1, *sizes])
