"""Chains of elementwise operations: rounding, and maps of one pixel that meet larger ones."""

import numpy as np
import pytest
from artifacts import Array, ArtifactBuilder

from bnnkit.artifact.reference import Reference
from bnnkit.runtime import Model
from bnnkit.runtime.plan import Plan


def assert_equal(a: ArtifactBuilder, x: Array, *outputs: str, in_numpy: int = 1) -> None:
    """The bits of the reference, zeros' signs too; so many operators are left to NumPy.

    One is the Neg that makes a map of the input.
    """
    model = a.artifact(x.shape[1:], *outputs)
    kinds = [type(step).__name__ for step in Plan(model.graph).steps]
    assert kinds.count("NumpyOperator") == in_numpy
    for threads in (1, 2):
        got = Model(model).run(x, threads=threads)
        results = got if isinstance(got, tuple) else (got,)
        for g, w in zip(results, Reference(model).run(x), strict=True):
            np.testing.assert_array_equal(g, w)
            np.testing.assert_array_equal(np.signbit(g), np.signbit(w))


def test_rounding_to_even() -> None:
    a = ArtifactBuilder(0)
    halves = np.arange(-20, 21) / 2
    large = np.array([2.0**22 - 0.5, 2.0**22 + 0.5, 2.0**23 - 0.5, 2.0**23 + 1, 2.0**40])
    numbers = np.concatenate([halves, large, -large, [0.0, -0.0, 0.49999997, -0.2]])
    x = numbers.astype(np.float32)[:, None, None, None] * np.ones((1, 17, 2, 3), np.float32)
    one = a.constant(np.float32(1))
    assert_equal(a, x, a.add("Round", a.add("Mul", a.add("Neg", "x"), one)))


@pytest.mark.parametrize("kind", ["Add", "Mul", "Sub"])
@pytest.mark.parametrize("order", ["map first", "pixel first"])
def test_a_pixel_for_all_of_a_map(kind: str, order: str) -> None:
    a = ArtifactBuilder(1)
    real = a.add("Neg", "x")
    names = [real, a.add("GlobalAveragePool", real)]
    if order == "pixel first":
        names.reverse()
    in_numpy = 2 if (kind, order) == ("Sub", "pixel first") else 1
    x = a.rng.integers(-8, 9, (3, 19, 4, 2)).astype(np.float32)
    assert_equal(a, x, a.add("Relu", a.add(kind, *names)), in_numpy=in_numpy)


@pytest.mark.parametrize("pads", [(1, 0, 2, 3), (0, 0, 0, 0)])
@pytest.mark.parametrize("channels", [(0, 0), (5, 0), (16, 3)])
def test_padding_with_zeros(pads: tuple[int, ...], channels: tuple[int, int]) -> None:
    a = ArtifactBuilder(2)
    top, left, bottom, right = pads
    before, behind = channels
    widths = np.array([0, before, top, left, 0, behind, bottom, right])
    padded = a.add("Pad", a.add("Neg", "x"), a.constant(widths))
    x = a.rng.standard_normal((2, 21, 4, 5)).astype(np.float32)
    assert_equal(a, x, padded, a.sign(a.add("Add", padded, a.constant(np.float32(-1)))))


def test_padding_with_other_numbers_is_left_to_numpy() -> None:
    a = ArtifactBuilder(3)
    widths = a.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    padded = a.add("Pad", a.add("Neg", "x"), widths, a.constant(np.float32(2)))
    x = a.rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    assert_equal(a, x, padded, in_numpy=2)
