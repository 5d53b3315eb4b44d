"""Operators in NumPy and in kernels against their definitions in float64, over hostile values.

The tolerances are those of the results: relative for functions of one number, relative to the
largest term for sums and differences.
"""

from collections.abc import Callable
from math import erf, erfc
from typing import Any

import numpy as np
import pytest
from artifacts import ArtifactBuilder
from numpy.typing import NDArray

from bnnkit.artifact.operators.facts import FACTS, with_result
from bnnkit.artifact.reference import Reference
from bnnkit.artifact.standard import STANDARD_OPERATORS
from bnnkit.runtime import Model

Array = NDArray[Any]

LARGEST = float(np.finfo(np.float32).max)
TINY = 2e-45
"""Half the distance between subnormal numbers of float32, rounded up."""
NUMBERS = [0.0, -0.0, 1e-45, 1e-38, 1e-20, 1e-7, 1e-3, 0.1, 0.5, 1.0, 1.5, 2.5, 3.0, 5.0, 8.0]
NUMBERS += [11.0, 17.0, 20.0, 44.0, 80.0, 88.0, 89.0, 100.0, 103.0, 104.0, 1e3, 1e6, 2.0**23 + 1]
NUMBERS += [1e10, 1e18, 1e20, 1e30, LARGEST]
HOSTILE = np.array([*NUMBERS, *(-n for n in NUMBERS)], np.float32)


def softplus(x: Array) -> Array:
    return np.logaddexp(x, 0)


def sigmoid(x: Array) -> Array:
    return np.asarray(np.exp(-softplus(-x)))


def gelu(x: Array) -> Array:
    return np.asarray(x * np.array([erfc(-v / 2**0.5) for v in x]) / 2)


