"""A .tflite file run unchanged by Larq Compute Engine's interpreter."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.cached_property import cached_property
from bnnkit.artifact.format.input_batch import Batch
from bnnkit.engines.engine import Engine
from bnnkit.engines.lce import FASTEST, Interpreter, Kernel, unpack_words
from bnnkit.errors import UsageError
from bnnkit.tflite.outputs import packed_tensors, with_outputs
from bnnkit.tflite.read import read

Array = NDArray[Any]


class LceOnFile(Engine):
    """LCE on the .tflite file that an artifact was read from.

    The file fixes the batch size. The last batch is filled up with copies of the last image, whose
    results are dropped.

    Args:
        artifact: An artifact with a `tflite_source`.
        threads: As `Interpreter`.
        kernel: As `Interpreter`.

    Raises:
        MissingExtraError, UsageError, UnsupportedError: As `Interpreter`.
    """

    name = "lce"

    def __init__(self, artifact: Artifact, threads: int = 1, *, kernel: Kernel = FASTEST) -> None:
        super().__init__(artifact)
        if artifact.tflite_source is None:
            raise UsageError(
                "expected an artifact that was read from a .tflite file, got another one: open it"
                " with LarqComputeEngine, which converts it"
            )
        self._artifact, self._content = artifact, artifact.tflite_source
        self._threads, self._kernel = threads, kernel
        self._network = read(self._content)
        self._batch = self._network.tensors[self._network.inputs[0]].shape[0]
        self._interpreter = Interpreter(self._content, threads=threads, kernel=kernel)
        self.version = self._interpreter.version

    def run(self, images: Batch) -> tuple[Array, ...]:
        """As `Engine.run`."""
        return tuple(self._in_batches(self._interpreter, self._only(images)))

    def trace(self, images: Batch) -> dict[str, Array]:
        """As `Engine.trace`: the packed tensors of the file."""
        names = self.signs
        if not names:
            return {}
        results = self._in_batches(self._tracing, self._only(images))[-len(names) :]
        channels = _channels_of_signs(self._artifact)
        return {
            name: _to_onnx(unpack_words(words, channels[name]))
            for name, words in zip(names, results, strict=True)
        }

    @property
    def signs(self) -> tuple[str, ...]:
        """The names of the signs that the file holds."""
        return tuple(self._traced)

    @cached_property
    def _traced(self) -> dict[str, int]:
        """Indices of the packed tensors with a known number of channels, by the signs' name."""
        known = _channels_of_signs(self._artifact)
        return {n: index for n, index in packed_tensors(self._network).items() if n in known}

    @cached_property
    def _tracing(self) -> Interpreter:
        content = with_outputs(self._content, list(self._traced.values()))
        return Interpreter(content, threads=self._threads, kernel=self._kernel)

    def _in_batches(self, interpreter: Interpreter, images: Array) -> list[Array]:
        """Compute the outputs for all images, batch by batch."""
        lacking = -len(images) % self._batch
        whole = np.concatenate([images, np.repeat(images[-1:], lacking, axis=0)])
        parts = [
            interpreter.run([whole[start : start + self._batch]])
            for start in range(0, len(whole), self._batch)
        ]
        pieces = zip(*parts, strict=True)
        return [np.concatenate(outputs)[: len(images)] for outputs in pieces]


def _channels_of_signs(artifact: Artifact) -> dict[str, int]:
    """Return the number of channels of the signs whose shape the artifact states, by name."""
    signs, graph = set(artifact.signs), artifact.model.graph
    return {
        value.name: value.type.tensor_type.shape.dim[1].dim_value
        for value in (*graph.value_info, *graph.output)
        if value.name in signs
    }


def _to_onnx(signs: Array) -> Array:
    return np.ascontiguousarray(signs.transpose(0, 3, 1, 2)) if signs.ndim == 4 else signs
