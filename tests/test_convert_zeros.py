"""Signs of ONNX that are 0 in every image stay 0; those that are often 0 are no signs."""

import numpy as np
import pytest
from onnx_graphs import Array, network, operators, run

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.report import report
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model

RNG = np.random.default_rng(5)
MASK = (np.arange(6) % 3 > 0).astype(np.float32)


def signs(*shape: int) -> Array:
    return RNG.choice([-1.0, 1.0], shape).astype(np.float32)


CONSTANTS = {
    "w": signs(4, 6, 3, 3),
    "w8": signs(4, 8, 3, 3),
    "w12": signs(4, 12, 3, 3),
    "v": signs(6 * 5 * 5, 4),
    "u": signs(6, 4),
    "mask": MASK.reshape(6, 1, 1),
    "spots": (np.arange(25).reshape(5, 5) % 4 > 0).astype(np.float32),
    "filters": (RNG.normal(size=(6, 6, 1, 1)) * MASK.reshape(6, 1, 1, 1)).astype(np.float32),
    "ternary": (signs(4, 6, 3, 3) * (RNG.random((4, 6, 3, 3)) < 0.5)).astype(np.float32),
    "gamma": MASK,
    "beta": (MASK * 0.25).astype(np.float32),
    "unit": np.ones(6, np.float32),
    "nil": np.zeros((1, 2, 5, 5), np.float32),
    "is_kept": MASK.reshape(6, 1, 1) > 0,
    "sides": np.array([0, 0, 1, 2, 0, 0, 0, 1]),
    "depth": np.array([0, 1, 0, 0, 0, 1, 0, 0]),
    "all": np.array([0, 1, 1, 0, 0, 1, 1, 0]),
}
SIGN_OF_MASKED = "m = Mul(x, mask) s = Sign(m)"
NORM = "BatchNormalization(x, gamma, beta, unit, unit)"
PAD_IN_LAYER = "p = Pad(x, sides) s = Sign(p) y = Conv<pads = [1, 1, 0, 2]>(s, w)"
ZEROS = {
    "pad": "p = Pad(x, sides) s = Sign(p) y = Conv(s, w)",
    "pad of channels": "p = Pad(x, depth) s = Sign(p) y = Conv<pads = [1, 1, 1, 1]>(s, w8)",
    "mask": f"{SIGN_OF_MASKED} y = Conv<pads = [1, 1, 1, 1]>(s, w)",
    "filters of zeros": "m = Conv(x, filters) s = Sign(m) y = Conv(s, w)",
    "dead batch norm": f"m = {NORM} s = Sign(m) y = Conv<dilations = [2, 2]>(s, w)",
    "two layers": (
        f"{SIGN_OF_MASKED} c = Conv<pads = [1, 1, 1, 1]>(s, k) n = Add(c, half) "
        "o = Mul(n, mask) q = Sign(o) y = Conv(q, w)"
    ),
}
MORE_ZEROS = {
    "pad of a layer that pads": PAD_IN_LAYER,
    "pad of signs": "s = Sign(x) p = Pad(s, sides) y = Conv(p, w)",
    "pad of channels of signs": (
        "s = Sign(x) p = Pad(s, depth) y = Conv<pads = [1, 1, 1, 1]>(p, w8)"
    ),
    "pad of everything": "p = Pad(x, all) s = Sign(p) y = Conv(s, w8)",
    "mask of pixels": "m = Mul(x, spots) s = Sign(m) y = Conv<strides = [2, 2]>(s, w)",
    "choice": "m = Where(is_kept, x, zero) s = Sign(m) y = Conv(s, w)",
    "joined": "m = Mul(x, mask) j = Concat<axis = 1>(m, x) s = Sign(j) y = Conv(s, w12)",
    "scaled": f"{SIGN_OF_MASKED} h = Mul(s, half) y = Conv(h, w)",
    "estimator": (
        f"{SIGN_OF_MASKED} c = Clip(m, minus, one) d = Sub(s, c) e = Add(d, c) y = Conv(e, w)"
    ),
    "ternary weights": f"{SIGN_OF_MASKED} y = Conv(s, ternary)",
    "pool": f"{SIGN_OF_MASKED} p = MaxPool<kernel_shape = [2, 2]>(s) y = Conv(p, w)",
    "flat": f"{SIGN_OF_MASKED} f = Flatten(s) y = MatMul(f, v)",
    "average": (
        "m = Mul(x, mask) a = GlobalAveragePool(m) f = Flatten(a) s = Sign(f) y = MatMul(s, u)"
    ),
}
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in MORE_ZEROS]


