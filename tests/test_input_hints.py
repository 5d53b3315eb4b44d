"""Hints on inputs that a network refuses: followed to the letter, they give inputs it takes."""

import re
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnkit.runtime.input_hints import input_hint

UINT8, FLOAT32 = np.dtype(np.uint8), np.dtype(np.float32)
PIXELS = np.arange(5 * 3 * 6 * 7, dtype=np.uint8).reshape(5, 3, 6, 7)
GRAY = PIXELS[:, :1]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (PIXELS / 255, PIXELS),
        ((PIXELS / 255).astype(np.float16), PIXELS),
        (PIXELS.astype(np.float64), PIXELS),
        (PIXELS.astype(np.int16), PIXELS),
        (PIXELS.transpose(0, 2, 3, 1), PIXELS),
        (GRAY[:, 0], GRAY),
        (GRAY[:, 0] / 255, GRAY),
        (PIXELS[0], PIXELS[:1]),
        (PIXELS, PIXELS.astype(np.float32) / 255),
        ((PIXELS / 255), (PIXELS / 255).astype(np.float32)),
        (GRAY.astype(np.float64)[:, 0], GRAY.astype(np.float32)),
    ],
)
def test_a_hint_that_is_followed_gives_what_is_wanted(
    given: NDArray[Any], wanted: NDArray[Any]
) -> None:
    for hint in input_hint(given, wanted.shape[1:], wanted.dtype).split("; ")[1:]:
        code = re.search(r"(np\.rint\(.*|inputs.*)$", hint)
        assert code, hint
        given = eval(code[0], {"np": np, "inputs": given})
    assert given.dtype == wanted.dtype
    np.testing.assert_array_equal(given, wanted)


def test_channels_last_are_found_for_a_model_that_takes_them() -> None:
    hint = input_hint(PIXELS, (6, 7, 3), UINT8)
    assert hint == "; this model takes channels last: inputs.transpose(0, 2, 3, 1)"


@pytest.mark.parametrize("shape", [(5, 3), (5, 2, 6, 7), (5, 6, 7), ()])
def test_no_hint_where_the_shape_is_unlike_any_layout(shape: tuple[int, ...]) -> None:
    assert input_hint(np.zeros(shape, np.uint8), (3, 6, 7), UINT8) == ""


def test_normalised_images_are_named_with_their_range() -> None:
    hint = input_hint(np.array([[-2.5, 2.25]]), (2,), UINT8)
    assert "without normalisation, got -2.5 to 2.25" in hint


@pytest.mark.parametrize("dtype", ["U1", "O", "c8", "M8[s]"])
def test_arrays_of_no_numbers_have_no_hint(dtype: str) -> None:
    assert input_hint(np.zeros((2, 3), dtype), (3,), FLOAT32) == ""
