"""Quantized operators of ONNX: their integers are exact, and signs among them are packed."""

import numpy as np
import pytest
from onnx_graphs import network, operators, run

from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model

RNG = np.random.default_rng(3)
SIGNS = RNG.choice([-1, 1], (12, 8)).astype(np.int8)
MAPS = RNG.choice([-1, 1], (4, 6, 3, 3)).astype(np.int8)
CONSTANTS = {
    "w": SIGNS,
    "v": MAPS,
    "r": SIGNS.astype(np.float32),
    "i0": np.int8(0),
    "i3": np.int8(3),
    "u7": np.uint8(7),
    "wide": RNG.integers(-128, 128, (12, 8)).astype(np.int8),
    "huge": RNG.integers(-128, 128, (2000, 8)).astype(np.int8),
    "bias": RNG.integers(-9, 9, 4).astype(np.int32),
    "scales": np.array([0.5, 0.25, 1, 2], np.float32),
    "none": np.zeros(4, np.int8),
    "fine": np.float32(0.05),
}
SIGN = "g = GreaterOrEqual(x, zero) s = Where(g, one, minus)"
QUANTIZED = f"{SIGN} q = QuantizeLinear(s, half, i0)"
FORMS = {
    "MatMulInteger": f"{SIGN} q = Cast<to = 3>(s) i = MatMulInteger(q, w) y = Cast<to = 1>(i)",
    "zero point": (
        f"{SIGN} q = QuantizeLinear(s, one, i3) i = MatMulInteger(q, w, i3, i0) "
        "y = Cast<to = 1>(i)"
    ),
    "QDQ": f"{QUANTIZED} d = DequantizeLinear(q, half, i0) y = MatMul(d, r)",
    "QDQ of weights": (
        f"{QUANTIZED} d = DequantizeLinear(q, half, i0) e = DequantizeLinear(w, tenth, i0) "
        "y = MatMul(d, e)"
    ),
    "QLinearMatMul": (
        f"{QUANTIZED} j = QLinearMatMul(q, half, i0, w, half, i0, two, i3) "
        "y = DequantizeLinear(j, two, i3)"
    ),
    "ConvInteger": (
        f"{SIGN} q = Cast<to = 3>(s) i = ConvInteger<pads = [1, 1, 1, 1]>(q, v) "
        "y = Cast<to = 1>(i)"
    ),
    "QLinearConv": (
        f"{QUANTIZED} j = QLinearConv<strides = [2, 2]>"
        "(q, half, i0, v, scales, none, half, i3, bias) y = DequantizeLinear(j, half, i3)"
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_signs_among_integers_are_packed(form: str) -> None:
    x_type = "float[N, 6, 7, 7] x" if "Conv" in form else "float[N, 12] x"
    y_type = "float[N, 4, H, W] y" if "Conv" in form else "float[N, 8] y"
    source = network(FORMS[form], x_type, y_type, CONSTANTS)
    artifact, _ = from_onnx(source)
    assert {"BinaryLinear", "BinaryConv2d"} & set(operators(artifact.model))
    shape = (5, 6, 7, 7) if "Conv" in form else (5, 12)
    x = RNG.normal(size=shape).astype(np.float32)
    want = run(source, x)
    tolerance = 1e-6 if form == "QDQ of weights" else 0  # each product is scaled by 0.1
    np.testing.assert_allclose(run(artifact.model, x), want, rtol=0, atol=tolerance)
    np.testing.assert_allclose(Model(artifact).run(x), want, rtol=0, atol=tolerance)


def test_eight_bits_stay_exact() -> None:
    """Ties, saturation and zero points of QuantizeLinear, and integers that are no signs."""
    body = (
        "q = QuantizeLinear(x, half, i3) i = MatMulInteger(q, wide, i3, i0) c = Cast<to = 1>(i) "
        "k = QuantizeLinear(c, fine, u7) y = DequantizeLinear(k, fine, u7) "
        f"{SIGN} z = MatMul(s, r)"
    )
    types = ("float[N, 12] x", "float[N, 8] y, float[N, 8] z")
    source = network(body, *types, CONSTANTS)
    artifact, _ = from_onnx(source)
    x = np.concatenate(
        [np.full((1, 12), value) for value in (0.25, 0.75, -0.25, 1e9, -1e9, 63.9)]
    ).astype(np.float32)
    np.testing.assert_array_equal(run(artifact.model, x), run(source, x))


def test_sums_beyond_float32_stay_integers() -> None:
    body = f"q = QuantizeLinear(x, half, i3) i = MatMulInteger(q, huge) {SIGN} y = Add(s, s)"
    source = network(body, "float[N, 2000] x", "int32[N, 8] i, float[N, 2000] y", CONSTANTS)
    artifact, _ = from_onnx(source)
    assert "MatMulInteger" in operators(artifact.model)
    x = np.random.default_rng(1).normal(size=(3, 2000)).astype(np.float32) * 30
    np.testing.assert_array_equal(run(artifact.model, x), run(source, x))
