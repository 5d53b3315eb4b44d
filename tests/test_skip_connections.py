"""Convolutions that add a skip connection and pack the signs of the sum, in one step."""

import numpy as np
import pytest
from against_reference import assert_equal
from artifacts import Array, ArtifactBuilder

from bnnkit.artifact.artifact import Artifact
from bnnkit.runtime.lowering.kernel_forms import forms_of_this_cpu
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.steps.convolution import Convolution

SIZE = (6, 7)


def completed(model: Artifact) -> int:
    steps = Plan(model.graph).steps
    return sum(isinstance(step, Convolution) and step.added is not None for step in steps)


def block(a: ArtifactBuilder, x: str, signs: str, channels: int, groups: int = 1) -> str:
    """Add sums of signs, scaled, shifted and added to x."""
    scale, bias = (
        a.constant(a.rng.standard_normal((channels, 1, 1)).astype(np.float32)) for _ in range(2)
    )
    sums = a.binary_conv2d(
        signs, channels, channels, groups=groups, pads=(1, 1, 1, 1), thresholds=False
    )
    real = a.add("Add", a.add("Mul", a.add("Cast", sums, to=1), scale), bias)
    return a.add("Add", x, real)


def images(a: ArtifactBuilder, channels: int, size: tuple[int, int] = SIZE) -> Array:
    return a.rng.standard_normal((3, channels, *size)).astype(np.float32)


def is_fused(channels: int) -> bool:
    """Whether this CPU's kernel has whole vectors of these channels."""
    lanes = {"popcount": 16, "lookup": 64, "panel": 10_000}[forms_of_this_cpu().binary]
    return channels % lanes == 0


@pytest.mark.parametrize("channels", [64, 80, 192, 70])
def test_residual_blocks(channels: int) -> None:
    """The second block reads the signs of the first, the output its reals."""
    a = ArtifactBuilder(channels)
    x = a.add("Relu", "x")
    first = block(a, x, a.sign(x), channels)
    second = block(a, first, a.sign(first), channels)
    model = a.artifact((channels, *SIZE), second, first, a.sign(second))
    assert completed(model) == (2 if is_fused(channels) else 0)
    assert_equal(model, images(a, channels))


@pytest.mark.parametrize("columns", [1, 3, 5])
def test_narrow_maps(columns: int) -> None:
    a = ArtifactBuilder(columns)
    x = a.add("Relu", "x")
    out = block(a, x, a.sign(x), 128)
    model = a.artifact((128, 2, columns), a.sign(out), out)
    assert completed(model) == is_fused(128)
    assert_equal(model, images(a, 128, (2, columns)))


def test_groups_add_too() -> None:
    a = ArtifactBuilder(7)
    x = a.add("Relu", "x")
    out = block(a, x, a.sign(x), 192, groups=3)
    model = a.artifact((192, *SIZE), out, a.sign(out))
    assert completed(model) == is_fused(192)
    assert_equal(model, images(a, 192))


def test_sums_with_what_is_not_a_stored_map() -> None:
    """A single pixel, a map computed later, and reals that something else reads stay chains."""
    a = ArtifactBuilder(8)
    x = a.add("Relu", "x")
    signs = a.sign(x)
    pixel = block(a, a.add("MaxPool", x, kernel_shape=SIZE), signs, 64)
    early = a.add(
        "Cast", a.binary_conv2d(signs, 64, 64, pads=(1, 1, 1, 1), thresholds=False), to=1
    )
    two = a.constant(np.full((64, 1, 1), 2, np.float32))
    scaled = a.add("Add", a.add("Mul", early, two), two)
    late = a.add("Sqrt", x)
    outs = [pixel, a.add("Add", scaled, late), scaled, a.add("Add", scaled, scaled)]
    model = a.artifact((64, *SIZE), *outs)
    assert completed(model) == 0
    assert_equal(model, images(a, 64))


def test_nan_and_zero() -> None:
    """The sign of NaN is -1 in a convolution as in a chain, that of a negative zero is +1."""
    a = ArtifactBuilder(9)
    x = a.add("Relu", "x")
    zero = a.constant(np.full((64, 1, 1), -0.0, np.float32))
    sums = a.binary_conv2d(a.sign(x), 64, 64, pads=(1, 1, 1, 1), thresholds=False)
    real = a.add("Add", a.add("Mul", a.add("Cast", sums, to=1), zero), zero)
    shifted = a.add("Mul", x, a.constant(np.full((64, 1, 1), -1, np.float32)))
    out = a.add("Add", shifted, real)
    model = a.artifact((64, *SIZE), out, a.sign(out))
    given = images(a, 64)
    assert_equal(model, given)
