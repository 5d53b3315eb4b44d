"""Stored files of LCE, and what its interpreter gives for them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DATA = Path(__file__).parent / "data"
FILES = sorted(DATA.glob("lce*/*.tflite"))
"""All of them."""


def stored(path: Path) -> dict[str, Array]:
    """Images, outputs, and packed tensors by name, beside a .tflite file."""
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as arrays:
        return dict(arrays)


def assert_outputs(found: tuple[Array, ...], expected: dict[str, Array]) -> None:
    """Packed signs and bools equal, real numbers within 1e-4, bytes within 1; some bit for bit."""
    outputs = [array for key, array in expected.items() if key.startswith("output.")]
    exact = expected.get("exact", np.zeros(0)).tolist()
    for index, (one, other) in enumerate(zip(found, outputs, strict=True)):
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        if index in exact:
            np.testing.assert_array_equal(one, other, err_msg=f"output {index}")
        elif other.dtype == np.float32:
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4, err_msg=f"{index}")
        elif other.dtype == np.int8:
            assert np.abs(one.astype(int) - other.astype(int)).max() <= 1, f"output {index}"
        else:
            np.testing.assert_array_equal(one, other, err_msg=f"output {index}")


def packed(signs: Array) -> Array:
    """Signs as the artifact has them, uint8 (N, C, H, W) or (N, C), in words of 32 bits."""
    signs = np.moveaxis(signs, 1, -1)
    channels = signs.shape[-1]
    bits = np.zeros((*signs.shape[:-1], -(-channels // 32) * 32), np.bool_)
    bits[..., :channels] = signs == 0
    return np.packbits(bits, axis=-1, bitorder="little").view("<i4")


def count_missing(traced: dict[str, Array], expected: dict[str, Array]) -> int:
    """All packed tensors that are there are equal bit for bit; how many are not there."""
    tensors = [key for key in expected if key.startswith("packed.")]
    names = {key.removeprefix("packed.").replace("/", "."): expected[key] for key in tensors}
    for name in names.keys() & traced.keys():
        np.testing.assert_array_equal(packed(traced[name]), names[name], err_msg=name)
    return len(names.keys() - traced.keys())
