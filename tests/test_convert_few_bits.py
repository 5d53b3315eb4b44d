"""Activations of two to four bits in files of others become bit planes of binary layers."""

import re

import numpy as np
import pytest
from onnx_graphs import Array, network, operators, run

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.reference import Reference
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.runtime import Model

RNG = np.random.default_rng(4)
CONSTANTS = {
    "w": RNG.choice([-1.0, 1.0], (4, 6, 3, 3)).astype(np.float32),
    "ternary": RNG.choice([-1.0, 0.0, 1.0], (4, 6, 3, 3)).astype(np.float32),
    "levels": RNG.choice([0.25, 0.75], (4, 6, 3, 3)).astype(np.float32),
    "u": RNG.choice([-1.0, 1.0], (6 * 5 * 5, 4)).astype(np.float32),
    "q": RNG.choice([-1, 1], (4, 6, 3, 3)).astype(np.int8),
    "sides": np.array([0, 0, 1, 2, 0, 0, 0, 1]),
    "bias": RNG.integers(-9, 9, 4).astype(np.float32),
    "two_bits": np.float32(2),
    "three_bits": np.float32(3),
    "quarter": np.float32(0.25),
    "three": np.float32(3),
    "nothing": np.uint8(0),
    "no": np.int8(0),
}
QUANT = "qonnx.custom_op.general.Quant"
UNSIGNED = f"a = {QUANT}<signed = 0, narrow = 0>(x, half, zero, two_bits)"
DOREFA = "c = Clip(x, zero, one) m = Mul(c, three) r = Round(m) a = Div(r, three)"
UINT8 = "m = Mul(x, two) c = Clip(m, zero, three) i = QuantizeLinear(c, one, nothing)"
CASES = {
    "unsigned": f"{UNSIGNED} y = Conv<pads = [1, 1, 1, 1]>(a, w)",
    "signed": f"a = {QUANT}<signed = 1, narrow = 0>(x, half, zero, two_bits) "
    "y = Conv<pads = [1, 1, 1, 1]>(a, w, bias)",
    "narrow": f"a = {QUANT}<signed = 1, narrow = 1>(x, quarter, zero, two_bits) "
    "y = Conv<pads = [1, 1, 1, 1]>(a, w)",
    "narrow, three bits": f"a = {QUANT}<signed = 1, narrow = 1>(x, half, zero, three_bits) "
    "y = Conv<strides = [2, 2]>(a, w)",
    "integers": f"{UINT8} s = ConvInteger<pads = [0, 1, 1, 0]>(i, q, nothing, no) "
    "y = Cast<to = 1>(s)",
    "quantized": f"{UINT8} d = DequantizeLinear(i, half, nothing) "
    "y = Conv<pads = [1, 1, 1, 1]>(d, w)",
    "ternary weights": f"{UNSIGNED} y = Conv<pads = [1, 1, 1, 1]>(a, ternary)",
    "weights of two numbers": f"{UNSIGNED} y = Conv<pads = [1, 1, 1, 1]>(a, levels)",
    "descending": f"n = Neg(x) b = {QUANT}<signed = 0, narrow = 0>(n, half, zero, two_bits) "
    "a = Sub(two, b) y = Conv(a, w)",
    "padded": f"{UNSIGNED} p = Pad(a, sides) y = Conv<pads = [1, 0, 0, 0]>(p, w)",
    "pooled": f"{UNSIGNED} p = MaxPool<kernel_shape = [2, 2]>(a) y = Conv(p, w)",
    "flat": f"{UNSIGNED} f = Flatten(a) y = MatMul(f, u)",
    "then a sign": f"{UNSIGNED} c = Conv<pads = [1, 1, 1, 1]>(a, w) b = Add(c, minus_half) "
    "g = GreaterOrEqual(b, zero) y = Where(g, one, minus)",
    "clipped after rounding": "m = Mul(x, two) r = Round(m) c = Clip(r, zero, three) "
    "y = Conv<pads = [1, 1, 1, 1]>(c, w)",
    "with a zero point": "m = Mul(x, two) f = Floor(m) s = Sub(f, one) l = Min(s, two) "
    "c = Max(l, minus) a = Mul(c, half) y = Conv(a, w)",
    "then levels": f"{UNSIGNED} c = Conv<pads = [1, 1, 1, 1]>(a, w) "
    "m = MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(c) n = Neg(m) "
    f"b = {QUANT}<signed = 0, narrow = 0>(n, two, zero, three_bits) s = Mul(b, half) "
    "v = Transpose<perm = [0, 2, 3, 1]>(s) e = MatMul(v, k) y = Transpose<perm = [0, 3, 1, 2]>(e)",
}


def in_standard_operators(body: str) -> str:
    """Each `Quant` as the operators that define it."""

    def defined(found: re.Match[str]) -> str:
        y, signed, narrow, x, scale, bits = found.groups()
        half = (2 if bits == "two_bits" else 3) - int(signed)
        low, high = -(2**half) * int(signed) + int(narrow), 2**half - 1
        limits = (
            f"{y}_{end} = Constant<value = float {{{n}}}>()"
            for end, n in (("l", low), ("h", high))
        )
        return (
            f"{' '.join(limits)} {y}_d = Div({x}, {scale}) {y}_c = Clip({y}_d, {y}_l, {y}_h) "
            f"{y}_r = Round({y}_c) {y} = Mul({y}_r, {scale})"
        )

    return re.sub(
        rf"(\w+) = {QUANT}<signed = (\d), narrow = (\d)>\((\w+), (\w+), zero, (\w+)\)",
        defined,
        body,
    )


QUICK = ("unsigned", "narrow", "integers", "then a sign", "clipped after rounding")
FORMS = [p if p in QUICK else pytest.param(p, marks=pytest.mark.slow) for p in CASES]
RNG_OF_K = np.random.default_rng(5)
ALL = CONSTANTS | {"k": RNG_OF_K.choice([-1.0, 1.0], (4, 4)).astype(np.float32)}


def converted(case: str) -> tuple[Artifact, Array, Array]:
    """The artifact of a case, inputs, and what ONNX Runtime computes for the source."""
    body = CASES[case]
    types = ("float[N, 6, 5, 5] x", "float[N, 4] y" if "u)" in body else "float[N, 4, H, W] y")
    artifact, differences = from_onnx(network(body, *types, ALL))
    assert differences.remapped == ()
    x = np.random.default_rng(1).normal(size=(3, 6, 5, 5)).astype(np.float32)
    x[0, :, 0] = np.arange(-4, 26).reshape(6, 5) / 8  # on the thresholds
    return artifact, x, run(network(in_standard_operators(body), *types, ALL), x)


@pytest.mark.parametrize("case", FORMS)
def test_layers_of_few_bits_are_packed(case: str) -> None:
    """The steps are powers of two, so every engine gives the bits of the source."""
    artifact, x, want = converted(case)
    found = operators(artifact.model)
    assert not {"Conv", "ConvInteger", "Round", "Floor", "Clip"} & set(found)
    assert "BinaryConv2d" in found or "BinaryLinear" in found
    np.testing.assert_array_equal(run(artifact.model, x), want)
    np.testing.assert_array_equal(Reference(artifact).run(x)[0], want)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_the_runtime_gives_the_bits_of_the_source(case: str) -> None:
    artifact, x, want = converted(case)
    np.testing.assert_array_equal(Model(artifact).run(x), want)