def tanh_gelu(x: Array) -> Array:
    return np.asarray(x * sigmoid(2 * np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


def bounded(x: Array, low: float, high: float) -> Array:
    return np.minimum(np.maximum(x, low), high)


Engine = Callable[..., Array]


def by_reference(kind: str, attributes: dict[str, Any], x: Array, *constants: Array) -> Array:
    """Compute an operator with the reference executor."""
    a = ArtifactBuilder()
    words = {k: v.decode() if isinstance(v, bytes) else v for k, v in attributes.items()}
    out = a.add(kind, "x", *map(a.constant, constants), **words)
    return Reference(a.artifact(x.shape[1:], out)).run(x)[0]


def by_numpy(kind: str, attributes: dict[str, Any], x: Array, *constants: Array) -> Array:
    """Compute an operator as the runtime does."""
    return STANDARD_OPERATORS[kind](attributes, x, *constants)


ENGINES = pytest.mark.parametrize("engine", [by_numpy, by_reference])
ALPHA, GAMMA = 1.67326319217681884765625, 1.05070102214813232421875
UNARY: dict[str, tuple[Callable[[Array], Array], dict[str, Any], float]] = {
    # The function in float64, attributes, and the relative tolerance.
    "Abs": (np.abs, {}, 0),
    "Neg": (np.negative, {}, 0),
    "Ceil": (np.ceil, {}, 0),
    "Floor": (np.floor, {}, 0),
    "Round": (np.rint, {}, 0),
    "Sign": (np.sign, {}, 0),
    "Identity": (lambda x: x, {}, 0),
    "Relu": (lambda x: np.maximum(x, 0), {}, 0),
    "LeakyRelu": (lambda x: np.where(x < 0, 0.3 * x, x), {"alpha": 0.3}, 2e-7),
    "ThresholdedRelu": (lambda x: np.where(x > 1.5, x, 0), {"alpha": 1.5}, 0),
    "Sqrt": (np.sqrt, {}, 1e-7),
    "Reciprocal": (lambda x: 1 / x, {}, 1e-7),
    "Exp": (np.exp, {}, 3e-7),
    "Log": (np.log, {}, 3e-7),
    "Sin": (np.sin, {}, 3e-7),
    "Cos": (np.cos, {}, 3e-7),
    "Tan": (np.tan, {}, 1e-6),
    "Asin": (np.arcsin, {}, 3e-7),
    "Acos": (np.arccos, {}, 3e-7),
    "Atan": (np.arctan, {}, 3e-7),
    "Sinh": (np.sinh, {}, 3e-7),
    "Cosh": (np.cosh, {}, 3e-7),
    "Asinh": (np.arcsinh, {}, 3e-7),
    "Acosh": (np.arccosh, {}, 3e-7),
    "Atanh": (np.arctanh, {}, 3e-7),
    "Tanh": (np.tanh, {}, 3e-7),
    "Sigmoid": (sigmoid, {}, 5e-7),
    "HardSigmoid": (lambda x: bounded(0.2 * x + 0.5, 0, 1), {}, 3e-7),
    "HardSwish": (lambda x: x * bounded(x / 6 + 0.5, 0, 1), {}, 5e-7),
    "Elu": (lambda x: np.where(x < 0, 0.7 * np.expm1(x), x), {"alpha": 0.7}, 5e-7),
    "Selu": (lambda x: GAMMA * np.where(x > 0, x, ALPHA * np.expm1(x)), {}, 5e-7),
    "Celu": (lambda x: np.where(x > 0, x, 0.7 * np.expm1(x / 0.7)), {"alpha": 0.7}, 5e-7),
    "Softplus": (softplus, {}, 5e-7),
    "Softsign": (lambda x: x / (1 + np.abs(x)), {}, 3e-7),
    "Mish": (lambda x: x * np.tanh(softplus(x)), {}, 1e-6),
    "Gelu": (gelu, {}, 1e-6),
    "Erf": (lambda x: np.array([erf(v) for v in x]), {}, 3e-7),
}
CHECKED_ELSEWHERE = {
    *("Add", "Sub", "Mul", "Div", "Mod", "Pow", "Max", "Min", "Sum", "Clip", "PRelu"),
    *("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"),
    *("And", "Or", "Xor", "Not", "Where", "Cast", "Dropout", "Mean", "IsNaN", "IsInf"),
    *("BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitShift"),
}
"""Of two operands (below), or of one rounding, or logic: test_operators.py has them."""


def assert_within(got: Array, want: Array, tolerance: Array | float) -> None:
    """Compare with a definition in float64, of which float32 keeps what its range holds."""
    with np.errstate(all="ignore"):
        rounded = want.astype(np.float32)
    is_finite = np.isfinite(rounded)
    np.testing.assert_array_equal(got[~is_finite], rounded[~is_finite])
    with np.errstate(invalid="ignore"):
        error = np.abs(got.astype(np.float64) - want)
        limit = np.broadcast_to(tolerance * np.abs(want) + TINY, want.shape)
    worst = np.where(is_finite, error - limit, -1).argmax()
    assert (error <= limit)[is_finite].all(), (worst, got.flat[worst], want.flat[worst])


def test_every_elementwise_operator_is_checked() -> None:
    alone = with_result("same", "exact", "approximate") & STANDARD_OPERATORS.keys()
    channelwise = {"BatchNormalization", "DequantizeLinear"}
    assert alone - channelwise == (UNARY.keys() | CHECKED_ELSEWHERE) - {"Sum", "Mean"}


@ENGINES
@pytest.mark.parametrize("kind", UNARY)
def test_functions_of_one_number(kind: str, engine: Engine) -> None:
    function, attributes, tolerance = UNARY[kind]
    with np.errstate(all="ignore"):
        want = function(HOSTILE.astype(np.float64))
        got = engine(kind, attributes, HOSTILE)
    assert got.dtype == np.float32
    assert_within(got, want, tolerance)
    with np.errstate(all="ignore"):
        of_nan = engine(kind, attributes, np.array([np.nan], np.float32))
    assert np.isnan(of_nan).all() == (kind != "ThresholdedRelu"), of_nan


@ENGINES
def test_gelu_by_tanh(engine: Engine) -> None:
    with np.errstate(all="ignore"):
        want = tanh_gelu(HOSTILE.astype(np.float64))
        got = engine("Gelu", {"approximate": b"tanh"}, HOSTILE)
    assert_within(got, want, 1e-6)


def test_half_precision_does_not_lose_the_tail_of_a_sigmoid() -> None:
    x = np.array([-15, -11.5, 0, 11.5], np.float16)
    with np.errstate(over="ignore"):
        got = STANDARD_OPERATORS["Sigmoid"]({}, x)
    assert got.dtype == np.float16
    np.testing.assert_allclose(got, sigmoid(x.astype(np.float64)), rtol=2e-3, atol=3e-8)


ROWS = [
    [0.0, -200.0, -1000.0],
    [1e4, 1e4 - 1, 9e3],
    [-1e6, -1e6, -1e6],
    [-3e38, 3e38, 0.0],
    [88.0, 89.0, 90.0],
    [1e-40, 0.0, -1e-40],
    [-103.0, -104.0, 5.0],
    [2e8, 2e8 + 16, 2e8 - 16],
]
SCORES = np.array(ROWS, np.float32)


def log_sum_exp(x: Array) -> Array:
    largest = x.max(1, keepdims=True)
    return np.asarray(largest + np.log(np.exp(x - largest).sum(1, keepdims=True)))


def norm(x: Array) -> Array:
    return np.asarray(np.sqrt(np.square(x).sum(1, keepdims=True)))


def normal(x: Array) -> Array:
    centred = x - x.mean(1, keepdims=True)
    deviation = np.sqrt(np.square(centred).mean(1, keepdims=True) + np.float32(1e-5))
    return np.asarray(centred / deviation)


ONE = np.ones(3, np.float32)
AXIS = np.array([1])
ROWWISE: dict[str, tuple[Callable[[Array], Array], dict[str, Any], list[Array]]] = {
    "Softmax": (lambda x: np.exp(x - log_sum_exp(x)), {"axis": 1}, []),
    "LogSoftmax": (lambda x: x - log_sum_exp(x), {"axis": 1}, []),
    "ReduceLogSumExp": (log_sum_exp, {}, [AXIS]),
    "ReduceLogSum": (lambda x: np.log(x.sum(1, keepdims=True)), {}, [AXIS]),
    "ReduceL1": (lambda x: np.abs(x).sum(1, keepdims=True), {}, [AXIS]),
    "ReduceL2": (norm, {}, [AXIS]),
    "ReduceSumSquare": (lambda x: np.square(x).sum(1, keepdims=True), {}, [AXIS]),
    "ReduceMax": (lambda x: x.max(1, keepdims=True), {}, [AXIS]),
    "ReduceMin": (lambda x: x.min(1, keepdims=True), {}, [AXIS]),
    "LpNormalization": (lambda x: x / norm(x), {"axis": 1}, []),
    "LayerNormalization": (normal, {}, [ONE]),
}


@ENGINES
@pytest.mark.parametrize("kind", ROWWISE)
def test_rows_of_hostile_numbers(kind: str, engine: Engine) -> None:
    function, attributes, constants = ROWWISE[kind]
    with np.errstate(all="ignore"):
        want = function(SCORES.astype(np.float64))
        got = engine(kind, attributes, SCORES, *constants)
        # A softmax takes the difference of scores, which float32 rounds relative to the larger.
        lost = np.abs(want) + 1 if kind.endswith("Softmax") else np.abs(want)
        tolerance = 1e-6 * lost / np.maximum(np.abs(want), TINY)
    assert_within(got, want, tolerance)


@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceSum"])
def test_sums_whose_parts_overflow(kind: str) -> None:
    rows = [[3e38, 3e38, -3e38, -3e38], [3e38] * 4, [-3e38] * 4, [1.0, 2.0, 3.0, 5.0]]
    x = np.array(rows, np.float32)
    wide = x.astype(np.float64)
    want = wide.mean(1, keepdims=True) if kind == "ReduceMean" else wide.sum(1, keepdims=True)
    with np.errstate(over="ignore"):
        got = STANDARD_OPERATORS[kind]({}, x, AXIS)
    assert_within(got, want, 1e-7)


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("InstanceNormalization", {}),
        ("GroupNormalization", {"num_groups": 2}),
    ],
)
@pytest.mark.parametrize(("mean", "spread"), [(1e4, 1e-1), (0.0, 1e25), (-1e30, 1e28), (3.0, 0.0)])
def test_variances_neither_cancel_nor_overflow(
    kind: str, attributes: dict[str, Any], mean: float, spread: float
) -> None:
    x = np.random.default_rng(0).normal(mean, spread, (2, 2, 3, 4)).astype(np.float32)
    scale, bias = np.array([1, 2], np.float32), np.array([0.5, -0.5], np.float32)
    wide = x.astype(np.float64)
    centred = wide - wide.mean((2, 3), keepdims=True)
    deviation = np.sqrt(np.square(centred).mean((2, 3), keepdims=True) + np.float32(1e-5))
    want = centred / deviation * scale.reshape(2, 1, 1) + bias.reshape(2, 1, 1)
    if kind == "GroupNormalization":  # the reference takes it apart
        got = by_numpy(kind, attributes, x, scale, bias)
    else:
        got = by_reference(kind, attributes, x, scale, bias)
        np.testing.assert_allclose(by_numpy(kind, attributes, x, scale, bias), want, 1e-6, 1e-6)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


