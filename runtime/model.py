"""A loaded network: `load`, `Model.run`, `Model.predict`, `Model.ensemble`."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.ensemble_config import (
    DEFAULT_ERROR_RATE,
    DEFAULT_MAX_SAMPLES,
    EnsembleConfig,
    Samples,
)
from bnnkit.artifact.graph import Graph
from bnnkit.artifact.sample import Sample
from bnnkit.errors import ArtifactError, BnnkitError, UnsupportedError, UsageError
from bnnkit.runtime.buffer_pool import BufferPool
from bnnkit.runtime.ensemble import LOOK, Draw, Ensemble, adaptive, fixed
from bnnkit.runtime.inputs import check_inputs
from bnnkit.runtime.open_file import read
from bnnkit.runtime.plan import Bound, Plan
from bnnkit.runtime.probabilities import probabilities
from bnnkit.runtime.sampler import Sampler
from bnnkit.runtime.threads import check_threads
from bnnkit.runtime.values import Array


def load(path: Path | str) -> "Model":
    """Load a MODEL.onnx, or a .tflite of Larq Compute Engine, and plan how to run it.

    A .tflite keeps its own layout, maps (N, H, W, C), with a free batch.

    Raises:
        ArtifactError: The file is missing, truncated, no ONNX file, or of a newer format.
        UnsupportedError: It has an operator that the runtime lacks.
    """
    artifact = read(path)
    try:
        return Model(artifact)
    except UnsupportedError as error:
        raise UnsupportedError(f"{path}: {error}") from error
    except BnnkitError as error:
        raise ArtifactError(f"{path}: {error}") from error
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error


class Model:
    """A network ready to run. Several threads may call it at the same time.

    Attributes:
        graph: What the deterministic pass computes.
        metadata: What bnnkit wrote about it: classes, data set, accuracy, ...
        is_stochastic: Whether the file holds the noise too, so that it can be sampled.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.metadata = artifact.metadata
        self.is_stochastic = artifact.is_stochastic
        self._sampler = Sampler(artifact) if self.is_stochastic else None
        self._plan = Plan(artifact.deterministic.graph)
        self.graph: Graph = self._plan.graph
        self._chunk = self._plan.chunk
        self._pool: BufferPool[Bound] = BufferPool()

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, such as (C, H, W)."""
        return self.graph.input_shape

    @property
    def input_dtype(self) -> np.dtype[Any]:
        """Element type of the input: uint8 for images."""
        return self.graph.input_dtype

    def run(self, images: Array, *, threads: int = 1) -> Array | tuple[Array, ...]:
        """One deterministic pass.

        Args:
            images: (N, *input_shape), of input_dtype; N is free.
            threads: The result is the same bits for every number.

        Returns:
            The file's own output, such as scores (N, K); a tuple where it has several.

        Raises:
            UsageError: Wrong shape or dtype, NaN, or no threads.
        """
        return self._outputs(self._compute(images, threads, self.graph.outputs))

    def run_sample(
        self, images: Array, sample: Sample, *, threads: int = 1
    ) -> Array | tuple[Array, ...]:
        """One pass with one sample of the noise.

        Args:
            images: As in `run`.
            sample: Which random numbers; the same bits in every engine, for any batch.
            threads: The result is the same bits for every number.

        Returns:
            As `run`.

        Raises:
            UsageError: As `run`, or the file is deterministic.
        """
        return self._outputs(self._draw(images, sample, threads, self.graph.outputs))

    def predict(
        self,
        images: Array,
        *,
        samples: Samples = 0,
        seed: int = 0,
        threads: int = 1,
        antithetic: bool = False,
        max_samples: int = DEFAULT_MAX_SAMPLES,
        error_rate: float = DEFAULT_ERROR_RATE,
        image_offset: int = 0,
    ) -> NDArray[np.float32]:
        """Class probabilities, the mean over samples of the noise: those of `ensemble`.

        Args:
            images: (N, *input_shape), of input_dtype.
            samples: As in `EnsembleConfig`; so are seed, antithetic and error_rate.
            seed: Of the noise; without samples it changes nothing.
            threads: The result is the same bits for every number.
            antithetic: Less variance of the mean for the same price, mostly.
            max_samples: Of "auto": the whole ensemble.
            error_rate: Of "auto".
            image_offset: As in `ensemble`.

        Returns:
            float32, (N, K), rows sum to 1.

        Raises:
            UsageError: As `ensemble`.
        """
        config = EnsembleConfig(
            samples=samples,
            seed=seed,
            antithetic=antithetic,
            error_rate=error_rate,
            max_samples=max_samples,
        )
        return self.ensemble(
            images, config, threads=threads, image_offset=image_offset
        ).probabilities

    def ensemble(
        self, images: Array, config: EnsembleConfig, *, threads: int = 1, image_offset: int = 0
    ) -> Ensemble:
        """Class probabilities averaged over samples of the noise, and how unsure they are.

        The probabilities of a sample are the softmax of the first output, or that output where it
        is probabilities already.

        Args:
            images: (N, *input_shape), of input_dtype.
            config: Which samples to average. Deciding when "auto" stops takes some microseconds an
                image: for small networks ten samples are faster.
            threads: The result is the same bits for every number.
            image_offset: The number of the first image; a part of a larger batch gives the same
                bits when it says where it begins.

        Raises:
            UsageError: As `run`; the numbers of the images are out of their range; or samples are
                asked of a deterministic file.
        """
        if config.samples == 0:
            first = self.graph.outputs[0]
            scores = self._compute(images, threads, (first,))[first]
            return Ensemble.of_deterministic(probabilities(self.graph, scores))
        if not self.is_stochastic:
            raise UsageError(
                f"the file is deterministic: expected samples=0, got {config.samples!r}; a"
                " network that was trained with noise is exported with --mode samples"
            )
        sampler, numbers = self._ready(images, threads, image_offset)
        return Ensemble.joined(
            [
                self._average(sampler, config, images[piece], numbers[piece], threads)
                for piece in _chunks(len(images), sampler.chunk())
            ]
        )

    def _average(
        self,
        sampler: Sampler,
        config: EnsembleConfig,
        images: Array,
        numbers: NDArray[np.int64],
        threads: int,
    ) -> Ensemble:
        """The ensemble of images that are computed together."""
        n, samples = len(images), config.samples
        at_a_time = min(config.max_samples, LOOK) if samples == "auto" else samples
        with sampler.prepared(images, numbers, threads, n * at_a_time) as drawing:
            draw = Draw(
                sampler=sampler,
                drawing=drawing,
                output=self.graph.outputs[0],
                probabilities=partial(probabilities, self.graph),
                seed=config.seed,
                antithetic=config.antithetic,
            )
            if samples == "auto":
                return adaptive(draw, n, config.max_samples, config.error_rate)
            return fixed(draw, n, samples)

    def trace(
        self, images: Array, *, threads: int = 1, sample: Sample | None = None
    ) -> dict[str, Array]:
        """Signs inside the network, by the name of the value, in ONNX's layout.

        Args:
            images: (N, *input_shape), of input_dtype.
            threads: The result is the same bits for every number.
            sample: Of the noise; None for the deterministic pass.

        Returns:
            uint8, (N, C, H, W) or (N, F), 0 is -1 and 2 is +1. Signs that a kernel consumes at
            once, before a maximum or with a padding, are not there: they never reach memory.
        """
        if sample is not None:
            return self._draw(images, sample, threads, None)
        return self._compute(images, threads, self._plan.signs)

    def _outputs(self, values: dict[str, Array]) -> Array | tuple[Array, ...]:
        results = tuple(values[name] for name in self.graph.outputs)
        return results[0] if len(results) == 1 else results

    def _draw(
        self, images: Array, sample: Sample, threads: int, names: tuple[str, ...] | None
    ) -> dict[str, Array]:
        """Values of one sample of each image; all signs where no names are given."""
        sampler, numbers = self._ready(images, threads, sample.image_offset)
        weights = sampler.weights_of(sample.index)
        names = sampler.plan(weights).signs if names is None else names
        parts = []
        for piece in _chunks(len(images), sampler.chunk()):
            here, n = images[piece], len(images[piece])
            with sampler.prepared(here, numbers[piece], threads, n) as drawing:
                parts.append(drawing.run(np.arange(n), [sample] * n, weights, names))
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _ready(
        self, images: Array, threads: int, image_offset: int
    ) -> tuple[Sampler, NDArray[np.int64]]:
        """What samples, and the numbers of the images, when all arguments are right."""
        if self._sampler is None:
            raise UsageError(
                "the file is deterministic: expected no sample; a network that"
                " was trained with noise is exported with --mode samples"
            )
        check_inputs(images, self.input_shape, self.input_dtype)
        check_threads(threads)
        last = Sample(image_offset=image_offset).image_offset + len(images) - 1
        if last >= 2**32:
            raise UsageError(f"expected images up to number 2^32 - 1, the last one is {last}")
        return self._sampler, np.arange(image_offset, last + 1)

    def _compute(self, images: Array, threads: int, names: tuple[str, ...]) -> dict[str, Array]:
        check_inputs(images, self.input_shape, self.input_dtype)
        check_threads(threads)
        parts = [
            self._one(images[piece], threads, names) for piece in _chunks(len(images), self._chunk)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in names}

    def _one(self, images: Array, threads: int, names: tuple[str, ...]) -> dict[str, Array]:
        key = (len(images), threads)
        bound = self._pool.acquire(key, lambda: self._plan.bind(*key))
        try:
            np.copyto(bound.memory.buffers[self.graph.input], images)
            bound.run()
            return {name: self._plan.read(name, bound.memory) for name in names}
        finally:
            self._pool.release(key, bound)


def _chunks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, start + size)
