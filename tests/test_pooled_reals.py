"""Layers of reals that are max-pooled in bands of rows equal the slow reference."""

from typing import Any

import numpy as np
import pytest
from against_reference import assert_equal, kinds
from artifacts import ArtifactBuilder

from bnnkit.artifact.artifact import Artifact
from bnnkit.runtime.lowering.kernel_forms import forms_of_this_cpu

CHANNELS, SIDE = 68, 48
"""A map of more than the bytes from which on bands are used."""


def integer_layer(a: ArtifactBuilder) -> str:
    """Add a layer of pixels, a scale and a bias."""
    scale, bias = (
        a.constant(a.rng.standard_normal((CHANNELS, 1, 1)).astype(np.float32)) for _ in range(2)
    )
    sums = a.add("Cast", a.integer_conv2d("x", 3, CHANNELS), to=1)
    return a.add("Add", a.add("Mul", sums, scale), bias)


def assert_bands(model: Artifact, size: int, *, is_pooled: bool = True) -> None:
    assert ("PooledReals" in kinds(model)) == is_pooled
    assert_equal(model, np.random.default_rng(1).integers(0, 256, (2, 3, size, size), np.uint8))


@pytest.mark.parametrize(
    "window",
    [
        {"kernel_shape": (3, 3), "strides": (2, 2), "pads": (1, 1, 1, 1)},
        {"kernel_shape": (2, 2), "strides": (2, 2)},
        {"kernel_shape": (3, 5), "strides": (1, 1), "pads": (0, 2, 1, 1)},
        {"kernel_shape": (1, 2), "strides": (3, 1)},
        {"kernel_shape": (4, 3), "strides": (3, 3), "ceil_mode": 1},
        {"kernel_shape": (46, 1), "strides": (1, 1)},
    ],
)
def test_windows(window: dict[str, Any]) -> None:
    a = ArtifactBuilder(1)
    model = a.artifact((3, SIDE, SIDE), a.add("MaxPool", integer_layer(a), **window), dtype=2)
    has_panels = forms_of_this_cpu().integer in ("byte panels", "short panels")
    assert_bands(model, SIDE, is_pooled=not has_panels)  # a layer in panels keeps its own step


def test_real_weights() -> None:
    a = ArtifactBuilder(2)
    weight = a.constant(a.rng.integers(-9, 10, (CHANNELS, 3, 3, 3)).astype(np.float32))
    real = a.add("Conv", a.add("Cast", "x", to=1), weight, pads=(1, 1, 1, 1))
    pooled = a.add("MaxPool", real, kernel_shape=(3, 3), strides=(2, 2))
    assert_bands(a.artifact((3, SIDE, SIDE), pooled, dtype=2), SIDE)


def test_what_is_stored_all_the_same() -> None:
    """Reals that something else reads, dilated windows, and small maps."""
    window = {"kernel_shape": (2, 2), "strides": (2, 2)}
    a = ArtifactBuilder(3)
    real = integer_layer(a)
    model = a.artifact((3, SIDE, SIDE), a.add("MaxPool", real, **window), real, dtype=2)
    assert_bands(model, SIDE, is_pooled=False)
    a = ArtifactBuilder(3)
    dilated = a.add("MaxPool", integer_layer(a), **window, dilations=(2, 1))
    assert_bands(a.artifact((3, SIDE, SIDE), dilated, dtype=2), SIDE, is_pooled=False)
    a = ArtifactBuilder(3)
    small = a.add("MaxPool", integer_layer(a), **window)
    assert_bands(a.artifact((3, 8, 8), small, dtype=2), 8, is_pooled=False)