def test_a_batch_norm_of_large_numbers_does_not_cancel() -> None:
    mean = np.array([1e6, -3e5], np.float32)
    x = mean.reshape(2, 1, 1) + np.arange(-4, 4, dtype=np.float32).reshape(1, 1, 2, 4)
    scale, bias = np.array([2, 3], np.float32), np.array([1e-3, 0.0], np.float32)
    variance = np.array([0.25, 4], np.float32)
    columns = (n.astype(np.float64).reshape(2, 1, 1) for n in (scale, bias, mean, variance))
    s, b, m, v = columns
    want = (x.astype(np.float64) - m) / np.sqrt(v + np.float32(1e-5)) * s + b
    got = STANDARD_OPERATORS["BatchNormalization"]({}, x, scale, bias, mean, variance)
    np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


INTEGERS: list[tuple[str, dict[str, Any], list[Any], Any]] = [
    # Operator, attributes, operands of one type, the exact result.
    ("Div", {}, [[7, -7, 7, -7], [2, 2, -2, -2]], [3, -3, -3, 3]),
    ("Div", {}, [[2**62 + 3], [3]], [(2**62 + 3) // 3]),
    ("Mod", {}, [[7, -7, 7, -7], [3, 3, -3, -3]], [1, 2, -2, -1]),
    ("Mod", {"fmod": 1}, [[7, -7, 7, -7], [3, 3, -3, -3]], [1, -1, 1, -1]),
    ("Pow", {}, [[3, -2, 2], [39, 63, -1]], [3**39, -(2**63), 0]),
    ("Clip", {}, [[2**62 + 1, -5], 0], [2**62 + 1, 0]),
    ("Max", {}, [[2**62 + 1], [2**62]], [2**62 + 1]),
    ("ReduceMean", {"keepdims": 0}, [[-7, 0, 0], [0]], -2),
    ("ReduceMean", {"keepdims": 0}, [[2**62 + 1, 2**62 + 3], [0]], None),
    ("ReduceSum", {"keepdims": 0}, [[2**62 + 1, 1, 1], [0]], 2**62 + 3),
    ("ReduceProd", {"keepdims": 0}, [[3**20, 3**19], [0]], 3**39),
    ("Neg", {}, [[5, -(2**62)]], [-5, 2**62]),
]


@pytest.mark.parametrize(("kind", "attributes", "operands", "want"), INTEGERS)
def test_integers_are_exact_and_keep_their_type(
    kind: str, attributes: dict[str, Any], operands: list[Any], want: Any
) -> None:
    got = STANDARD_OPERATORS[kind](attributes, *(np.array(o, np.int64) for o in operands))
    assert got.dtype == np.int64
    if want is not None:
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("kind", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL1"])
def test_reductions_of_integers_keep_their_type(kind: str) -> None:
    got = STANDARD_OPERATORS[kind]({}, np.array([[1, 2, 4]], np.int32), AXIS)
    assert got.dtype == np.int32


def in_a_map(a: ArtifactBuilder) -> str:
    """Return real numbers inside the network, where kernels compute: x times one."""
    return a.add("Mul", "x", a.constant(np.ones((4, 1, 1), np.float32)))


FUSED: dict[str, Callable[[ArtifactBuilder, str], str]] = {
    "Relu": lambda a, x: a.add("Relu", x),
    "LeakyRelu": lambda a, x: a.add("LeakyRelu", x, alpha=0.3),
    "Clip": lambda a, x: a.add("Clip", x, a.constant(np.float32(-1)), a.constant(np.float32(2))),
    "Round": lambda a, x: a.add("Round", x),
    "Add": lambda a, x: a.add("Add", x, a.constant(np.float32(1e-3))),
    "Div": lambda a, x: a.add("Div", x, a.constant(np.float32(3))),
    "MaxPool": lambda a, x: a.add("MaxPool", x, kernel_shape=[2, 2]),
    "AveragePool": lambda a, x: a.add("AveragePool", x, kernel_shape=[2, 2]),
    "GlobalAveragePool": lambda a, x: a.add("GlobalAveragePool", x),
    "LogSoftmax": lambda a, x: a.add("LogSoftmax", x, axis=1),
}


@pytest.mark.parametrize("kind", FUSED)
def test_kernels_give_the_reference_s_numbers(kind: str) -> None:
    """Sums that leave the range of float32 are infinite in both."""
    a = ArtifactBuilder()
    out = FUSED[kind](a, in_a_map(a))
    model = a.artifact((4, 4, 4), out, a.sign(out))
    x = HOSTILE[np.random.default_rng(1).integers(0, len(HOSTILE), (3, 4, 4, 4))]
    x = np.where(np.abs(x) > LARGEST / 100, np.float32(1), x)
    real, signs = Model(model).run(x)
    with np.errstate(all="ignore"):
        want, _ = Reference(model).run(x)
    if FACTS[kind].result in ("exact", "chosen"):
        np.testing.assert_array_equal(real, want)
    else:
        size = np.abs(x).max(axis=(1, 2, 3), keepdims=True)
        assert (np.abs(real - want) <= 1e-6 * size).all()
    np.testing.assert_array_equal(signs, np.where(real >= 0, 2, 0))
