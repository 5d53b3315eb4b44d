"""Signs of plain ONNX graphs: every form gives the bits of its source, sign(0) included."""

import numpy as np
import pytest
from onnx_graphs import NUMBERS, assert_same, dense_with_sign, network, operators, run

from bnnkit.export.from_onnx.convert import from_onnx

SIGNS = {
    "x >= 0": "b = GreaterOrEqual(x, zero) y = Where(b, one, minus)",
    "x > 0": "b = Greater(x, zero) y = Where(b, one, minus)",
    "not x < 0": "b = Less(x, zero) y = Where(b, minus, one)",
    "not x <= 0": "b = LessOrEqual(x, zero) y = Where(b, minus, one)",
    "x <= 0": "b = LessOrEqual(x, zero) y = Where(b, one, minus)",
    "x < 0": "b = Less(x, zero) y = Where(b, one, minus)",
    "0 <= x": "b = LessOrEqual(zero, x) y = Where(b, one, minus)",
    "0 > x": "b = Greater(zero, x) y = Where(b, one, minus)",
    "x >= t": "b = GreaterOrEqual(x, t) y = Where(b, one, minus)",
    "x > t": "b = Greater(x, t) y = Where(b, one, minus)",
    "x < t": "b = Less(x, t) y = Where(b, one, minus)",
    "t >= x": "b = GreaterOrEqual(t, x) y = Where(b, one, minus)",
    "Not": "a = Less(x, t) b = Not(a) y = Where(b, one, minus)",
    "2 b - 1": "b = Greater(x, zero) c = Cast<to = 1>(b) d = Mul(two, c) y = Sub(d, one)",
    "1 - 2 b": "b = Less(x, zero) c = Cast<to = 1>(b) d = Mul(c, two) y = Sub(one, d)",
    "b - 1/2": "b = GreaterOrEqual(x, t) c = Cast<to = 1>(b) y = Sub(c, half)",
    "half": "b = GreaterOrEqual(x, zero) y = Where(b, half, minus_half)",
    "scaled": "b = GreaterOrEqual(x, zero) c = Where(b, one, minus) y = Mul(c, tenth)",
    "Larq": "a = Sign(x) b = Add(a, tenth) y = Sign(b)",
    "to -1": "a = Sign(x) b = Add(minus_half, a) y = Sign(b)",
    "0 chosen": "a = Sign(x) e = Equal(x, zero) y = Where(e, one, a)",
    "0 chosen -1": "a = Sign(x) e = Equal(x, zero) y = Where(e, minus, a)",
}


@pytest.mark.parametrize("form", SIGNS)
def test_signs_of_a_real_input(form: str) -> None:
    source = network(SIGNS[form], "float[N, 10] x", "float[N, 10] y")
    artifact = assert_same(source, NUMBERS[None])
    assert operators(artifact).count("Sign") == 1
    assert not {"Where", "Greater", "Less", "GreaterOrEqual"} & set(operators(artifact))


@pytest.mark.parametrize("form", SIGNS)
def test_signs_of_integer_sums(form: str) -> None:
    """A dense layer of 6 inputs, whose sums can be 0, and a batch norm that is 0 at an integer."""
    rng = np.random.default_rng(3)
    gamma, beta, mean = rng.normal(size=8), np.zeros(8), rng.integers(-3, 3, 8) * 2.0
    beta[5:] = 0.7
    norm = {"gamma": gamma, "beta": beta, "mean": mean, "var": rng.random(8) + 0.5}
    constants = {name: row.astype(np.float32) for name, row in norm.items()}
    weight = rng.choice([-1.0, 1.0], (6, 8)).astype(np.float32)
    body = (
        "positive = GreaterOrEqual(input, zero) signs = Where(positive, one, minus) "
        "sums = MatMul(signs, weight) "
        f"x = BatchNormalization(sums, gamma, beta, mean, var) {SIGNS[form]}"
    )
    types = ("float[N, 6] input", "float[N, 8] y")
    source = network(body, *types, {"weight": weight, **constants})
    inputs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 6), np.float32).reshape(6, -1).T
    artifact = assert_same(source, np.ascontiguousarray(inputs))
    assert "Threshold" in operators(artifact)
    assert operators(artifact).count("Sign") == 1  # that of the input


@pytest.mark.parametrize(
    ("fan_in", "shift", "is_remapped"),
    [(6, 0, True), (7, 0, False), (6, 1, False), (7, 1, True), (6, 0.5, False), (7, -7, True)],
)
def test_sign_of_an_integer_sum_that_can_be_zero_is_reported(
    fan_in: int, shift: float, is_remapped: bool
) -> None:
    source = dense_with_sign(fan_in, shift)
    artifact, differences = from_onnx(source)
    grid = np.array(np.meshgrid(*[[-1.0, 1.0]] * fan_in), np.float32).reshape(fan_in, -1).T
    want = run(source, np.ascontiguousarray(grid))
    assert (want == 0).any() == is_remapped
    assert [sign.input for sign in differences.remapped] == ["an integer sum"] * is_remapped
    np.testing.assert_array_equal(
        run(artifact.model, np.ascontiguousarray(grid)), np.where(want >= 0, 1, -1)
    )


def test_sign_of_a_real_value_is_reported() -> None:
    source = network("y = Sign(x)", "float[N, 10] x", "float[N, 10] y")
    artifact, differences = from_onnx(source)
    assert [(sign.input) for sign in differences.remapped] == ["a real value"]
    np.testing.assert_array_equal(
        run(artifact.model, NUMBERS[None]), np.where(NUMBERS[None] >= 0, 1, -1)
    )


def test_zero_padding_makes_odd_fan_ins_even() -> None:
    weight = np.random.default_rng(0).choice([-1.0, 1.0], (4, 1, 3, 3)).astype(np.float32)
    for pads, expected in (("0, 0, 0, 0", 0), ("1, 1, 1, 1", 1)):
        body = (
            "p = GreaterOrEqual(x, zero) s = Where(p, one, minus) "
            f"c = Conv<pads = [{pads}]>(s, w) y = Sign(c)"
        )
        source = network(body, "float[N, 1, 5, 5] x", "float[N, 4, H, W] y", {"w": weight})
        assert len(from_onnx(source)[1].remapped) == expected
