"""Binary convolutions of sequences become those of maps of height 1."""

import numpy as np
import pytest
from onnx_graphs import network, operators, run

from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model

SIGN = "p = GreaterOrEqual(x, zero) s = Where(p, one, minus) "
OPTIONS = [
    "",
    "pads = [2, 1]",
    "strides = [2], dilations = [2], pads = [1, 1]",
    'auto_pad = "SAME_UPPER"',
    "group = 2",
]


@pytest.mark.parametrize("options", OPTIONS)
def test_convolutions_of_sequences(options: str) -> None:
    """Two of them, with a batch norm, a pool, signs, and a mean over the length."""
    rng = np.random.default_rng(0)
    groups = 2 if "group" in options else 1
    norm = rng.normal(size=(3, 8)).astype(np.float32)
    constants = {
        "w": rng.choice([-0.5, 0.5], (8, 4 // groups, 3)).astype(np.float32),
        "v": rng.choice([-1.0, 1.0], (6, 8, 2)).astype(np.float32),
        "g": norm[0], "b": norm[1], "m": norm[2],
        "u": rng.random(8).astype(np.float32) + 0.5,
        "axes": np.array([2]),
    }  # fmt: skip
    body = (
        f"{SIGN} c = Conv<{options}>(s, w, b) ".replace("<>", "")
        + "n = BatchNormalization(c, g, b, m, u) r = MaxPool<kernel_shape = [2], strides = [2]>(n)"
        " q = Greater(r, zero) k = Where(q, one, minus) d = Conv(k, v) h = Clip(d, minus, two) "
        "y = ReduceMean<keepdims = 0>(h, axes)"
    )
    types = ("float[N, 4, 20] x", "float[N, 6] y")
    source = network(body, *types, constants, opset=18)
    artifact, _ = from_onnx(source)
    x = rng.normal(size=(5, 4, 20)).astype(np.float32)
    np.testing.assert_allclose(run(artifact.model, x), run(source, x), rtol=0, atol=1e-6)
    found = operators(artifact.model)
    assert "Conv" not in found
    assert {"BinaryConv2d", "BinaryConv2dThreshold"} & set(found)


def test_what_is_real_stays_a_sequence() -> None:
    rng = np.random.default_rng(0)
    body = f"{SIGN} z = MatMul(s, v) y = Conv(x, w)"
    types = ("float[N, 4, 20] x", "float[N, 8, 18] y, float[N, 4, 2] z")
    constants = {
        "w": rng.normal(size=(8, 4, 3)).astype(np.float32),
        "v": rng.normal(size=(20, 2)).astype(np.float32),
    }
    artifact, _ = from_onnx(network(body, *types, constants))
    assert operators(artifact.model).count("Conv") == 1
    assert "Unsqueeze" not in operators(artifact.model)


@pytest.mark.parametrize("end", ["Flatten(d)", "ReduceMean<keepdims = 0>(d, axes)"])
def test_a_real_convolution_before_them_is_one_of_maps(end: str) -> None:
    """So nothing between the input and the vector of features changes its shape."""
    rng = np.random.default_rng(0)
    constants = {
        "w": rng.integers(-4, 5, (8, 4, 3)).astype(np.float32) / 2,
        "v": rng.choice([-1.0, 1.0], (6, 8, 2)).astype(np.float32),
        "axes": np.array([2]),
    }
    body = (
        "c = Conv(x, w) q = GreaterOrEqual(c, zero) k = Where(q, one, minus) d = Conv(k, v) "
        f"y = {end}"
    )
    source = network(body, "float[N, 4, 12] x", "float[N, M] y", constants, opset=18)
    artifact, _ = from_onnx(source)
    found = operators(artifact.model)
    assert (found.count("Unsqueeze"), found.count("Squeeze")) == (1, 0)
    x = rng.integers(-9, 9, (5, 4, 12)).astype(np.float32)
    want = run(source, x)
    np.testing.assert_allclose(run(artifact.model, x), want, rtol=1e-6)
    np.testing.assert_allclose(Model(artifact).run(x), want, rtol=1e-6)
