"""An artifact as TFLite, of either variant, run by LCE's interpreter beside the reference."""

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.export.tflite import Variant, to_tflite
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.verification.comparison import BatchResult
from bnnkit.verification.reference_run import ReferenceRun

VARIANTS: tuple[Variant, ...] = ("lce", "builtin")

needs_lce = pytest.mark.skipif(
    importlib.util.find_spec("larq_compute_engine") is None
    or np.lib.NumpyVersion(np.__version__) >= "2.0.0",
    reason="needs larq-compute-engine and NumPy below 2",
)


def assert_equal_in_tflite(model: Artifact, images: NDArray[Any]) -> None:
    """Both variants: all signs and integers are the reference's, real outputs within 1e-3."""
    expected = ReferenceRun(model)(images)
    _assert_equal_in_lce(model, images, expected)
    _assert_equal_by_xnnpack(model, images, "builtin", expected)


def assert_equal_in_lce(model: Artifact, images: NDArray[Any]) -> None:
    """All signs and integers are the reference's, real outputs within 1e-3, in all kernels.

    By the engine of `bnnkit.engines.lce`, and by the interpreter with XNNPACK.
    """
    _assert_equal_in_lce(model, images, ReferenceRun(model)(images))


def _assert_equal_in_lce(model: Artifact, images: NDArray[Any], expected: BatchResult) -> None:
    from bnnkit.engines.lce import FASTEST, KERNELS, Interpreter, LarqComputeEngine

    engine = LarqComputeEngine(model)
    traced = engine.trace(images)
    assert traced.keys() == expected.signs.keys()
    for name, sign in traced.items():
        assert_equal(sign, expected.signs[name], name)
    for output, right in zip(engine.run(images), expected.outputs, strict=True):
        assert_equal(output, right, FASTEST)
    # The other kernels run the engine's two files: with all signs as outputs, and without.
    for signs in (expected.signs, {}):
        tflite = to_tflite(model.deterministic, batch=len(images), traced=tuple(signs))
        values = [*tflite.outputs.values(), *tflite.traced.values()]
        all_right = [*expected.outputs, *(signs[name] for name in tflite.traced)]
        for kernel in set(KERNELS) - {FASTEST}:
            results = Interpreter(tflite.content, kernel=kernel).run([to_nhwc(images)])
            for value, result, right in zip(values, results, all_right, strict=True):
                assert_equal(as_onnx(value, result), right, f"{value}, {kernel}")
    _assert_equal_by_xnnpack(model, images, "lce", expected)


def assert_equal_in_builtins(model: Artifact, images: NDArray[Any]) -> None:
    """The same of the file of builtin operators, by TFLite's own kernels and by XNNPACK's."""
    assert_equal_by_xnnpack(model, images, "builtin")


def assert_equal_by_xnnpack(model: Artifact, images: NDArray[Any], variant: Variant) -> None:
    """All signs and outputs of a file with XNNPACK, and of builtin operators without it too."""
    _assert_equal_by_xnnpack(model, images, variant, ReferenceRun(model)(images))


def _assert_equal_by_xnnpack(
    model: Artifact, images: NDArray[Any], variant: Variant, expected: BatchResult
) -> None:
    signs = expected.signs
    tflite = to_tflite(model, variant=variant, batch=len(images), traced=tuple(signs))
    is_lce = any(name.startswith("Lce") for name in tflite.report.operators)
    assert not (is_lce and variant == "builtin")
    assert tflite.traced.keys() == signs.keys()
    values = [*tflite.outputs.values(), *tflite.traced.values()]
    all_right = [*expected.outputs, *(signs[name] for name in tflite.traced)]
    for xnnpack in (False, True) if variant == "builtin" else (True,):
        engine = open_file(tflite.content, kernel="indirect", xnnpack=xnnpack)
        results = engine.predict([to_nhwc(images)])
        for value, result, right in zip(values, results, all_right, strict=True):
            assert_equal(as_onnx(value, result), right, f"{value}, {xnnpack=}")


def all_results(model: Artifact, images: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """All outputs by each kernel and variant, with XNNPACK and without, one after another."""
    for variant in VARIANTS:
        tflite = to_tflite(model, variant=variant, batch=len(images))
        for kernel in ("default", "indirect", "reference") if variant == "lce" else ("default",):
            for xnnpack in (False, True):
                engine = open_file(tflite.content, kernel=kernel, xnnpack=xnnpack)
                results = engine.predict([to_nhwc(images)])
                yield from map(as_onnx, tflite.outputs.values(), results)


def assert_equal(found: NDArray[Any], expected: NDArray[Any], what: str) -> None:
    """Integers are equal, real numbers within 1e-3."""
    assert (found.dtype, found.shape) == (expected.dtype, expected.shape), what
    if expected.dtype == np.float32:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3, err_msg=what)
    else:
        np.testing.assert_array_equal(found, expected, err_msg=what)


def run_builtins(content: bytes, images: NDArray[Any], *, xnnpack: bool) -> list[Any]:
    """The outputs of a file for images as in ONNX."""
    return list(open_file(content, xnnpack=xnnpack).predict([to_nhwc(images)]))


def open_file(content: bytes, *, kernel: str = "default", xnnpack: bool = False) -> Any:
    """LCE's interpreter, which has TFLite's builtin operators too; `predict` runs it."""
    from bnnkit.engines.lce_child import extension, load_wrapper

    path = extension()
    assert path is not None
    kernels = kernel == "reference", kernel == "indirect"
    return load_wrapper(path).LiteInterpreter(content, 1, *kernels, xnnpack)


def to_nhwc(images: NDArray[Any]) -> NDArray[Any]:
    """Images as TFLite takes them."""
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1) if images.ndim == 4 else images)


def as_onnx(value: TfliteValue, result: NDArray[Any]) -> NDArray[Any]:
    """What the interpreter gives for a value, as the artifact has it."""
    if value.kind == "signs":
        assert value.map is not None
        result = _unpack(result, value.map[0]) if result.dtype == np.int32 else result
        assert result.dtype == np.int8
        assert np.isin(result, (-1, 1)).all()
        result = (result + 1).astype(np.uint8)
    if result.ndim == 4:
        result = result.transpose(0, 3, 1, 2)
    return result.reshape(len(result), *value.shape)


def _unpack(words: NDArray[np.int32], channels: int) -> NDArray[np.int8]:
    """Packed signs (..., words) as -1 and +1, (..., C); a set bit is -1."""
    bits = np.unpackbits(words.astype("<i4").view(np.uint8), axis=-1, bitorder="little")
    return 1 - 2 * bits[..., :channels].astype(np.int8)


def normal(shape: tuple[int, ...], seed: int = 0) -> NDArray[Any]:
    """Real-valued images."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def pixels(shape: tuple[int, ...], seed: int = 0) -> NDArray[Any]:
    """Images of bytes."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
