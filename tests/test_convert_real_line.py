"""Signs as functions on the real line: how people write them, and what is none."""

import numpy as np
import pytest
from onnx_graphs import NUMBERS, assert_same, network, operators, run

from bnnkit.export.from_onnx.convert import from_onnx
from bnnkit.export.from_onnx.piecewise.float32_line import (
    LARGEST_ORDINAL,
    first_where,
    from_ordinal,
    ordinal,
)

ONES = np.ones((1, 10), np.float32)
CONSTANTS = {
    "ones": ONES,
    "minus_ones": -ONES,
    "i1": np.int64(1),
    "i2": np.int64(2),
    "j1": np.int8(1),
    "j_minus": np.int8(-1),
    "u2": np.uint8(2),
    "u0": np.uint8(0),
    "u1": np.uint8(1),
    "three": np.float32(3),
}

SIGNS = {
    "full constants": "b = GreaterOrEqual(x, zero) y = Where(b, ones, minus_ones)",
    "int64": (
        "b = GreaterOrEqual(x, zero) c = Cast<to = 7>(b) d = Mul(c, i2) e = Sub(d, i1) "
        "y = Cast<to = 1>(e)"
    ),
    "int8": "b = Greater(x, zero) c = Where(b, j1, j_minus) y = Cast<to = 1>(c)",
    "int8, scaled": "b = Greater(x, t) c = Where(b, j1, j_minus) y = DequantizeLinear(c, half)",
    "uint8": "b = Less(x, t) c = Where(b, u0, u2) y = DequantizeLinear(c, one, u1)",
    "o[o == 0] = 1": "o = Sign(x) e = Equal(o, zero) y = Where(e, one, o)",
    "o[o == 0] = -1": "o = Sign(x) e = Equal(o, zero) y = Where(e, minus, o)",
    "o[o == 0] = 1, indices": (
        "o = Sign(x) e = Equal(o, zero) n = NonZero(e) p = Transpose<perm = [1, 0]>(n) "
        "m = Constant<value_ints = [-1]>() r = Reshape(e, m) i = Cast<to = 7>(r) "
        "k = ReduceSum(i) u = Expand(one, k) y = ScatterND(o, p, u)"
    ),
    "sign + (x == 0)": "o = Sign(x) e = Equal(x, zero) f = Cast<to = 1>(e) y = Add(o, f)",
    "sign - (x == 0)": "o = Sign(x) e = Equal(x, zero) f = Cast<to = 1>(e) y = Sub(o, f)",
    "two comparisons": (
        "a = GreaterOrEqual(x, zero) b = Less(x, zero) f = Cast<to = 1>(a) g = Cast<to = 1>(b) "
        "y = Sub(f, g)"
    ),
    "rounded": (
        "a = Add(x, one) b = Div(a, two) c = Clip(b, zero, one) r = Round(c) d = Mul(r, two) "
        "y = Sub(d, one)"
    ),
    "chosen clamp": (
        "a = Greater(x, one) b = Where(a, one, x) c = Less(b, minus) d = Where(c, minus, b) "
        "e = GreaterOrEqual(d, t) y = Where(e, one, minus)"
    ),
    "falling": "n = Neg(x) b = Greater(n, t) y = Where(b, one, minus)",
    "and": "a = Greater(x, t) b = Greater(x, zero) c = And(a, b) y = Where(c, half, minus_half)",
}


@pytest.mark.parametrize("form", SIGNS)
def test_signs_however_they_are_written(form: str) -> None:
    source = network(SIGNS[form], "float[N, 10] x", "float[N, 10] y", CONSTANTS)
    artifact = assert_same(source, NUMBERS[None])
    assert operators(artifact).count("Sign") == 1
    assert not {"Where", "Cast", "Equal", "Greater", "Clip", "Round"} & set(operators(artifact))


def test_thresholds_for_each_channel() -> None:
    limits = np.random.default_rng(0).normal(size=10).astype(np.float32)
    body = "b = GreaterOrEqual(x, limits) c = Cast<to = 7>(b) d = Mul(c, i2) e = Sub(d, i1) "
    source = network(
        f"{body} y = Cast<to = 1>(e)", *("float[N, 10] x", "float[N, 10] y"),
        {**CONSTANTS, "limits": limits},
    )  # fmt: skip
    x = np.stack(
        [limits, np.nextafter(limits, np.float32(-9)), np.nextafter(limits, np.float32(9))]
    )
    assert operators(assert_same(source, x)).count("Sign") == 1


ESTIMATORS = {
    "s + clip - clip": (
        "s = Sign(x) c = Clip(x, minus, one) d = Clip(x, minus, one) a = Add(s, c) y = Sub(a, d)"
    ),
    "(s - x) + x": "s = Sign(x) d = Sub(s, x) y = Add(d, x)",
    "x + (s - x)": "s = Sign(x) d = Sub(s, x) y = Add(x, d)",
    "tanh": "s = Sign(x) u = Tanh(x) v = Tanh(x) d = Sub(s, u) y = Add(d, v)",
    "Bi-Real-Net": (
        "s = Sign(x) a = Less(x, minus) m = Cast<to = 1>(a) b = Less(x, zero) n = Cast<to = 1>(b) "
        "c = Less(x, one) o = Cast<to = 1>(c) m1 = Mul(m, minus) xx = Mul(x, x) "
        "x2 = Mul(x, two) q = Add(xx, x2) mi = Sub(one, m) qm = Mul(q, mi) o1 = Add(m1, qm) "
        "nx = Neg(x) nxx = Mul(nx, x) r = Add(nxx, x2) ni = Sub(one, n) o1n = Mul(o1, n) "
        "rn = Mul(r, ni) o2 = Add(o1n, rn) o2o = Mul(o2, o) oi = Sub(one, o) o3 = Add(o2o, oi) "
        "d = Sub(s, o3) y = Add(d, o3)"
    ),
}


