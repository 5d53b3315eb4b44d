"""An artifact as TFLite, run by each of LCE's kernels, beside the reference."""

import importlib.util
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from bnnkit.runtime.reference import Reference

needs_lce = pytest.mark.skipif(
    importlib.util.find_spec("larq_compute_engine") is None
    or np.lib.NumpyVersion(np.__version__) >= "2.0.0",
    reason="needs larq-compute-engine and NumPy below 2",
)


def assert_equal_in_lce(
    model: onnx.ModelProto, images: NDArray[Any], *, hidden: frozenset[str] = frozenset()
) -> None:
    """All signs and integers are the reference's, real outputs within 1e-3, in all kernels.

    `hidden` are the signs that do not exist in the file.
    """
    from bnnkit.lce import KERNELS, LarqComputeEngine

    reference = Reference(model)
    signs, outputs = reference.trace(images), reference.run(images)
    for kernel in KERNELS:
        engine = LarqComputeEngine(model, kernel=kernel)
        traced = engine.trace(images)
        assert traced.keys() == signs.keys() - hidden
        for name, found in traced.items():
            assert found.dtype == np.uint8
            np.testing.assert_array_equal(found, signs[name], err_msg=f"{name}, {kernel}")
        for found, expected in zip(engine.run(images), outputs, strict=True):
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
            if expected.dtype == np.float32:
                np.testing.assert_allclose(found, expected, rtol=0, atol=1e-3, err_msg=kernel)
            else:
                np.testing.assert_array_equal(found, expected, err_msg=kernel)


def normal(shape: tuple[int, ...], seed: int = 0) -> NDArray[Any]:
    """Real-valued images."""
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def pixels(shape: tuple[int, ...], seed: int = 0) -> NDArray[Any]:
    """Images of bytes."""
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
