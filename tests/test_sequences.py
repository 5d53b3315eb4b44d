"""Real convolutions of sequences in the runtime."""

import numpy as np
import pytest
from onnx_graphs import network, run

from bnnkit.artifact.artifact import Artifact
from bnnkit.runtime import Model

RNG = np.random.default_rng(0)
CASES = {
    "plain": ("", (8, 6, 5), True),
    "window": ("strides = [2], pads = [3, 1], dilations = [2]", (8, 6, 3), True),
    "groups": ("group = 2, pads = [1, 1]", (8, 3, 4), False),
    "each channel alone": ("group = 6, strides = [3]", (6, 1, 2), True),
    "one tap": ("", (3, 6, 1), False),
}


@pytest.mark.parametrize("case", CASES)
def test_convolutions_of_sequences(case: str) -> None:
    options, shape, has_bias = CASES[case]
    constants = {
        "w": RNG.normal(size=shape).astype(np.float32),
        "b": RNG.normal(size=shape[0]).astype(np.float32),
        "half": np.float32(0.5),
    }
    inputs = "a, w, b" if has_bias else "a, w"
    body = f"a = Mul(x, half) c = Conv<{options}>({inputs}) y = Relu(c)".replace("<>", "")
    model = network(body, "float[N, 6, 40] x", "float[N, O, L] y", constants)
    x = RNG.normal(size=(3, 6, 40)).astype(np.float32)
    got = Model(Artifact(model)).run(x)
    np.testing.assert_allclose(got, run(model, x), rtol=1e-5, atol=1e-5)


def test_the_input_and_the_output_themselves() -> None:
    weight = RNG.normal(size=(4, 6, 3)).astype(np.float32)
    model = network("y = Conv(x, w)", "float[N, 6, 9] x", "float[N, 4, 7] y", {"w": weight})
    x = RNG.normal(size=(70, 6, 9)).astype(np.float32)
    got = Model(Artifact(model)).run(x, threads=2)
    np.testing.assert_allclose(got, run(model, x), rtol=1e-5, atol=1e-5)