@pytest.mark.parametrize("form", ESTIMATORS)
def test_what_a_straight_through_estimator_leaves(form: str) -> None:
    source = network(ESTIMATORS[form], "float[N, 10] x", "float[N, 10] y")
    artifact, differences = from_onnx(source)
    assert operators(artifact.model) == ["Sign", "DequantizeLinear"]
    assert len(differences.remapped) == 1  # of torch.sign
    (rounded,) = differences.rounded_signs
    x = np.random.default_rng(0).normal(size=(2000, 10)).astype(np.float32)
    x = np.concatenate([x, NUMBERS[None, :8].repeat(2, 1)[:, :10]])
    want, got = run(source, x), run(artifact.model, x)
    np.testing.assert_array_equal(got[x != 0], np.sign(x)[x != 0])
    assert np.abs(got - want)[x != 0].max() <= max(rounded.deviation, 1e-30)
    assert rounded.deviation <= 2**-22


def test_a_sign_that_is_written_with_its_zero_is_not_remapped() -> None:
    body = "a = Sign(x) b = Add(a, tenth) s = Sign(b) d = Sub(s, x) y = Add(d, x)"
    _, differences = from_onnx(network(body, "float[N, 10] x", "float[N, 10] y"))
    assert differences.remapped == ()
    assert len(differences.rounded_signs) == 1


NO_SIGNS = {
    "ternary": (
        "a = Greater(x, half) b = Less(x, minus_half) f = Cast<to = 1>(a) g = Cast<to = 1>(b) "
        "y = Sub(f, g)"
    ),
    "sign of relu": "r = Relu(x) y = Sign(r)",
    "size of a sign": "s = Sign(x) y = Abs(s)",
    "rounded to three": "c = Clip(x, minus, one) y = Round(c)",
    "0 and 1": "b = Greater(x, zero) y = Cast<to = 1>(b)",
    "2 at 0": "b = Equal(x, zero) s = Sign(x) f = Cast<to = 1>(b) d = Mul(f, two) y = Add(s, d)",
    "clipped": "y = Clip(x, minus, one)",
    "steep": "a = Mul(x, big) y = Clip(a, minus, one)",
    "magic rounding": "a = Add(x, magic) b = Sub(a, magic) y = Sub(b, x)",
}


@pytest.mark.parametrize("form", NO_SIGNS)
def test_what_is_no_sign_stays_as_it_is(form: str) -> None:
    """Beside a sign, as a network without one is refused."""
    constants = {"big": np.float32(1e20), "magic": np.float32(12582912)}
    body = f"{NO_SIGNS[form]} k = GreaterOrEqual(x, zero) z = Where(k, one, minus)"
    source = network(body, "float[N, 10] x", "float[N, 10] y, float[N, 10] z", constants)
    artifact, differences = from_onnx(source)
    assert operators(artifact.model).count("DequantizeLinear") == 1
    assert differences.remapped == ()
    x = np.concatenate([NUMBERS[None], np.linspace(-3, 3, 200, dtype=np.float32).reshape(20, 10)])
    np.testing.assert_array_equal(run(artifact.model, x), run(source, x))


def test_random_signs_stay_random() -> None:
    body = (
        "r = RandomUniformLike(x) b = Greater(x, r) y = Where(b, one, minus) "
        "k = Greater(x, zero) z = Where(k, one, minus)"
    )
    source = network(body, "float[N, 10] x", "float[N, 10] y, float[N, 10] z")
    artifact, _ = from_onnx(source)
    assert {"RandomUniformLike", "Greater", "Where"} <= set(operators(artifact.model))


def test_a_pool_of_a_relu_is_zero_too_often() -> None:
    body = (
        "r = Relu(x) p = MaxPool<kernel_shape = [2, 2]>(r) y = Sign(p) "
        "k = Greater(x, zero) z = Where(k, one, minus)"
    )
    types = "float[N, 2, 3, 3] x", "float[N, 2, 2, 2] y, float[N, 2, 3, 3] z"
    artifact, differences = from_onnx(network(body, *types))
    assert differences.remapped == ()
    assert operators(artifact.model).count("DequantizeLinear") == 1


def test_the_order_of_the_numbers() -> None:
    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    x = np.sort(np.concatenate([x, NUMBERS]))
    numbers = np.array([ordinal(value) for value in x])
    assert (np.diff(numbers) >= 0).all()
    np.testing.assert_array_equal(from_ordinal(numbers), x)
    assert ordinal(-0.0) == ordinal(0.0) == 0
    assert ordinal(np.nextafter(np.float32(0.3), np.float32(1))) == ordinal(0.3) + 1
    assert ordinal(np.finfo(np.float32).max) == LARGEST_ORDINAL


@pytest.mark.parametrize("limit", [-7e9, -0.3, 0.0, 1e-45, 0.1, 3e38])
def test_bisection_finds_the_first_number(limit: float) -> None:
    found = first_where(lambda x: x >= np.float32(limit), -LARGEST_ORDINAL, LARGEST_ORDINAL)
    assert found == ordinal(limit)
    assert first_where(lambda x: x > x, -5, 9) == 10
    assert first_where(lambda x: x == x, -5, 9) == -5
