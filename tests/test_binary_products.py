"""Matrix products of two computed operands of signs, as in attention."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
from onnx_graphs import network, operators, run
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.artifact.standard import STANDARD_OPERATORS
from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.export.passes.two_valued_operands import two_valued
from bnnkit.runtime import Model
from bnnkit.verification.verify import verify

RNG = np.random.default_rng(0)
SIGNS = (
    "p = GreaterOrEqual(x, zero) s = Where(p, one, minus) z = Sub(half, x) "
    "q = GreaterOrEqual(z, zero) r = Where(q, one, minus) "
)


@pytest.mark.parametrize("terms", [1, 63, 64, 65, 129])
@pytest.mark.parametrize("outer", [(), (1,), (3,)], ids=str)
def test_scores_of_queries_and_keys(outer: tuple[int, ...], terms: int) -> None:
    """Sums of any length, with any number of columns, on one thread and on two."""
    axes = ", ".join(map(str, (*outer, 11, terms)))
    result = ", ".join(map(str, (*outer, 11, 11)))
    perm = "0, 2, 1" if not outer else "0, 1, 3, 2"
    body = f"{SIGNS} k = Transpose<perm = [{perm}]>(r) y = MatMul(s, k)"
    source = network(body, f"float[N, {axes}] x", f"float[N, {result}] y")
    artifact, _ = from_onnx(source)
    assert "BinaryMatMul" in operators(artifact.model)
    x = RNG.normal(size=(3, *outer, 11, terms)).astype(np.float32)
    want = run(source, x)
    np.testing.assert_array_equal(run(artifact.model, x), want)
    for threads in (1, 2):
        np.testing.assert_array_equal(Model(artifact).run(x, threads=threads), want)


EINSUMS = {
    "nqd,nkd->nqk": (7, 65),
    "nqd,nkd->nkq": (7, 65),
    "nqhd,nkhd->nhqk": (5, 3, 33),
    "nhqd,nhkd->nqhk": (3, 5, 33),
    "ndq,ndk->nqk": (65, 7),
    "nhwc,nhvc -> nhwv": (3, 5, 33),
}


@pytest.mark.parametrize("equation", EINSUMS)
def test_products_written_as_einsum(equation: str) -> None:
    sizes = EINSUMS[equation]
    rows = ", ".join("NMKLO"[: len(sizes) + 1])
    body = f'{SIGNS} y = Einsum<equation = "{equation}">(s, r)'
    source = network(body, f"float[N, {', '.join(map(str, sizes))}] x", f"float[{rows}] y")
    artifact, _ = from_onnx(source)
    assert "BinaryMatMul" in operators(artifact.model)
    assert "Einsum" not in operators(artifact.model)
    x = RNG.normal(size=(3, *sizes)).astype(np.float32)
    want = run(source, x)
    np.testing.assert_array_equal(run(artifact.model, x), want)
    np.testing.assert_array_equal(Model(artifact).run(x), want)


@pytest.mark.parametrize("equation", ["nqd,nkd->nq", "nqd,nkd->nqkd"])
def test_other_einsums_stay(equation: str) -> None:
    """A sum over an axis of one operand, and no sum at all."""
    rows = ", ".join("NMKLO"[: len(equation.partition("->")[2])])
    body = f'{SIGNS} y = Einsum<equation = "{equation}">(s, r) v = MatMul(s, w)'
    types = ("float[N, 6, 5] x", f"float[{rows}] y, float[N, 6, 8] v")
    source = network(body, *types, {"w": RNG.choice([-1.0, 1.0], (5, 8)).astype("f")})
    artifact, _ = from_onnx(source)
    assert "Einsum" in operators(artifact.model)
    x = RNG.normal(size=(2, 6, 5)).astype(np.float32)
    np.testing.assert_array_equal(run(artifact.model, x), run(source, x))


def test_signs_of_products_are_no_thresholds() -> None:
    """A product has no weights, so no channel has a bound."""
    body = (
        f"{SIGNS} k = Transpose<perm = [0, 2, 1]>(r) m = MatMul(s, k) b = Add(m, half) "
        "g = GreaterOrEqual(b, zero) h = Where(g, one, minus) y = MatMul(h, s)"
    )
    source = network(body, "float[N, 6, 65] x", "float[N, 6, 65] y")
    artifact, _ = from_onnx(source)
    found = operators(artifact.model)
    assert (found.count("BinaryMatMul"), "Threshold" in found) == (2, False)
    x = RNG.normal(size=(3, 6, 65)).astype(np.float32)
    np.testing.assert_array_equal(Model(artifact).run(x), run(source, x))


def test_an_operand_that_is_broadcast_stays_real() -> None:
    body = f"{SIGNS} f = ReduceMean<axes = [1]>(r) g = GreaterOrEqual(f, zero) "
    body += "h = Where(g, one, minus) k = Transpose<perm = [0, 1, 3, 2]>(h) y = MatMul(s, k)"
    source = network(body, "float[N, 3, 6, 5] x", "float[N, 3, 6, 6] y")
    artifact, _ = from_onnx(source)
    assert "BinaryMatMul" not in operators(artifact.model)
    x = RNG.normal(size=(2, 3, 6, 5)).astype(np.float32)
    np.testing.assert_array_equal(Model(artifact).run(x), run(source, x))


@pytest.mark.parametrize(("yes", "no"), [(1.0, 0.0), (0.0, 1.0), (2.5, -0.5), (1.0, -0.5)])
@pytest.mark.parametrize("is_left", [True, False])
def test_operands_of_two_other_values(yes: float, no: float, is_left: bool) -> None:
    """Such as attention of 0 and 1: exact, as all numbers here are multiples of 1/4."""
    body = f"{SIGNS} a = Mul(r, scale) b = Add(shift, a) k = Transpose<perm = [0, 1, 3, 2]>(s) "
    body += "y = MatMul(b, k)" if is_left else "y = MatMul(k, b)"
    rows = "11, 11" if is_left else "70, 70"
    constants = {"scale": np.float32((yes - no) / 2), "shift": np.float32((yes + no) / 2)}
    source = network(body, "float[N, 3, 11, 70] x", f"float[N, 3, {rows}] y", constants)
    artifact, _ = from_onnx(source)
    found = operators(artifact.model)
    assert ("BinaryMatMul" in found, "MatMul" in found) == (True, False)
    x = RNG.normal(size=(3, 3, 11, 70)).astype(np.float32)
    want = run(source, x)
    np.testing.assert_array_equal(run(artifact.model, x), want)
    np.testing.assert_array_equal(Model(artifact).run(x), want)


@pytest.mark.parametrize("is_left", [True, False])
def test_comparisons_that_are_0_or_1(is_left: bool) -> None:
    """As a `Where` and as a `Cast`, multiplied with signs and with each other."""
    body = f"{SIGNS} b = Where(q, one, none) k = Transpose<perm = [0, 1, 3, 2]>(s) "
    body += "c = Cast<to = 1>(p) " + ("m = MatMul(b, k) " if is_left else "m = MatMul(k, b) ")
    body += "v = Transpose<perm = [0, 1, 3, 2]>(c) n = MatMul(b, v) y = Add(m, n)"
    if not is_left:
        body = body.replace("MatMul(b, v)", "MatMul(v, b)")
    rows = "11, 11" if is_left else "70, 70"
    constants = {"none": np.float32(0)}
    source = network(body, "float[N, 3, 11, 70] x", f"float[N, 3, {rows}] y", constants)
    artifact, _ = from_onnx(source)
    found = operators(artifact.model)
    assert (found.count("BinaryMatMul"), found.count("MatMul")) == (2, 0)
    x = RNG.normal(size=(3, 3, 11, 70)).astype(np.float32)
    want = run(source, x)
    np.testing.assert_array_equal(run(artifact.model, x), want)
    np.testing.assert_array_equal(Model(artifact).run(x), want)


def test_both_operands_of_two_other_values() -> None:
    """x = (s + 1) / 2 and y = 3 - 2 t, written as torch and as people do."""
    body = (
        f"{SIGNS} a = Add(s, one) b = Div(a, two) c = Mul(two, r) d = Sub(three, c) "
        "e = Neg(d) k = Transpose<perm = [0, 2, 1]>(e) y = MatMul(b, k)"
    )
    constants = {"two": np.float32(2), "three": np.float32(3)}
    source = network(body, "float[N, 11, 70] x", "float[N, 11, 11] y", constants)
    artifact, _ = from_onnx(source)
    x = RNG.normal(size=(3, 11, 70)).astype(np.float32)
    want = run(source, x)
    np.testing.assert_array_equal(Model(artifact).run(x), want)


def test_a_line_of_more_operators_than_calls_can_nest() -> None:
    adds = " ".join(f"a{i + 1} = Add(a{i}, half)" for i in range(1200))
    body = f"r = DequantizeLinear(s, unit, middle) a0 = Neg(r) {adds} y = Div(a1200, half)"
    constants = {"unit": np.float32(1), "middle": np.uint8(1)}
    source = network(body, "uint8[N, 3] s", "float[N, 3] y", constants)
    found = two_valued(ir.from_proto(source).graph.outputs[0])
    assert found is not None
    assert (found.signs.name, found.scale, found.shift) == ("s", -2, 1200)


class Attention(nn.Module):
    """Binary queries, keys and values, and attention of -1 and +1."""

    def __init__(self) -> None:
        super().__init__()
        self.first = bnn.Sign(noise="none")
        self.signs = nn.ModuleList(bnn.Sign(noise="none") for _ in range(4))
        self.maps = nn.ModuleList(bnn.BinaryLinear(24, 24, noise="none") for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        n, length, channels = x.shape
        x = self.first(x)
        queries, keys, values = (
            sign(layer(x)).view(n, length, 3, 8).transpose(1, 2)
            for sign, layer in zip(self.signs[:3], self.maps, strict=True)
        )
        scores = self.signs[3](queries @ keys.transpose(-1, -2) - 1)
        attended: Tensor = scores @ values
        return attended.transpose(1, 2).reshape(n, length, channels)


@pytest.mark.slow
def test_attention_is_the_same_in_all_engines() -> None:
    torch.manual_seed(0)
    module, x = Attention().eval(), torch.randn(3, 10, 24)
    artifact = from_torch(module, x)
    found = operators(artifact.model)
    assert (found.count("BinaryMatMul"), found.count("MatMul")) == (2, 0)
    for comparison in verify(artifact, x.numpy(), network=module).comparisons:
        assert comparison.is_equal, comparison


def test_products_of_matrices_with_gaps() -> None:
    """Such as the heads of an attention, which lie beside each other in a map."""
    x, y = (RNG.normal(size=(2, 5, 7, 9, 3)).astype(np.float32) for _ in range(2))
    left, right = (np.moveaxis(array, 1, -1)[..., 0, :, :] for array in (x, y))
    want = left @ np.swapaxes(right, -1, -2)
    got = STANDARD_OPERATORS["MatMul"]({}, left, np.swapaxes(right, -1, -2))
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)
