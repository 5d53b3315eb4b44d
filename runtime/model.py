"""A loaded network: `load`, `Model.run`, `Model.predict`, `Model.classify`, `Model.ensemble`."""

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.ensemble_config import (
    DEFAULT_ERROR_RATE,
    DEFAULT_MAX_SAMPLES,
    EnsembleConfig,
    Samples,
)
from bnnkit.artifact.format.graph import Graph, Input
from bnnkit.artifact.format.input_batch import Batch
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.packable import packing_hint
from bnnkit.border import border
from bnnkit.errors import ArtifactError, BnnkitError, UnsupportedError, UsageError
from bnnkit.images.preprocessing import Preprocessing
from bnnkit.runtime.classification import Classification, classifications
from bnnkit.runtime.ensemble import Ensemble, average
from bnnkit.runtime.executable import Executable
from bnnkit.runtime.image_inputs import IMAGES_AT_ONCE, NetworkInput, inputs_of
from bnnkit.runtime.inputs import GivenInputs, as_batch
from bnnkit.runtime.lowering.check_network import check_network
from bnnkit.runtime.memory.buffer_pool import BufferPool
from bnnkit.runtime.memory.free_memory import give_back_free_memory
from bnnkit.runtime.memory.shared_weights import SharedWeights
from bnnkit.runtime.memory.values import Array
from bnnkit.runtime.open_file import parse, read
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.quantity import quantity
from bnnkit.runtime.renamed_keywords import renamed_keywords
from bnnkit.runtime.sampler import SampleBatch, Sampler
from bnnkit.runtime.threads import check_threads

_RUNNING = border(ArtifactError, "running the model")


def load(path: Path | str) -> "Model":
    """Load a MODEL.onnx, or a .tflite file of Larq Compute Engine, and plan its execution.

    A .tflite file keeps its own layout, maps (N, H, W, C). The batch size is free.

    A plain ONNX file with binary weights runs in float; a warning says that `bnnkit convert` packs
    it.

    Raises:
        ArtifactError: If the file is missing, truncated, not ONNX, or of a newer format.
        UnsupportedError: If it has an operator that the runtime lacks.
    """
    artifact = read(path)
    with border(ArtifactError, path):
        try:
            model, hint = Model(artifact), packing_hint(artifact, str(path))
        except UnsupportedError as error:
            raise UnsupportedError(f"{path}: {error}") from error
        except BnnkitError as error:
            raise ArtifactError(f"{path}: {error}") from error
    if hint is not None:
        warnings.warn(hint, stacklevel=2)
    del artifact
    give_back_free_memory()
    return model


def _restored(kind: type["Model"], content: bytes) -> "Model":
    """Return the model of a file's content, when it is unpickled or copied."""
    return kind(parse(content, "the copied model"))


