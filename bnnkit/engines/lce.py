"""Larq Compute Engine: its interpreter, loaded without TensorFlow, and the engine on top of it."""

import importlib.metadata
import platform
from collections.abc import Sequence
from functools import cache
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.bits import unpack_signs
from bnnkit.artifact.format.input_batch import Batch
from bnnkit.engines.engine import Engine
from bnnkit.engines.lce_child import DISTRIBUTION, extension, load_wrapper
from bnnkit.engines.lce_process import ProcessInterpreter
from bnnkit.errors import MissingExtraError, UnsupportedError, UsageError
from bnnkit.export.tflite import Tflite, to_tflite
from bnnkit.export.tflite.values import TfliteValue

Array = NDArray[Any]
Kernel = Literal["default", "indirect", "reference"]
KERNELS: Final[tuple[Kernel, ...]] = ("default", "indirect", "reference")
"""The kernels of LCE's binary convolutions."""
FASTEST: Final[Kernel] = "default" if platform.machine() in ("aarch64", "arm64") else "indirect"
"""The default kernel is written for ARM; on x86 it is the slowest of the three."""


class Interpreter:
    """Runs the content of a .tflite file, in this process or, with NumPy 2, in a child process.

    Args:
        content: The bytes of the file.
        threads: At least 1. Only the default kernel and float operators use more than one.
        kernel: One of `KERNELS`.

    Attributes:
        version: The version of larq-compute-engine.

    Raises:
        MissingExtraError: If larq-compute-engine is not installed.
        UsageError: If LCE does not work with the installed NumPy and no other Python is named
            (lce_process.py), or if an argument is out of range.
        UnsupportedError: If LCE refuses the file; it prints the reason on standard error.
    """

    def __init__(self, content: bytes, *, threads: int = 1, kernel: Kernel = FASTEST) -> None:
        if kernel not in KERNELS:
            raise UsageError(f"expected a kernel out of {', '.join(KERNELS)}, got {kernel!r}")
        if threads < 1:
            raise UsageError(f"expected at least 1 thread, got {threads}")
        options = threads, kernel == "reference", kernel == "indirect", False
        self._wrapped: Any
        if _needs_child_process():
            self._wrapped = ProcessInterpreter(content, options)
            self.version: str = self._wrapped.version
            return
        path = extension()
        if path is None:
            raise MissingExtraError("the engine lce", "lce")
        try:
            self._wrapped = load_wrapper(path).LiteInterpreter(content, *options)
        except RuntimeError as error:
            raise UnsupportedError(f"LCE cannot open the model: {error}") from error
        self.version = _version()

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """Compute all outputs for inputs of exactly the file's shapes and types.

        Raises:
            UnsupportedError: If the run fails, for example for other shapes or types.
        """
        try:
            return list(self._wrapped.predict([np.ascontiguousarray(x) for x in inputs]))
        except RuntimeError as error:
            raise UnsupportedError(f"LCE cannot run the model: {error}") from error


@cache
def _version() -> str:
    """Return the installed version, for which Python reads the package's files."""
    return importlib.metadata.version(DISTRIBUTION)


class LarqComputeEngine(Engine):
    """An artifact converted to TFLite and run by LCE, without the noise of a stochastic network.

    A .tflite file has a fixed batch size: a run with another number of images converts again.

    Args:
        artifact: What to execute.
        threads: As `Interpreter`.
        kernel: As `Interpreter`.

    Attributes:
        version: The version of larq-compute-engine.
        report: The report of the export for batch 1.

    Raises:
        MissingExtraError, UsageError: As `Interpreter`.
        UnsupportedError: If a part of the model has no equivalent in TFLite.
    """

    name = "lce"

    def __init__(self, artifact: Artifact, threads: int = 1, *, kernel: Kernel = FASTEST) -> None:
        super().__init__(artifact)
        self._artifact = artifact.deterministic
        self._threads, self._kernel = threads, kernel
        self._opened: tuple[int, Tflite, Interpreter] = self._open(1)
        self._traced: tuple[int, Tflite, Interpreter] | None = None
        self.report = self._opened[1].report
        self.version = self._opened[2].version

    def run(self, images: Batch) -> tuple[Array, ...]:
        """As `Engine.run`."""
        parts = [self._run_together(batch) for batch in self._batches(images)]
        return tuple(np.concatenate(pieces) for pieces in zip(*parts, strict=True))

    def trace(self, images: Batch) -> dict[str, Array]:
        """As `Engine.trace`, without values that the file lacks because operators were fused."""
        parts = [self._trace_together(batch) for batch in self._batches(images)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    @property
    def signs(self) -> tuple[str, ...]:
        """The names of the signs that the converted file holds."""
        return tuple(self._tracing(1)[1].traced)

    def _run_together(self, batch: Batch) -> tuple[Array, ...]:
        images = self._only(batch)
        if self._opened[0] != len(images):
            self._opened = self._open(len(images))
        _, tflite, interpreter = self._opened
        results = interpreter.run([_to_nhwc(images)])
        pairs = zip(tflite.outputs.values(), results, strict=True)
        return tuple(_to_onnx(value, result) for value, result in pairs)

    def _trace_together(self, batch: Batch) -> dict[str, Array]:
        images = self._only(batch)
        _, tflite, interpreter = self._tracing(len(images))
        results = interpreter.run([_to_nhwc(images)])[len(tflite.outputs) :]
        pairs = zip(tflite.traced.items(), results, strict=True)
        return {name: _to_onnx(value, result) for (name, value), result in pairs}

    def _tracing(self, batch: int) -> tuple[int, Tflite, Interpreter]:
        if self._traced is None or self._traced[0] != batch:
            self._traced = self._open(batch, self._artifact.signs)
        return self._traced

    def _open(self, batch: int, traced: Sequence[str] = ()) -> tuple[int, Tflite, Interpreter]:
        tflite = to_tflite(self._artifact, batch=batch, traced=traced)
        interpreter = Interpreter(tflite.content, threads=self._threads, kernel=self._kernel)
        return batch, tflite, interpreter


def _to_nhwc(images: Array) -> Array:
    return images.transpose(0, 2, 3, 1) if images.ndim == 4 else images


def _to_onnx(value: TfliteValue, result: Array) -> Array:
    """Convert a result of the interpreter to the artifact's layout and shape."""
    if value.kind == "signs" and value.map is not None:
        result = unpack_words(result, value.map[0])
    if result.ndim == 4:
        result = result.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(result).reshape(len(result), *value.shape)


def unpack_words(words: Array, channels: int) -> Array:
    """Unpack LCE signs, int32 (N, H, W, words), to the codes 0 and 2, uint8 (N, H, W, C)."""
    whole = np.zeros((*words.shape[:-1], -(-words.shape[-1] // 2) * 2), "<i4")
    whole[..., : words.shape[-1]] = words
    return (unpack_signs(whole.view("<u8"), channels) + 1).astype(np.uint8)


def _needs_child_process() -> bool:
    return np.lib.NumpyVersion(np.__version__) >= "2.0.0"
