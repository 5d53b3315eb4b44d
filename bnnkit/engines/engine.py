"""The interface of everything that executes an artifact; `bnnkit.engines` lists the engines."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.artifact.format.input_batch import Batch, feeds, only_input
from bnnkit.artifact.format.sample import Sample
from bnnkit.errors import UsageError
from bnnkit.runtime.ensemble import Ensemble, Kinds, average
from bnnkit.runtime.inputs import GivenInputs, as_batch
from bnnkit.runtime.quantity import quantity

Array = NDArray[Any]


class Engine(ABC):
    """Executes the deterministic pass of an artifact.

    Args:
        artifact: What to execute.

    Attributes:
        name: A key of `bnnkit.engines.ENGINES`.
        version: The version of the package that computes.
        outputs: The names of the outputs of `run`, in order.
        input_shape: The shape of one image, in the layout of the file; of the first input if there
            are several.
        output_kinds: What each output holds, as `Artifact.output_kinds`.
    """

    name: str
    version: str

    def __init__(self, artifact: Artifact) -> None:
        self._graph = artifact.graph.without_constants
        self._fixed_batch = artifact.fixed_batch
        self.outputs = self._graph.outputs
        self.input_shape = self._graph.input_shape
        self.output_kinds = artifact.output_kinds

    @abstractmethod
    def run(self, images: Batch) -> tuple[Array, ...]:
        """Compute all outputs of the file, in its order, for inputs that `accepted` returned."""

    @abstractmethod
    def trace(self, images: Batch) -> dict[str, Array]:
        """Return all sign tensors by name: uint8 in ONNX's layout, 0 for -1 and 2 for +1."""

    def ensemble(
        self, images: Batch, config: EnsembleConfig, *, image_offset: int = 0
    ) -> Ensemble:
        """Average the outputs over samples of the noise, with their uncertainty.

        What is averaged follows what an output holds, as in `bnnkit.runtime.Model.predict`.

        Args:
            images: As in `run`.
            config: Which samples to average.
            image_offset: The number of the first image, which seeds its noise.

        Raises:
            UsageError: If samples are requested of a deterministic file, or of an engine that
                has no samples.
        """
        if config.samples != 0:
            raise UsageError(
                f"the engine {self.name} has the deterministic pass only: expected samples=0, got"
                f" {config.samples}"
            )
        return Ensemble.of_deterministic(self.output_kinds, self._quantities(self.run(images)))

    def check(self, images: Array) -> None:
        """Raise UsageError if the file does not accept the images, as `as_batch`."""
        self.accepted(images)

    def accepted(self, images: GivenInputs) -> Batch:
        """Return the inputs as `run` takes them.

        Raises:
            UsageError: If the file does not accept them, as `as_batch`.
        """
        return as_batch(images, self._graph.inputs)

    def _quantities(self, outputs: tuple[Array, ...]) -> list[Array]:
        pairs = zip(self.output_kinds, outputs, strict=True)
        return [quantity(kind, output) for kind, output in pairs]

    def _feeds(self, images: Batch) -> dict[str, Array]:
        """Return the inputs by name."""
        return feeds(self._graph.input_names, images)

    def _only(self, images: Batch) -> Array:
        """Return the only input.

        Raises:
            UnsupportedError: If the network has several.
        """
        return self._feeds(images)[only_input(self._graph.input_names, f"the engine {self.name}")]

    def _batches(self, images: Batch) -> list[Batch]:
        """Split the images into batches of the file's fixed size; one batch if the size is free.

        Raises:
            UsageError: If the images do not fill the last batch.
        """
        size = self._fixed_batch
        if size is None or len(images) == size:
            return [images]
        if len(images) % size:
            raise UsageError(
                f"the batch axis of the model is fixed at {size}: expected a multiple of {size}"
                f" images in {self.name}, got {len(images)}; export it with a free batch axis"
            )
        return [images[start : start + size] for start in range(0, len(images), size)]


class SamplingEngine(Engine):
    """An engine that also executes samples of a stochastic network.

    Attributes:
        is_stochastic: Whether the file holds a stochastic network.
    """

    def __init__(self, artifact: Artifact) -> None:
        super().__init__(artifact)
        self.is_stochastic = artifact.is_stochastic

    @abstractmethod
    def run(self, images: Batch, sample: Sample | None = None) -> tuple[Array, ...]:
        """Compute all outputs with the noise of a sample; None is the deterministic pass.

        Raises:
            UsageError: If a sample is requested of a deterministic file.
        """

    @abstractmethod
    def trace(self, images: Batch, sample: Sample | None = None) -> dict[str, Array]:
        """As `Engine.trace`, with the noise of a sample; None is the deterministic pass.

        Raises:
            UsageError: If a sample is requested of a deterministic file.
        """

    def ensemble(
        self, images: Batch, config: EnsembleConfig, *, image_offset: int = 0
    ) -> Ensemble:
        """As `Engine.ensemble`; all images get the passes that the most demanding one needs."""
        if config.samples == 0:
            return super().ensemble(images, config)
        return ensemble_of_passes(
            lambda sample: self._quantities(self.run(images, sample)),
            len(images),
            self.output_kinds,
            config,
            image_offset,
        )

    def _check_sample(self, sample: Sample | None) -> None:
        if sample is not None and not self.is_stochastic:
            raise UsageError(
                "the file is deterministic: expected no samples; a network that"
                " was trained with noise is exported with --mode samples"
            )

    def _sampled_batches(
        self, images: Batch, sample: Sample | None
    ) -> list[tuple[Batch, Sample | None]]:
        """Return `_batches`, each with the sample that begins at its first image."""
        self._check_sample(sample)
        batches: list[tuple[Batch, Sample | None]] = []
        done = 0
        for batch in self._batches(images):
            here = sample and replace(sample, image_offset=sample.image_offset + done)
            batches.append((batch, here))
            done += len(batch)
        return batches


def ensemble_of_passes(
    run: Callable[[Sample], list[Array]],
    images: int,
    kinds: Kinds,
    config: EnsembleConfig,
    image_offset: int,
) -> Ensemble:
    """Average passes over a batch.

    Args:
        run: Computes the quantity of each output for all images in one sample, (N, ...).
        images: The number of images, N.
        kinds: What each output holds.
        config: Which samples to average: at least one, or "auto" to stop when no image needs
            another.
        image_offset: The number of the first image.
    """

    def compute(positions: NDArray[np.int64], samples: Sequence[Sample]) -> list[Array]:
        passes = [run(replace(sample, image_offset=image_offset)) for sample in samples]
        outputs = zip(*passes, strict=True)
        return [np.stack(output, axis=1)[positions] for output in outputs]

    return average(compute, images, kinds, config)
