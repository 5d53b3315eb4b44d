"""Activations and weights of two numbers that are not opposite."""

from pathlib import Path

import numpy as np
import pytest
from onnx_graphs import network, operators, run

from bnnkit.artifact.binary_scales import two_levels
from bnnkit.export import to_tflite
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model, load

RNG = np.random.default_rng(4)
MEAN = RNG.integers(-3, 4, (4, 1, 1, 1)) / np.float32(8)
HALF = np.float32(2.0) ** RNG.integers(-3, 2, (4, 1, 1, 1))
SIGNS = RNG.choice([-1.0, 1.0], (4, 6, 3, 3)).astype(np.float32)
CONSTANTS = {
    "w": SIGNS,
    "v": (MEAN + HALF * SIGNS).astype(np.float32),
    "u": RNG.choice([-1.0, 1.0], (6 * 5 * 5, 4)).astype(np.float32),
    "r": (0.5 + RNG.choice([-1.0, 1.0], (6 * 5 * 5, 4)) / 4).astype(np.float32),
    "sides": np.array([0, 0, 1, 2, 0, 0, 0, 1]),
    "bias": RNG.integers(-9, 9, 4).astype(np.float32),
}
COMPARED = "g = Greater(x, t) a = Cast<to = 1>(g)"
SIGN = "g = GreaterOrEqual(x, zero) a = Where(g, one, minus)"
FORMS = {
    "0 and 1": f"{COMPARED} y = Conv<pads = [1, 1, 1, 1]>(a, w)",
    "by rounding": "c = Clip(x, zero, one) a = Round(c) y = Conv<strides = [2, 2]>(a, w, bias)",
    "clipped after rounding": "d = Round(x) a = Clip(d, zero, one) y = Conv(a, w)",
    "1 and 0": "g = Less(x, t) a = Cast<to = 1>(g) y = Conv(a, w)",
    "shifted": f"{SIGN} b = Mul(a, half) c = Add(b, two) y = Conv<pads = [0, 2, 1, 0]>(c, w)",
    "two weights": f"{SIGN} y = Conv<pads = [1, 1, 1, 1]>(a, v, bias)",
    "both": f"{COMPARED} y = Conv<pads = [1, 1, 1, 1]>(a, v)",
    "padded": f"{COMPARED} p = Pad(a, sides) y = Conv<pads = [1, 0, 0, 0]>(p, w)",
    "pooled": f"{COMPARED} p = MaxPool<kernel_shape = [2, 2]>(a) y = Conv(p, w)",
    "flat": f"{COMPARED} f = Flatten(a) y = MatMul(f, u)",
    "flat, two weights": f"{COMPARED} f = Flatten(a) y = MatMul(f, r)",
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in list(FORMS)[5:]]


@pytest.mark.parametrize("form", [*list(FORMS)[:5], *SLOW])
def test_layers_of_two_numbers_are_packed(form: str) -> None:
    """All numbers are sums of few powers of two, so every engine gives the same bits."""
    body = FORMS[form]
    y = "float[N, 4] y" if "MatMul" in body else "float[N, 4, H, W] y"
    source = network(body, "float[N, 6, 5, 5] x", y, CONSTANTS)
    artifact, differences = from_onnx(source)
    assert differences.remapped == ()
    assert not {"Conv", "MatMul", "Greater", "Round"} & set(operators(artifact.model))
    x = np.random.default_rng(1).normal(size=(3, 6, 5, 5)).astype(np.float32)
    want = run(source, x)
    np.testing.assert_array_equal(run(artifact.model, x), want)
    np.testing.assert_array_equal(Model(artifact).run(x), want)