class Model:
    """A network that is ready to run. Thread-safe.

    It can be pickled and copied by `copy.deepcopy`, and so goes to worker processes: it travels as
    the content of its file, and the copy has memory and threads of its own.

    Attributes:
        graph: Graph of the deterministic pass.
        metadata: Metadata in the file: classes, data set, accuracy, ...
        is_stochastic: Whether the file holds the noise, so that it can be sampled.
        output_kinds: What each output holds, such as "scores", which decides what `predict`
            averages (docs/artifact.md, Outputs).
    """

    def __init__(self, artifact: Artifact) -> None:
        self.metadata = artifact.metadata
        self.is_stochastic = artifact.is_stochastic
        check_network(artifact)
        self.output_kinds = artifact.output_kinds
        shared = SharedWeights()
        self._sampler = Sampler(artifact, shared) if self.is_stochastic else None
        self._plan = Plan(artifact.deterministic.graph, shared=shared)
        self.graph: Graph = self._plan.graph
        self._pool: BufferPool[Executable] = BufferPool()
        self._channels_last = artifact.tflite_source is not None
        self._content = artifact.tflite_source or artifact.onnx_source or artifact.to_bytes()

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self._content)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the first input without the batch, such as (C, H, W)."""
        return self.graph.input_shape

    @property
    def input_dtype(self) -> np.dtype[Any]:
        """Element type of the first input, uint8 for images."""
        return self.graph.input_dtype

    @property
    def inputs(self) -> tuple[Input, ...]:
        """Name, element type and shape without the batch of each input."""
        return self.graph.inputs

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the outputs, in the order of the tuple that `run` returns."""
        return self.graph.outputs

    def run(self, images: GivenInputs, *, threads: int = 1) -> Array | tuple[Array, ...]:
        """Compute one deterministic pass.

        Args:
            images: (N, *input_shape), of input_dtype; N is free. If the network has several
                inputs: a tuple of arrays (N, ...) in the order of `inputs`, or a dict by name.
            threads: Number of threads. The result is bit-equal for every number.

        Returns:
            The file's own output, such as scores (N, K); a tuple if it has several outputs, in the
            order of `output_names`. An output that does not depend on the images is as in the
            file, without N.

        Raises:
            UsageError: If shape, dtype or number of threads is wrong, the input is not finite, or
                an index among the inputs is out of range.
        """
        with _RUNNING:
            batch = as_batch(images, self.inputs)
            return self._outputs(self._compute(batch, threads, self.graph.outputs))

    def run_sample(
        self, images: GivenInputs, sample: Sample, *, threads: int = 1
    ) -> Array | tuple[Array, ...]:
        """Compute one pass with one sample of the noise.

        Args:
            images: As in `run`.
            sample: Which random numbers to use. The result is bit-equal in every engine and for
                every batch size.
            threads: Number of threads. The result is bit-equal for every number.

        Returns:
            As `run`.

        Raises:
            UsageError: As `run`, or if the file is deterministic.
        """
        with _RUNNING:
            batch = as_batch(images, self.inputs)
            return self._outputs(self._compute_sample(batch, sample, threads, self.graph.outputs))

    @renamed_keywords(most_samples="max_samples", error="error_rate")
    def predict(
        self,
        images: GivenInputs,
        *,
        samples: Samples = 0,
        seed: int = 0,
        threads: int = 1,
        antithetic: bool = False,
        max_samples: int = DEFAULT_MAX_SAMPLES,
        error_rate: float = DEFAULT_ERROR_RATE,
        image_offset: int = 0,
    ) -> Any:  # an array, or a tuple of several
        """Compute class probabilities, the mean over samples of the noise.

        If an output does not hold class scores, the result is what it holds (`output_kinds`):
        class probabilities are averaged as they are, or as exponentials of their logarithms;
        probabilities of labels (a final sigmoid) each on its own, and log-odds as their sigmoid;
        real values as they are; of integers the most frequent value is returned. Outputs without
        a final softmax or sigmoid are class scores if they have the form (N, K) with K > 1, and
        real values else; `Metadata(outputs=...)` says in an export what the graph does not show.

        Args:
            images: As in `run`.
            samples: Number of samples, or "auto"; 0 is the deterministic pass.
            seed: Seed of the noise.
            threads: Number of threads. The result is bit-equal for every number.
            antithetic: As in `EnsembleConfig`; so are max_samples and error_rate.
            max_samples: For "auto": size of the whole ensemble.
            error_rate: For "auto": accepted probability of another class.
            image_offset: As in `ensemble`.

        Returns:
            Class probabilities float32 (N, K), whose rows sum to 1. Of other outputs their mean,
            in the shape of the output; a tuple if the file has several outputs.

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
        ensemble = self.ensemble(images, config, threads=threads, image_offset=image_offset)
        means = tuple(output.mean for output in ensemble.outputs)
        return means[0] if len(means) == 1 else means

    def ensemble(
        self,
        images: GivenInputs,
        config: EnsembleConfig,
        *,
        threads: int = 1,
        image_offset: int = 0,
    ) -> Ensemble:
        """Average the outputs over samples of the noise, with uncertainties.

        The probabilities of a sample are the softmax of class scores. What else an output can
        hold, and what is averaged then, is said in `predict`; real values come with their spread.

        Args:
            images: As in `run`.
            config: Which samples to average. Deciding when "auto" stops takes some microseconds an
                image: for small networks ten samples are faster. Real values and integers have
                no class that becomes safe: they get all `max_samples`.
            threads: Number of threads. The result is bit-equal for every number.
            image_offset: Number of the first image. Part of a larger batch gives the same bits if
                it states where it begins.

        Raises:
            UsageError: As `run`; or if image numbers exceed 2^32 - 1; or if samples are asked of a
                deterministic file.
        """
        with _RUNNING:
            return self._ensemble(as_batch(images, self.inputs), config, threads, image_offset)

    def classify(
        self,
        images: object,
        *,
        top: int = 5,
        samples: Samples = 0,
        seed: int = 0,
        threads: int = 1,
        preprocessing: Preprocessing | None = None,
    ) -> list[Classification]:
        """Name the most probable classes of images, such as PNG and JPEG files.

        Files and images in memory are turned as their EXIF says, resized, cut to the centre and
        normalised as the file's metadata say; docs/artifact.md (Images) has the rule for files
        that say nothing. The probabilities are those of `predict`.

        Args:
            images: The path of an image or of a folder of images, the content of a file as bytes,
                an open binary file, an image of Pillow, or pixels, uint8 (H, W) or (H, W, 3) RGB;
                or a sequence of such; or an array (N, *input_shape) as `predict` takes.
            top: The largest number of classes for an image.
            samples: As in `predict`; so are seed and threads.
            seed: The seed of the noise.
            threads: Number of threads.
            preprocessing: How images are resized and normalised; None for what the file says.

        Returns:
            The most probable classes of each image, in the order of the images; those of a folder
            in the order of their names.

        Raises:
            MissingExtraError: If Pillow is not installed.
            FileError: If an image cannot be read.
            UsageError: If the network takes no images or gives no class probabilities; or as
                `predict`.
        """
        config = EnsembleConfig(samples=samples, seed=seed)
        network = NetworkInput.of(self.graph, self.metadata, channels_last=self._channels_last)
        inputs = inputs_of(images, network, preprocessing)
        found: list[Classification] = []
        for chunk in _chunks(len(inputs), IMAGES_AT_ONCE):
            ensemble = self.ensemble(
                inputs[chunk], config, threads=threads, image_offset=chunk.start
            )
            found += classifications(ensemble, inputs.names[chunk], self.metadata, top)
        return found

    def trace(
        self, images: GivenInputs, *, threads: int = 1, sample: Sample | None = None
    ) -> dict[str, Array]:
        """Compute the signs inside the network, by value name, in ONNX's layout.

        Args:
            images: As in `run`.
            threads: Number of threads. The result is bit-equal for every number.
            sample: Sample of the noise; None for the deterministic pass.

        Returns:
            uint8 with the axes of the graph; 0 is -1 and 2 is +1. Signs that a kernel consumes
            at once, before max-pooling or with padding, are missing: they never reach memory.
        """
        with _RUNNING:
            batch = as_batch(images, self.inputs)
            if sample is None:
                return self._compute(batch, threads, self._plan.signs)
            return self._compute_sample(batch, sample, threads, None)

    def _ensemble(
        self, images: Batch, config: EnsembleConfig, threads: int, image_offset: int
    ) -> Ensemble:
        if config.samples == 0:
            computed = self._compute(images, threads, self.graph.outputs)
            values = self._plan.for_each_row(computed, len(images))
            outputs = zip(self.output_kinds, self.graph.outputs, strict=True)
            quantities = [quantity(kind, values[name]) for kind, name in outputs]
            return Ensemble.of_deterministic(self.output_kinds, quantities)
        if not self.is_stochastic:
            raise UsageError(
                f"the file is deterministic: expected samples=0, got {config.samples!r}; a"
                " network that was trained with noise is exported with --mode samples"
            )
        parts = []
        for batch in self._sample_batches(images, threads, image_offset):
            with batch:
                parts.append(average(batch, len(batch), self.output_kinds, config))
        return Ensemble.joined(parts)

    def _outputs(self, values: dict[str, Array]) -> Array | tuple[Array, ...]:
        results = tuple(values[name] for name in self.graph.outputs)
        return results[0] if len(results) == 1 else results

    def _compute(self, images: Batch, threads: int, names: tuple[str, ...]) -> dict[str, Array]:
        """Compute values of the deterministic pass, chunk by chunk."""
        check_threads(threads)
        parts = [
            self._compute_chunk(images[chunk], threads, names)
            for chunk in _chunks(len(images), self._plan.chunk)
        ]
        return self._plan.joined(parts, names)

    def _compute_chunk(
        self, images: Batch, threads: int, names: tuple[str, ...]
    ) -> dict[str, Array]:
        key = (len(images), threads)
        executable = self._pool.acquire(key, lambda: self._plan.bind(*key))
        try:
            self._plan.load(images, executable.memory)
            executable.run()
            return {name: self._plan.read(name, executable.memory) for name in names}
        finally:
            self._pool.release(key, executable)

    def _compute_sample(
        self, images: Batch, sample: Sample, threads: int, names: tuple[str, ...] | None
    ) -> dict[str, Array]:
        """Compute values of one sample of each image; all signs if no names are given."""
        parts = []
        for batch in self._sample_batches(images, threads, sample.image_offset):
            with batch:
                parts.append(batch.values(sample, names))
        return self._plan.joined(parts, tuple(parts[0]))

    def _sample_batches(
        self, images: Batch, threads: int, image_offset: int
    ) -> Iterator[SampleBatch]:
        """Check the other arguments and split the images into batches.

        Raises:
            UsageError: As `ensemble`.
        """
        if self._sampler is None:
            raise UsageError(
                "the file is deterministic: expected no sample; a network that"
                " was trained with noise is exported with --mode samples"
            )
        check_threads(threads)
        last = Sample(image_offset=image_offset).image_offset + len(images) - 1
        if last >= 2**32:
            raise UsageError(f"expected images up to number 2^32 - 1, the last one is {last}")
        numbers = np.arange(image_offset, last + 1)
        for chunk in _chunks(len(images), self._sampler.plan().chunk):
            yield SampleBatch(self._sampler, images[chunk], numbers[chunk], threads)


def _chunks(count: int, size: int) -> Iterator[slice]:
    for start in range(0, count, size):
        yield slice(start, start + size)
