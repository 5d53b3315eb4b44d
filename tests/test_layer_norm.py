"""The layer norm: its definition, written out, and its kernel, which gives the same bits."""

from typing import Any

import numpy as np
import pytest
from artifacts import ArtifactBuilder
from numpy.typing import NDArray

from bnnkit.artifact.standard import STANDARD_OPERATORS
from bnnkit.artifact.standard.layer_norm import layer_norm
from bnnkit.runtime import Model
from bnnkit.runtime.plan import Plan
from bnnkit.runtime.steps.layer_norm import LayerNorm

Array = NDArray[Any]
WIDTHS = pytest.mark.parametrize("width", [1, 3, 15, 16, 17, 33, 100])
EPSILON = 1e-5


def written_out(row: Array, scale: Array, bias: Array) -> Array:
    """One number after the other, in the order that docs/artifact.md states."""

    def total(numbers: list[float]) -> float:
        lanes = [0.0] * 16
        for place, number in enumerate(numbers):
            lanes[place % 16] += number
        for half in (8, 4, 2, 1):
            lanes = [lanes[lane] + lanes[lane + half] for lane in range(half)]
        return lanes[0]

    count = len(row)
    mean = total([float(x) for x in row]) / count
    variance = total([(float(x) - mean) * (float(x) - mean) for x in row]) / count
    factor = 1 / (variance + float(np.float32(EPSILON))) ** 0.5
    normal = [np.float32((float(x) - mean) * factor) for x in row]
    return np.array([n * s + b for n, s, b in zip(normal, scale, bias, strict=True)])


def rows(width: int, rng: np.random.Generator) -> Array:
    """Rows with a small and a large mean, and one whose squares would overflow in float32."""
    x = rng.standard_normal((6, width))
    x[1] += 1e5
    x[2] *= 1e30
    x[3] = 7
    return x.astype(np.float32)


@WIDTHS
def test_definition(width: int) -> None:
    rng = np.random.default_rng(width)
    x = rows(width, rng)
    scale, bias = rng.standard_normal((2, width)).astype(np.float32)
    found = layer_norm(x, scale, bias, EPSILON)
    want = np.stack([written_out(row, scale, bias) for row in x])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, want)


@WIDTHS
@pytest.mark.parametrize("shape", [(7,), (2, 5), (2, 3, 4)], ids=str)
def test_kernel(width: int, shape: tuple[int, ...]) -> None:
    """For tokens and matrices, from NumPy and from a kernel, with the signs of the result."""
    a = ArtifactBuilder(width)
    scale, bias = a.rng.standard_normal((2, width)).astype(np.float32)
    x = a.add("Relu", "x") if len(shape) == 1 else a.add("Abs", "x")
    for _ in range(2):
        x = a.add("LayerNormalization", x, a.constant(scale), a.constant(bias), axis=-1)
    signs = a.add(
        "DequantizeLinear", a.sign(x), a.constant(np.float32(1)), a.constant(np.uint8(1))
    )
    artifact = a.artifact((*shape, width), x, signs)
    given = a.rng.standard_normal((3, *shape, width)).astype(np.float32)
    start = np.maximum(given, 0) if len(shape) == 1 else np.abs(given)
    want = start.reshape(-1, width)
    for _ in range(2):
        want = layer_norm(want, scale, bias, EPSILON)
    want = want.reshape(start.shape)
    for threads in (1, 2):
        found, of_signs = Model(artifact).run(given, threads=threads)
        np.testing.assert_array_equal(found, want)
        np.testing.assert_array_equal(of_signs, np.where(want >= 0, 1, -1))
    steps = [step for step in Plan(artifact.graph).steps if isinstance(step, LayerNorm)]
    assert len(steps) == 2 if len(shape) != 2 else steps


def test_scale_without_bias_and_other_axes() -> None:
    """More than one axis is one long row; without a bias none is added."""
    rng = np.random.default_rng(0)
    x, scale = rng.standard_normal((2, 3, 5)), rng.standard_normal((3, 5))
    x, scale = x.astype(np.float32), scale.astype(np.float32)
    found = STANDARD_OPERATORS["LayerNormalization"]({"axis": 1}, x, scale)
    flat = layer_norm(x.reshape(2, 15), scale.reshape(-1), np.zeros(15, np.float32), EPSILON)
    np.testing.assert_array_equal(found, flat.reshape(2, 3, 5))