PADDED = {
    "real": f"{COMPARED} y = Conv<pads = [1, 0, 2, 1]>(a, w, bias)",
    "falling": "g = Less(x, t) a = Cast<to = 1>(g) y = Conv<pads = [1, 1, 1, 1]>(a, w)",
    "padded before": f"{COMPARED} p = Pad(a, sides) y = Conv<pads = [1, 0, 0, 0]>(p, w)",
    "integers": f"{COMPARED} q = Cast<to = 2>(a) i = ConvInteger<pads = [1, 1, 1, 1]>(q, k) "
    "y = Cast<to = 1>(i)",
    "quantized": f"{COMPARED} q = QuantizeLinear(a, half, u0) "
    "j = QLinearConv<pads = [1, 1, 1, 1]>(q, half, u0, k, one, i0, quarter, u7) "
    "y = DequantizeLinear(j, quarter, u7)",
}
INTEGERS = {
    "k": SIGNS.astype(np.int8),
    "u0": np.uint8(0),
    "u7": np.uint8(7),
    "i0": np.int8(0),
    "quarter": np.float32(0.25),
}


@pytest.mark.parametrize("form", PADDED)
def test_padding_of_zeros_and_ones_is_in_the_thresholds(form: str) -> None:
    """A 0 around the map is a bit as well, so each channel has one threshold."""
    body = f"{PADDED[form]} b = Add(y, minus_half) h = GreaterOrEqual(b, zero) "
    body += "s = Where(h, one, minus) z = Conv(s, last)"
    last = RNG.choice([-1.0, 1.0], (3, 4, 2, 2)).astype(np.float32)
    constants = {**CONSTANTS, **INTEGERS, "last": last}
    source = network(body, "float[N, 6, 5, 5] x", "float[N, 3, H, W] z", constants)
    artifact, _ = from_onnx(source)
    assert "BinaryConv2dThreshold" in operators(artifact.model)
    assert "Add" not in operators(artifact.model)
    x = np.random.default_rng(1).normal(size=(3, 6, 5, 5)).astype(np.float32)
    want = run(source, x)
    np.testing.assert_array_equal(run(artifact.model, x), want)
    np.testing.assert_array_equal(Model(artifact).run(x), want)


def test_the_sum_of_the_inputs_in_tflite(tmp_path: Path) -> None:
    """A layer of one channel, times a number for each of four channels."""
    types = ("float[N, 6, 5, 5] x", "float[N, 4, 5, 5] y")
    artifact, _ = from_onnx(network(FORMS["two weights"], *types, CONSTANTS))
    x = np.random.default_rng(1).normal(size=(3, 6, 5, 5)).astype(np.float32)
    (tmp_path / "a.tflite").write_bytes(to_tflite(artifact.model).content)
    found = load(tmp_path / "a.tflite").run(np.ascontiguousarray(x.transpose(0, 2, 3, 1)))
    assert isinstance(found, np.ndarray)
    np.testing.assert_array_equal(found.transpose(0, 3, 1, 2), Model(artifact).run(x))


def test_what_others_read_stays() -> None:
    """Zeros and ones that multiply a real value are a mask, not the input of a layer."""
    body = f"{COMPARED} c = Conv(a, w) m = Mul(x, a) y = GlobalAveragePool(m)"
    types = ("float[N, 6, 5, 5] x", "float[N, 4, 3, 3] c, float[N, 6, 1, 1] y")
    artifact, _ = from_onnx(network(body, *types, CONSTANTS))
    assert {"Greater", "BinaryWeight", "Conv"} <= set(operators(artifact.model))


def test_real_weights_have_more_than_two_levels() -> None:
    assert two_levels(RNG.normal(size=(4, 8)).astype(np.float32)) is None
    assert two_levels(RNG.normal(size=(4, 2)).astype(np.float32)) is None  # two by chance
    assert two_levels(np.ones((4, 8), np.float32)) is None
    weight = CONSTANTS["v"].copy()
    levels = two_levels(weight)
    assert levels is not None
    column = (-1, 1, 1, 1)
    again = levels.mean.reshape(column) + levels.half.reshape(column) * levels.signs
    np.testing.assert_array_equal(again, weight)
    weight[0, 0, 0, 0] += np.float32(0.01)
    assert two_levels(weight) is None
