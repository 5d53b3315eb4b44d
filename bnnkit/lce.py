"""Larq Compute Engine's interpreter, loaded without TensorFlow, and an artifact run by it.

`import larq_compute_engine` wants TensorFlow, because it brings the converter along. The
interpreter is one extension module that needs nothing but NumPy, so that file alone is loaded.
"""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from bnnkit.bits import unpack_signs
from bnnkit.errors import MissingExtraError, UnsupportedError, UsageError
from bnnkit.export.tflite import Tflite, to_tflite
from bnnkit.export.tflite.values import Value
from bnnkit.runtime.deterministic import deterministic
from bnnkit.runtime.reference import signs_of

Array = NDArray[Any]
Kernel = Literal["default", "indirect", "reference"]
KERNELS: Final[tuple[Kernel, ...]] = ("default", "indirect", "reference")
"""Of LCE's binary convolutions: on x86 "indirect" is the fastest, on ARM "default" is."""

_PACKAGE: Final = "larq_compute_engine"
_MODULE: Final = "bnnkit_lce.interpreter_wrapper_lite"
"""The last part is what the extension module calls itself."""


class Interpreter:
    """Runs the content of a .tflite file.

    Args:
        content: Of the file.
        threads: Only the default kernel and float operators take more than one.
        kernel: One of `KERNELS`.

    Raises:
        MissingExtraError: larq-compute-engine is not installed.
        UsageError: It cannot work with this NumPy, or an argument is wrong.
        UnsupportedError: It refuses the file; the reason is on the standard error output.
    """

    def __init__(self, content: bytes, *, threads: int = 1, kernel: Kernel = "indirect") -> None:
        if kernel not in KERNELS:
            raise UsageError(f"expected a kernel out of {', '.join(KERNELS)}, got {kernel!r}")
        if threads < 1:
            raise UsageError(f"expected at least 1 thread, got {threads}")
        try:
            self._wrapped = _wrapper().LiteInterpreter(
                content, threads, kernel == "reference", kernel == "indirect", False
            )
        except RuntimeError as error:
            raise UnsupportedError(f"LCE cannot open the model: {error}") from error

    def run(self, inputs: Sequence[Array]) -> list[Array]:
        """All outputs, for whole inputs of exactly the file's shapes and types."""
        return list(self._wrapped.predict([np.ascontiguousarray(x) for x in inputs]))


class LarqComputeEngine:
    """An artifact, converted to TFLite and run by LCE.

    A .tflite file has a fixed batch: the first run with another number of images converts again.

    Args:
        model: The artifact; of a stochastic one the deterministic pass.
        threads: As `Interpreter`.
        kernel: As `Interpreter`.

    Attributes:
        version: Of larq-compute-engine.
        report: Of the export, for batch 1.

    Raises:
        MissingExtraError, UsageError: As `Interpreter`.
        UnsupportedError: A part of the model has no form in TFLite.
    """

    def __init__(
        self, model: onnx.ModelProto, *, threads: int = 1, kernel: Kernel = "indirect"
    ) -> None:
        self._model, self._threads, self._kernel = deterministic(model), threads, kernel
        self._opened: tuple[int, Tflite, Interpreter] = self._open(1)
        self.report = self._opened[1].report
        self.version = importlib.metadata.version("larq-compute-engine")

    def run(self, images: Array) -> tuple[Array, ...]:
        """All outputs of the artifact, in its layout and dtypes.

        Args:
            images: As the artifact takes them, (N, C, H, W) or (N, F), uint8 or float32.
        """
        if self._opened[0] != len(images):
            self._opened = self._open(len(images))
        _, tflite, interpreter = self._opened
        results = interpreter.run([_to_nhwc(images)])
        pairs = zip(tflite.outputs.values(), results, strict=True)
        return tuple(_to_onnx(value, result) for value, result in pairs)

    def trace(self, images: Array) -> dict[str, Array]:
        """Signs by name, uint8 (N, C, H, W) or (N, F), 0 is -1 and 2 is +1.

        A value that does not exist in the file, because two operators have become one, is missing.
        """
        names = signs_of(self._model)
        _, tflite, interpreter = self._open(len(images), names)
        results = interpreter.run([_to_nhwc(images)])[len(tflite.outputs) :]
        pairs = zip(tflite.traced.items(), results, strict=True)
        return {name: _to_onnx(value, result) for (name, value), result in pairs}

    def _open(self, batch: int, traced: Sequence[str] = ()) -> tuple[int, Tflite, Interpreter]:
        tflite = to_tflite(self._model, batch=batch, traced=traced)
        interpreter = Interpreter(tflite.content, threads=self._threads, kernel=self._kernel)
        return batch, tflite, interpreter


def _to_nhwc(images: Array) -> Array:
    return images.transpose(0, 2, 3, 1) if images.ndim == 4 else images


def _to_onnx(value: Value, result: Array) -> Array:
    """What the interpreter gives for a value, as the artifact has it."""
    if value.kind == "signs" and value.map is not None:
        result = _unpack(result, value.map[0])
    if result.ndim == 4:
        result = result.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(result).reshape(len(result), *value.shape)


def _unpack(words: Array, channels: int) -> Array:
    """Packed signs, int32 (N, H, W, words), as uint8 0 and 2, (N, H, W, C)."""
    whole = np.zeros((*words.shape[:-1], -(-words.shape[-1] // 2) * 2), "<i4")
    whole[..., : words.shape[-1]] = words
    return (unpack_signs(whole.view("<u8"), channels) + 1).astype(np.uint8)


def _wrapper() -> Any:
    if _MODULE in sys.modules:
        return sys.modules[_MODULE]
    package = importlib.util.find_spec(_PACKAGE)  # finds it, and does not execute it
    if package is None or not package.submodule_search_locations:
        raise MissingExtraError("the engine lce", "lce")
    if np.lib.NumpyVersion(np.__version__) >= "2.0.0":
        raise UsageError(
            f"the engine lce works with NumPy below 2 only, this is {np.__version__}:"
            " pip install 'numpy<2'"
        )
    folder = Path(next(iter(package.submodule_search_locations))) / "tflite" / "python"
    found = sorted(folder.glob("interpreter_wrapper_lite.*"))
    if not found:
        raise MissingExtraError("the engine lce", "lce")
    spec = importlib.util.spec_from_file_location(_MODULE, found[0])
    if spec is None or spec.loader is None:
        raise MissingExtraError("the engine lce", "lce")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[_MODULE] = module
    return module
