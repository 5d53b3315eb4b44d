"""Depthwise convolutions, and margins of real maps that several layers read."""

from typing import Any

import numpy as np
import pytest
from against_reference import assert_equal, kinds
from artifacts import Array, ArtifactBuilder

from bnnkit.artifact.reference import Reference
from bnnkit.runtime import Model


def integers(a: ArtifactBuilder, *shape: int) -> Array:
    """Whole numbers as float32, whose products and sums are exact in any order."""
    return a.rng.integers(-9, 10, shape).astype(np.float32)


def depthwise(
    a: ArtifactBuilder, source: str, channels: int, height: int, width: int, **o: Any
) -> str:
    weight = a.constant(integers(a, channels, 1, height, width))
    return a.add("Conv", source, weight, a.constant(integers(a, channels)), group=channels, **o)


@pytest.mark.parametrize("channels", [2, 15, 16, 17, 40])
@pytest.mark.parametrize("size", [(1, 1), (3, 3), (5, 2)])
@pytest.mark.parametrize("pads", [(0, 0, 0, 0), (1, 0, 2, 3)])
def test_windows(channels: int, size: tuple[int, int], pads: tuple[int, ...]) -> None:
    a = ArtifactBuilder(channels)
    outs = [
        depthwise(a, a.add("Relu", "x"), channels, *size, pads=pads, strides=s, dilations=d)
        for s, d in (((1, 1), (1, 1)), ((2, 1), (1, 2)), ((3, 2), (2, 1)))
    ]
    model = a.artifact((channels, 9, 8), *outs)
    assert kinds(model).count("Depthwise") == 3
    assert_equal(model, integers(a, 3, channels, 9, 8))


@pytest.mark.parametrize("columns", [1, 3, 4, 5, 11])
def test_rows_shorter_than_a_tile_and_a_little_longer(columns: int) -> None:
    a = ArtifactBuilder(columns)
    out = depthwise(a, "x", 18, 3, 1, pads=(1, 0, 1, 0))
    assert_equal(a.artifact((18, 4, columns), out), integers(a, 2, 18, 4, columns))


def test_reals_are_those_of_the_reference_but_for_rounding() -> None:
    a = ArtifactBuilder(1)
    weight = a.constant(a.rng.standard_normal((33, 1, 3, 3)).astype(np.float32))
    out = a.add("Conv", "x", weight, group=33, pads=[1, 1, 1, 1])
    model, x = a.artifact((33, 12, 10), out), a.rng.standard_normal((2, 33, 12, 10))
    x = x.astype(np.float32)
    np.testing.assert_allclose(Model(model).run(x), Reference(model).run(x)[0], atol=1e-5)


def test_two_outputs_for_each_channel_are_groups() -> None:
    a = ArtifactBuilder(3)
    weight = a.constant(integers(a, 12, 1, 3, 3))
    model = a.artifact((6, 7, 7), a.add("Conv", "x", weight, group=6))
    assert "Depthwise" not in kinds(model)
    assert_equal(model, integers(a, 2, 6, 7, 7))


def test_readers_with_margins_of_their_own() -> None:
    """All read one map: its margin is as wide as the widest wants, and zero, whoever looks."""
    a = ArtifactBuilder(4)
    made = a.add("Relu", "x")
    weight = a.constant(integers(a, 5, 20, 3, 3))
    outs = [
        a.add("Conv", made, weight, pads=[2, 1, 0, 3]),
        a.add("Conv", made, weight, pads=[0, 3, 1, 0], strides=[2, 2]),
        depthwise(a, made, 20, 2, 2, pads=(1, 1, 1, 1)),
        a.add("MaxPool", made, kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        a.add("Sigmoid", made),
        a.sign(a.add("Add", made, a.constant(np.float32(-2)))),
        a.add("Add", made, a.add("Neg", made)),
        made,
    ]
    model = a.artifact((20, 6, 5), *outs)
    assert "CopyReal" not in kinds(model)
    x = integers(a, 2, 20, 6, 5)
    want, got = Reference(model).run(x), Model(model).run(x)
    for w, g in zip(want, got, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-6)
