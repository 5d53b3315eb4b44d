"""Sampled passes of a stochastic network: its plans, its memory, and batches of samples."""

import threading
from collections.abc import Hashable, Sequence

import numpy as np

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.graph import Graph
from bnnkit.artifact.format.input_batch import Batch
from bnnkit.artifact.format.sample import Sample
from bnnkit.runtime.memory.buffer_pool import BufferPool
from bnnkit.runtime.memory.fork import renewed_after_fork
from bnnkit.runtime.memory.shared_weights import SharedWeights
from bnnkit.runtime.memory.values import Array, Integers
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.quantity import quantity
from bnnkit.runtime.shared_state import SharedState


class Sampler:
    """A stochastic network: one plan for each stored draw of its weights, and idle memory.

    Args:
        artifact: A stochastic network, exported with --mode samples.
        shared: Weights of all plans of the network.

    Attributes:
        kinds: What each output holds.

    Raises:
        UnsupportedError: If it has an operator that the runtime lacks.
        ArtifactError: If its noise is damaged.
    """

    def __init__(self, artifact: Artifact, shared: SharedWeights) -> None:
        self.kinds = artifact.output_kinds
        self._graph: Graph | None = artifact.graph
        self._n_weight_draws = count_weight_draws(artifact.graph)
        self._plans: dict[int, Plan] = {}
        self._shared = shared
        self.renew_after_fork()
        renewed_after_fork(self)
        self.states: BufferPool[SharedState] = BufferPool()
        self.plan()  # a damaged file is refused when it is loaded

    def renew_after_fork(self) -> None:
        """Renew the lock (fork.py)."""
        self._lock = threading.Lock()

    def weight_draw(self, sample: Sample) -> int:
        """Return the index of the stored draw of the weights that a sample uses."""
        return sample.index % self._n_weight_draws

    def plan(self, weight_draw: int = 0) -> Plan:
        """Return the plan of a stored draw of the weights; 0 where none are stored."""
        with self._lock:
            if self._graph is not None and weight_draw not in self._plans:
                self._plans[weight_draw] = Plan(self._graph, weight_draw, self._shared)
                if len(self._plans) == self._n_weight_draws:
                    self._graph = None  # the plans hold what they need, in another form
            return self._plans[weight_draw]


class SampleBatch:
    """Samples of a batch of images, as a SampleFn (ensemble.py) or by the names of values.

    Use it as a context manager: memory is taken at the first sample and given back at the end.

    Args:
        sampler: The network.
        images: The inputs (N, ...), N at most `sampler.plan().chunk`.
        numbers: (N,), image numbers in the generator's counters.
        threads: Number of threads.
    """

    def __init__(self, sampler: Sampler, images: Batch, numbers: Integers, threads: int) -> None:
        self._sampler = sampler
        self._images = images
        self._numbers = numbers
        self._threads = threads
        self._states: dict[int, tuple[Hashable, SharedState]] = {}

    def __enter__(self) -> "SampleBatch":
        return self

    def __exit__(self, *_: object) -> None:
        for key, state in self._states.values():
            self._sampler.states.release(key, state)
        self._states.clear()

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self._images)

    def __call__(self, images: Integers, samples: Sequence[Sample]) -> list[Array]:
        """Compute the quantity (runtime/quantity.py) of each output.

        Args:
            images: (I,), positions of images in the batch.
            samples: S samples, all of one seed.

        Returns:
            (I, S, ...) for each output.
        """
        by_weight_draw: dict[int, list[int]] = {}
        for index, sample in enumerate(samples):
            by_weight_draw.setdefault(self._sampler.weight_draw(sample), []).append(index)
        found: dict[int, list[Array]] = {}
        for weight_draw, indices in by_weight_draw.items():
            outputs = self._outputs(weight_draw, images, [samples[index] for index in indices])
            for column, index in enumerate(indices):
                found[index] = [output[:, column] for output in outputs]
        in_order = [found[index] for index in range(len(samples))]
        return [np.stack(parts, axis=1) for parts in zip(*in_order, strict=True)]

    def _outputs(
        self, weight_draw: int, images: Integers, samples: Sequence[Sample]
    ) -> list[Array]:
        """Compute the quantities of samples that use the same draw, (I, S, ...) per output."""
        plan = self._sampler.plan(weight_draw)
        names, rows = plan.graph.outputs, np.repeat(images, len(samples))
        computed = self._compute(weight_draw, rows, [*samples] * len(images), names)
        values = plan.for_each_row(computed, len(rows))
        found = []
        for name, kind in zip(names, self._sampler.kinds, strict=True):
            one = quantity(kind, values[name])
            found.append(one.reshape(len(images), len(samples), *one.shape[1:]))
        return found

    def values(self, sample: Sample, names: Sequence[str] | None) -> dict[str, Array]:
        """Compute values of one sample of every image.

        Args:
            sample: The sample.
            names: Names of the values; None for all signs.

        Returns:
            Each value in ONNX's layout, (N, ...).
        """
        n = len(self._images)
        weight_draw = self._sampler.weight_draw(sample)
        if names is None:
            names = self._sampler.plan(weight_draw).signs
        return self._compute(weight_draw, np.arange(n), [sample] * n, names)

    def _compute(
        self, weight_draw: int, rows: Integers, samples: Sequence[Sample], names: Sequence[str]
    ) -> dict[str, Array]:
        """Compute values of rows that all use the same draw of the weights."""
        if weight_draw not in self._states:
            self._states[weight_draw] = self._take_state(weight_draw, len(rows))
        _, state = self._states[weight_draw]
        return state.compute(rows, samples, names)

    def _take_state(self, weight_draw: int, rows: int) -> tuple[Hashable, SharedState]:
        """Take memory for up to `rows` rows from the pool and load the images."""
        plan, n = self._sampler.plan(weight_draw), len(self._images)
        rows = min(rows, plan.chunk_of_rows)
        key = (weight_draw, n, self._threads, rows)
        state = self._sampler.states.acquire(
            key, lambda: SharedState(plan, n, rows, self._threads)
        )
        state.load(self._images, self._numbers)
        return key, state


def count_weight_draws(graph: Graph) -> int:
    """Count the stored draws of the weights; 1 where only the most probable ones are stored."""
    names = {node.inputs[0] for node in graph.nodes if node.kind == "bnnkit.WeightDraw"}
    sizes = [len(graph.constants[name]) - 1 for name in names if name in graph.constants]
    return max([1, *sizes])