def convert(body: str) -> tuple[Artifact, tuple[int, ...]]:
    constants = {**CONSTANTS, "k": signs(6, 6, 3, 3)}
    source = network(body, "float[N, 6, 5, 5] x", "float[N, A, B, C] y", constants, opset=18)
    if "MatMul" in body:
        del source.graph.output[0].type.tensor_type.shape.dim[2:]
    artifact, differences = from_onnx(source)
    x = np.random.default_rng(1).normal(size=(3, 6, 5, 5)).astype(np.float32)
    want = run(source, x)
    np.testing.assert_array_equal(run(artifact.model, x), want)
    np.testing.assert_array_equal(Model(artifact).run(x), want)
    return artifact, tuple(sign.n_zeros for sign in differences.constant_zeros)


@pytest.mark.parametrize("form", [*ZEROS, *SLOW])
def test_zeros_of_every_image_stay_zeros(form: str) -> None:
    artifact, n_zeros = convert((ZEROS | MORE_ZEROS)[form])
    is_of_signs = "of signs" in form  # their zeros are added behind the sign
    assert bool(n_zeros) != is_of_signs
    kinds = [layer.kind for layer in report(artifact, 0).layers]
    assert kinds[-1] == "binary"


def test_a_pad_before_a_sign_becomes_the_padding_of_the_layer() -> None:
    artifact, n_zeros = convert(PAD_IN_LAYER)
    (layer,) = (node for node in artifact.graph.nodes if node.kind == "bnnkit.BinaryConv2d")
    assert layer.attributes["pads"] == (2, 3, 0, 3)
    assert "Pad" not in operators(artifact.model)
    assert n_zeros == (6 * (6 * 8 - 5 * 5),)


def test_masked_channels_still_have_thresholds() -> None:
    body = "m = Mul(x, mask) s = Sign(m) c = Conv(s, w) n = Add(c, half) q = Sign(n) y = Add(q, q)"
    artifact, _ = convert(body)
    assert "BinaryConv2dThreshold" in operators(artifact.model)


SIGNS_OF_A = "s = Sign(a) y = Conv(s, w)"
OFTEN = {
    "relu, pool": f"r = Relu(x) a = AveragePool<kernel_shape = [2, 2]>(r) {SIGNS_OF_A}",
    "pad, pool": f"p = Pad(x, sides) a = MaxPool<kernel_shape = [3, 3]>(p) {SIGNS_OF_A}",
    "relu, joined": "r = Relu(x) a = Concat<axis = 1>(x, r) s = Sign(a) y = Conv(s, w12)",
    "relus": f"r = Relu(x) q = Clip(x, zero, half) a = Add(r, q) {SIGNS_OF_A}",
    "choice": f"b = Greater(x, half) c = Where(b, x, zero) a = Mul(c, mask) {SIGNS_OF_A}",
}


@pytest.mark.parametrize("form", OFTEN)
def test_zeros_of_some_images_stay_in_float(form: str) -> None:
    artifact, n_zeros = convert(OFTEN[form])
    assert n_zeros == ()
    assert operators(artifact.model).count("Sign") >= 1


def test_zeros_by_chance_are_reported_apart() -> None:
    """Six products of -1 and +1 add up to 0 in some images; two channels are 0 in all."""
    body = (
        "p = GreaterOrEqual(x, zero) s = Where(p, one, minus) c = MatMul(s, w) m = Mul(c, mask) "
    )
    constants = {"w": signs(6, 6), "mask": MASK}
    source = network(f"{body} y = Sign(m)", "float[N, 6] x", "float[N, 6] y", constants)
    artifact, differences = from_onnx(source)
    assert [sign.input for sign in differences.remapped] == ["an integer sum"]
    assert [(sign.n_zeros, sign.n_signs) for sign in differences.constant_zeros] == [(2, 6)]
    grid = np.array(np.meshgrid(*[[-1.0, 1.0]] * 6), np.float32).reshape(6, -1).T.copy()
    want, got = run(source, grid), run(artifact.model, grid)
    np.testing.assert_array_equal(got[:, MASK == 0], 0)
    np.testing.assert_array_equal(got[:, MASK > 0], np.where(want >= 0, 1, -1)[:, MASK > 0])
    odd = network(
        f"{body} o = Add(m, mask) y = Sign(o)", "float[N, 6] x", "float[N, 6] y", constants
    )
    assert from_onnx(odd)[1].remapped == ()
