"""Weights that are +-s up to rounding, zeros among them, and what the rounding of FILE decides."""

import numpy as np
import pytest
from onnx_graphs import Array, assert_same, network, operators, run

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.binary_scales import scales
from bnnkit.artifact.report import report
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model

SIGN = "p = GreaterOrEqual(x, zero) s = Where(p, one, minus) "
CONV = ("float[N, 6, 5, 5] x", "float[N, 8, 3, 3] y")


def bireal_weight(rng: np.random.Generator) -> Array:
    """(scale * sign(w) - clip(w)) + clip(w), as ReActNet and Bi-Real-Net leave it."""
    w = rng.normal(0, 0.3, (8, 6, 3, 3)).astype(np.float32)
    scale = np.abs(w).mean((1, 2, 3), keepdims=True, dtype=np.float32)
    clipped = np.clip(w, -1, 1)
    return np.asarray((scale * np.sign(w) - clipped) + clipped)


def test_rounding_of_an_estimator_is_told() -> None:
    rng = np.random.default_rng(0)
    weight = bireal_weight(rng)
    assert any(len(np.unique(np.abs(channel))) > 1 for channel in weight)
    artifact, differences = from_onnx(network(f"{SIGN} y = Conv(s, w)", *CONV, {"w": weight}))
    (found,) = differences.rounded_weights
    assert 0 < found.deviation < 1e-6
    assert operators(artifact.model).count("BinaryConv2d") == 1
    x = rng.normal(size=(9, 6, 5, 5)).astype(np.float32)
    want = run(network(f"{SIGN} y = Conv(s, w)", *CONV, {"w": weight}), x)
    np.testing.assert_allclose(run(artifact.model, x), want, rtol=0, atol=1e-5)
    np.testing.assert_allclose(Model(artifact).run(x), want, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("spread", "is_binary"), [(1e-6, True), (1e-4, False)])
def test_how_much_rounding_there_can_be(spread: float, is_binary: bool) -> None:
    weight = np.full((3, 50), 0.25, np.float32)
    weight[1, 7] *= np.float32(1 + spread)
    found = scales(weight)
    assert (found is not None) == is_binary
    if found is not None:
        np.testing.assert_array_equal(found.sizes, 0.25)
        assert found.deviation == pytest.approx(spread, rel=0.1)


def test_a_channel_of_zeros_has_the_scale_zero() -> None:
    rng = np.random.default_rng(1)
    weight = rng.choice([-0.5, 0.5], (8, 6, 3, 3)).astype(np.float32)
    weight[3] = 0
    bias = rng.normal(size=8).astype(np.float32)
    body = f"{SIGN} c = Conv(s, w, b) q = Greater(c, zero) y = Where(q, one, minus)"
    source = network(body, *CONV, {"w": weight, "b": bias})
    artifact = assert_same(source, rng.normal(size=(5, 6, 5, 5)).astype(np.float32))
    assert "Conv" not in operators(artifact)


@pytest.mark.parametrize("share", [0.02, 0.6])
@pytest.mark.parametrize("form", ["Conv", "MatMul"])
def test_weights_with_zeros_are_two_binary_layers(form: str, share: float) -> None:
    rng = np.random.default_rng(2)
    shape = (8, 6, 3, 3) if form == "Conv" else (64, 8)
    weight = rng.choice([-0.5, 0.5], shape).astype(np.float32)
    weight[rng.random(shape) < share] = 0
    types = CONV if form == "Conv" else ("float[N, 64] x", "float[N, 8] y")
    source = network(f"{SIGN} y = {form}(s, w)", *types, {"w": weight})
    x = rng.normal(size=(5, *((6, 5, 5) if form == "Conv" else (64,)))).astype(np.float32)
    artifact = assert_same(source, x)
    assert form not in operators(artifact)
    (found,) = from_onnx(source)[1].weights_with_zeros
    assert (found.n_zeros, found.n_weights) == ((weight == 0).sum(), weight.size)
    layers = report(Artifact(artifact), artifact.ByteSize()).layers
    assert sum(layer.kind == "binary" for layer in layers) == 2


def test_weights_with_zeros_stay_real_where_inputs_are() -> None:
    weight = np.ones((12, 8), np.float32)
    weight[3, 4] = 0
    body = f"{SIGN} c = MatMul(s, v) y = MatMul(x, w)"
    types = ("float[N, 12] x", "float[N, 8] y, float[N, 8] c")
    source = network(body, *types, {"w": weight, "v": np.ones((12, 8), np.float32)})
    artifact, differences = from_onnx(source)
    assert differences.weights_with_zeros == ()
    assert operators(artifact.model).count("MatMul") == 1


def test_a_negative_factor_of_a_product() -> None:
    weight = np.random.default_rng(0).choice([-1.0, 1.0], (8, 12)).astype(np.float32)
    body = f"{SIGN} y = Gemm<transB = 1, alpha = -0.5>(s, w)"
    source = network(body, "float[N, 12] x", "float[N, 8] y", {"w": weight})
    x = np.random.default_rng(1).normal(size=(7, 12)).astype(np.float32)
    assert "BinaryLinear" in operators(assert_same(source, x))


@pytest.mark.parametrize(
    ("scale", "fan_in", "bias", "n_channels"),
    [
        (0.3, 12, 0.0, 8),
        (0.3, 11, 0.0, 0),
        (0.5, 12, 0.0, 0),
        (0.3, 12, 0.1, 0),
        (0.3, 12, 0.6, 8),
    ],
)
def test_ties_that_rounding_decides_are_told(
    scale: float, fan_in: int, bias: float, n_channels: int
) -> None:
    """Sums of +-s are 0, or -b, up to rounding: only where an even number of products cancels."""
    signs = np.random.default_rng(0).choice([-1, 1], (8, fan_in))
    constants = {"w": (scale * signs).astype(np.float32), "b": np.full(8, bias, np.float32)}
    body = (
        f"{SIGN} c = Gemm<transB = 1>(s, w, b) q = GreaterOrEqual(c, zero) "
        "y = Where(q, one, minus)"
    )
    types = (f"float[N, {fan_in}] x", "float[N, 8] y")
    _, differences = from_onnx(network(body, *types, constants))
    assert [tie.channels for tie in differences.ties] == [n_channels] * (n_channels > 0)


def test_rounding_of_weights_makes_ties_too() -> None:
    rng = np.random.default_rng(0)
    weight = rng.choice([-1.0, 1.0], (8, 12)).astype(np.float32)
    body = (
        f"{SIGN} c = Gemm<transB = 1>(s, w) q = GreaterOrEqual(c, zero) y = Where(q, one, minus)"
    )
    types = ("float[N, 12] x", "float[N, 8] y")
    assert from_onnx(network(body, *types, {"w": weight}))[1].ties == ()
    weight[2, 3] = np.nextafter(weight[2, 3], np.float32(0))
    (tie,) = from_onnx(network(body, *types, {"w": weight}))[1].ties
    assert tie.channels == 8


@pytest.mark.parametrize("form", ["Cast", "DequantizeLinear"])
def test_weights_in_a_byte(form: str) -> None:
    signs = np.random.default_rng(0).choice([-1, 1], (8, 6, 3, 3)).astype(np.int8)
    makes = {"Cast": "v = Cast<to = 1>(w)", "DequantizeLinear": "v = DequantizeLinear(w, half)"}
    source = network(f"{SIGN} {makes[form]} y = Conv(s, v)", *CONV, {"w": signs})
    x = np.random.default_rng(1).normal(size=(5, 6, 5, 5)).astype(np.float32)
    assert operators(assert_same(source, x)).count("BinaryConv2d") == 1
