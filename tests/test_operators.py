"""Real-valued operators of the runtime against onnxruntime."""

from typing import Any

import numpy as np
import onnx
import pytest
from against_onnxruntime import assert_close, numbers
from artifacts import ArtifactBuilder

from bnnkit.artifact.reference import Reference
from bnnkit.artifact.standard import STANDARD_OPERATORS
from bnnkit.runtime import Model
from bnnkit.runtime.lowering import large_results
from bnnkit.runtime.plan import Plan

MAP = (5, 6, 7)


ELEMENTWISE: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("Relu", {}, []),
    ("LeakyRelu", {"alpha": 0.3}, []),
    ("PRelu", {}, [np.linspace(-1, 1, 5, dtype=np.float32).reshape(5, 1, 1)]),
    ("Clip", {}, [np.float32(-0.5), np.float32(0.7)]),
    ("Clip", {}, [np.float32(-0.5)]),
    ("Neg", {}, []),
    ("Abs", {}, []),
    ("Ceil", {}, []),
    ("Floor", {}, []),
    ("Round", {}, []),
    ("Cast", {"to": 6}, []),
    ("Identity", {}, []),
    ("Add", {}, [np.arange(5, dtype=np.float32).reshape(5, 1, 1)]),
    ("Sub", {}, [np.arange(7, dtype=np.float32)]),
    ("Mul", {}, [np.arange(42, dtype=np.float32).reshape(6, 7)]),
    ("Div", {}, [np.float32(3)]),
    ("Max", {}, [np.float32(0.1)]),
    ("Min", {}, [np.float32(0.1)]),
    ("Sum", {}, [np.float32(0.1), np.float32(0.2)]),
]
INEXACT: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("Sigmoid", {}, []),
    ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}, []),
    ("HardSwish", {}, []),
    ("Tanh", {}, []),
    ("Exp", {}, []),
    ("Erf", {}, []),
    ("Sin", {}, []),
    ("Cos", {}, []),
    ("Pow", {}, [np.float32(2)]),
    ("Selu", {}, []),
    ("Selu", {"alpha": 0.7, "gamma": 2.0}, []),
    ("Celu", {"alpha": 0.7}, []),
    ("Gelu", {}, []),
    ("Gelu", {"approximate": "tanh"}, []),
    ("ThresholdedRelu", {"alpha": 0.5}, []),
    ("Reciprocal", {}, []),
    ("Mod", {"fmod": 1}, [np.float32(0.7)]),
    ("ReduceL1", {}, [np.array([1])]),
    ("ReduceL2", {"keepdims": 0}, [np.array([1, 3])]),
    ("ReduceSumSquare", {}, [np.array([-1])]),
    ("ReduceLogSumExp", {}, [np.array([2])]),
    ("LpNormalization", {"axis": 1}, []),
    ("LpNormalization", {"axis": -1, "p": 1}, []),
    ("GroupNormalization", {"num_groups": 5}, [np.arange(5, dtype=np.float32)] * 2),
    ("Tile", {}, [np.array([1, 2, 1, 3])]),
    ("Expand", {}, [np.array([1, 5, 6, 7])]),
    ("Resize", {"mode": "linear"}, [np.zeros(0, np.float32), np.array([1, 1, 2, 1.5], "f")]),
    ("Resize", {}, [np.zeros(0, np.float32), np.array([1, 1, 0.5, 2], "f")]),
    ("ArgMin", {"axis": 1, "select_last_index": 1}, []),
    ("ReduceMin", {}, [np.array([1])]),
    ("ReduceProd", {"keepdims": 0}, [np.array([3])]),
    ("Elu", {"alpha": 0.7}, []),
    *((kind, {}, []) for kind in ("Tan", "Sinh", "Cosh", "Asinh")),
    ("Mean", {}, [np.float32(0.1), np.float32(0.2)]),
    ("CumSum", {}, [np.array(1)]),
    ("CumSum", {"reverse": 1, "exclusive": 1}, [np.array(-1)]),
    ("Trilu", {}, []),
    ("Trilu", {"upper": 0}, [np.array(-1)]),
    ("Einsum", {"equation": "nchw,oc->nohw"}, [np.ones((4, 5), np.float32)]),
    ("Einsum", {"equation": "nchw->nwc"}, []),
    ("Einsum", {"equation": "n...w->n..."}, []),
    ("Einsum", {"equation": "abcd,d"}, [np.arange(7, dtype=np.float32)]),
    ("Atan", {}, []),
    ("Softsign", {}, []),
    ("Softplus", {}, []),
    ("Softmax", {"axis": 1}, []),
    ("Softmax", {}, []),
    ("LogSoftmax", {"axis": -2}, []),
    ("ReduceMean", {}, [np.array([2, 3])]),
    ("ReduceMean", {"keepdims": 0}, [np.array([-1])]),
    ("ReduceSum", {"keepdims": 0}, [np.array([1])]),
    ("ReduceMax", {}, [np.array([1])]),
    ("GlobalAveragePool", {}, []),
    ("GlobalMaxPool", {}, []),
    ("Flatten", {}, []),
    ("Reshape", {}, [np.array([0, -1])]),
    ("Reshape", {}, [np.array([-1, 7, 30])]),
    ("Unsqueeze", {}, [np.array([2])]),
    ("Transpose", {"perm": [0, 2, 3, 1]}, []),
    ("Slice", {}, [np.array([1]), np.array([4]), np.array([2]), np.array([2])]),
    ("Slice", {}, [np.array([-1]), np.array([-9]), np.array([3]), np.array([-1])]),
    ("Pad", {}, [np.array([0, 1, 0, 2, 0, 0, 1, 3]), np.float32(0.5)]),
    ("Pad", {"mode": "reflect"}, [np.array([0, 0, 1, 2, 0, 0, 1, 3])]),
    ("Pad", {"mode": "edge"}, [np.array([0, 0, 1, 2, 0, 0, 1, 3])]),
    ("Pad", {"mode": "wrap"}, [np.array([0, 0, 1, 2, 0, 0, 1, 3])]),
    ("Pad", {}, [np.array([0, 0, -1, 2, 0, 0, 1, -3])]),
    ("ArgMax", {"axis": 1}, []),
    ("ArgMax", {"axis": 2, "keepdims": 0}, []),
    ("LayerNormalization", {"axis": -2}, [np.arange(42, dtype=np.float32).reshape(6, 7)]),
    ("LayerNormalization", {}, [np.arange(k, k + 7, dtype=np.float32) for k in (1, -2)]),
    ("InstanceNormalization", {}, [np.arange(k, k + 5, dtype=np.float32) for k in (1, -2)]),
    ("BatchNormalization", {}, [np.arange(k, k + 5, dtype=np.float32) for k in (1, -2, 0, 3)]),
]


@pytest.mark.parametrize("place", ["input", "behind a map"])
@pytest.mark.parametrize(("kind", "attributes", "constants"), ELEMENTWISE)
def test_elementwise_operators_give_the_same_bits(
    kind: str, attributes: dict[str, Any], constants: list[Any], place: str
) -> None:
    """The network's input goes through NumPy, maps inside the network through the chain kernel."""
    a = ArtifactBuilder(1)
    source = "x" if place == "input" else a.add("MaxPool", "x", kernel_shape=[1, 1])
    out = a.add(kind, source, *[a.constant(c) for c in constants], **attributes)
    assert_close(a, numbers(a, *MAP), out, exact=True)


CHANNELS = np.array([-2, -0.5, 0, 1, 3], np.float32).reshape(5, 1, 1)
CHAINED: list[tuple[str, dict[str, Any], list[Any]]] = [
    ("Relu", {}, []),
    ("LeakyRelu", {"alpha": 0.3}, []),
    ("PRelu", {}, [CHANNELS]),
    ("Clip", {}, [np.float32(-0.5), np.float32(0.7)]),
    ("Add", {}, [CHANNELS]),
    ("Sub", {}, [CHANNELS]),
    ("Mul", {}, [CHANNELS]),
    ("Div", {}, [np.float32(3)]),
]


@pytest.mark.parametrize(("kind", "attributes", "constants"), CHAINED)
def test_elementwise_operators_have_a_kernel(
    kind: str, attributes: dict[str, Any], constants: list[Any]
) -> None:
    a = ArtifactBuilder(1)
    source = a.add("MaxPool", "x", kernel_shape=[1, 1])
    out = a.add(kind, source, *[a.constant(c) for c in constants], **attributes)
    steps = Plan(a.artifact(MAP, out).graph).steps
    assert [type(step).__name__ for step in steps] == ["NumpyOperator", "Chain"]


@pytest.mark.parametrize("kind", ["Add", "Sub", "Mul"])
@pytest.mark.parametrize("swapped", [False, True])
def test_two_maps_have_a_kernel(kind: str, swapped: bool) -> None:
    a = ArtifactBuilder(1)
    first = a.add("MaxPool", "x", kernel_shape=[1, 1])
    second = a.add("AveragePool", "x", kernel_shape=[1, 1])
    pair = (second, first) if swapped else (first, second)
    out = a.add(kind, *pair)
    scaled = a.add("Mul", out, a.constant(CHANNELS))
    assert_close(a, numbers(a, *MAP), scaled, exact=True)
    steps = Plan(a.artifact(MAP, scaled).graph).steps
    assert [type(step).__name__ for step in steps] == ["NumpyOperator", "NumpyOperator", "Chain"]


@pytest.mark.parametrize(("kind", "attributes", "constants"), INEXACT)
def test_operators_agree(kind: str, attributes: dict[str, Any], constants: list[Any]) -> None:
    a = ArtifactBuilder(2)
    out = a.add(kind, "x", *[a.constant(c) for c in constants], **attributes)
    assert_close(a, numbers(a, *MAP), out)


@pytest.mark.parametrize(("kind", "attributes", "constants"), INEXACT)
def test_inferred_types_are_those_of_runs(
    kind: str, attributes: dict[str, Any], constants: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX infers the types of large results; here of results of every size."""
    monkeypatch.setattr(large_results, "_LARGE", 0)
    test_operators_agree(kind, attributes, constants)


def test_square_root_and_logarithm() -> None:
    a = ArtifactBuilder(3)
    outs = [a.add("Sqrt", "x"), a.add("Log", "x")]
    assert_close(a, np.abs(numbers(a, *MAP)) + 0.1, *outs)


def test_sigmoids_of_large_numbers_do_not_warn() -> None:
    a = ArtifactBuilder(3)
    model = a.artifact(MAP, a.add("Sigmoid", "x"))
    x = np.array([-200, -88, 0, 88, 200], np.float32)[:, None, None] * np.ones((2, *MAP), "f")
    want = np.array([0, 0, 0.5, 1, 1], np.float32)[:, None, None]
    for found in (*Reference(model).run(x), np.asarray(Model(model).run(x))):
        np.testing.assert_allclose(found, np.broadcast_to(want, x.shape), atol=1e-30)


def test_constants_first_and_concatenation() -> None:
    a = ArtifactBuilder(4)
    less = a.add("Sub", a.constant(np.float32(1)), "x")
    assert_close(a, numbers(a, *MAP), a.add("Concat", less, "x", axis=1), exact=True)


@pytest.mark.parametrize("ceil", [0, 1])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 0, 1, 1]])
@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("place", ["input", "behind a map"])
def test_pools(kind: str, pads: list[int], ceil: int, include: int, place: str) -> None:
    """The network's input goes through NumPy, maps inside the network mostly through kernels."""
    a = ArtifactBuilder(5)
    source = "x" if place == "input" else a.add("Relu", "x")
    extra = {"count_include_pad": include} if kind == "AveragePool" else {}
    if kind == "AveragePool" and include and ceil:
        pytest.skip("ONNX leaves open how padding counts in a window cut off by ceil_mode")
    options = {"kernel_shape": [3, 2], "strides": [2, 2], "pads": pads, "ceil_mode": ceil}
    out = a.add(kind, source, **options, **extra)
    assert_close(a, numbers(a, *MAP), out)


@pytest.mark.parametrize("channels", [1, 5, 16, 33])
def test_kernels_that_pool_and_join(channels: int) -> None:
    a = ArtifactBuilder(channels)
    source = a.add("Relu", "x")
    wide = a.add("MaxPool", source, kernel_shape=[2, 3], strides=[2, 1], dilations=[1, 2])
    outs = [
        wide,
        a.add("Concat", source, a.add("Neg", source), source, axis=1),
        a.add("GlobalAveragePool", source),
        a.add("ReduceMean", source, a.constant(np.array([2, 3])), keepdims=0),
        a.add("ReduceMean", source, a.constant(np.array([-1, -2]))),
    ]
    shape = (channels, 6, 7)
    assert_close(a, numbers(a, *shape), *outs)
    kinds = {type(step).__name__ for step in Plan(a.artifact(shape, *outs).graph).steps}
    assert kinds == {"NumpyOperator", "PoolReals", "PlaceReals", "Chain"}


@pytest.mark.parametrize("groups", [1, 2, 6])
@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 2, 0, 1]])
@pytest.mark.parametrize("outputs", [6, 48])
def test_convolution(groups: int, pads: list[int], outputs: int) -> None:
    a = ArtifactBuilder(6)
    weight = a.constant(a.rng.standard_normal((outputs, 6 // groups, 3, 2)).astype(np.float32))
    bias = a.constant(a.rng.standard_normal(outputs).astype(np.float32))
    options = {"strides": [2, 1], "dilations": [1, 2], "group": groups, "pads": pads}
    both = [a.add("Conv", "x", weight, bias, **options), a.add("Conv", "x", weight, **options)]
    assert_close(a, numbers(a, 6, 9, 8), *both)


@pytest.mark.parametrize(
    "attributes", [{}, {"transB": 1}, {"transB": 1, "alpha": 0.5, "beta": 2.0}]
)
@pytest.mark.parametrize("outputs", [1, 10, 65])
def test_gemm(attributes: dict[str, Any], outputs: int) -> None:
    a = ArtifactBuilder(7)
    shape = (outputs, 20) if attributes.get("transB") else (20, outputs)
    weight = a.constant(a.rng.standard_normal(shape).astype(np.float32))
    bias = a.constant(a.rng.standard_normal(outputs).astype(np.float32))
    outs = [
        a.add("Gemm", "x", weight, bias, **attributes),
        a.add("Gemm", "x", weight, **attributes),
    ]
    assert_close(a, numbers(a, 20), *outs)


@pytest.mark.parametrize("group", [1, 2])
def test_transposed_convolution(group: int) -> None:
    a = ArtifactBuilder(13)
    weight = a.constant(a.rng.standard_normal((4, 3, 3, 2)).astype(np.float32))
    bias = a.constant(a.rng.standard_normal(3 * group).astype(np.float32))
    options = {"strides": [2, 3], "dilations": [1, 2], "pads": [1, 0, 0, 2], "group": group}
    out = a.add("ConvTranspose", "x", weight, bias, output_padding=[1, 0], **options)
    assert_close(a, numbers(a, 4, 5, 6), out)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_pixels_move_between_channels_and_places(mode: str) -> None:
    a = ArtifactBuilder(14)
    wide = a.add("DepthToSpace", "x", blocksize=2, mode=mode)
    outs = [wide, a.add("SpaceToDepth", wide, blocksize=2)]
    assert_close(a, numbers(a, 12, 3, 2), *outs, exact=True)


@pytest.mark.parametrize("axis", [1, -1])
def test_splits(axis: int) -> None:
    a = ArtifactBuilder(15)
    outs = ["first", "second", "third"]
    a.nodes.append(onnx.helper.make_node("Split", ["x"], outs, axis=axis, num_outputs=3))
    x = numbers(a, 8, 2, 8)
    joined = a.add("Concat", *reversed(outs), axis=axis)
    assert_close(a, x, joined, exact=True)


def test_products_of_more_dimensions() -> None:
    a = ArtifactBuilder(8)
    weight = a.constant(a.rng.standard_normal((7, 4)).astype(np.float32))
    outs = [
        a.add("MatMul", "x", weight),
        a.add("MatMul", a.add("ReduceMax", "x", axes_of(a)), weight),
    ]
    assert_close(a, numbers(a, *MAP), *outs)


def axes_of(a: ArtifactBuilder) -> str:
    return a.constant(np.array([1]))


def test_shapes_that_depend_on_the_batch() -> None:
    a = ArtifactBuilder(9)
    shape = a.add("Shape", "x", start=0, end=1)
    target = a.add("Concat", shape, a.constant(np.array([-1])), axis=0)
    flat = a.add("Reshape", a.add("Relu", "x"), target)
    assert_close(a, numbers(a, *MAP), flat, exact=True)


def test_a_residual_chain_gives_the_same_bits() -> None:
    """int32 sum -> float -> scale -> add -> skip -> sign, each rounded once, in this order."""
    a = ArtifactBuilder(10)
    sums = a.binary_conv2d(a.sign("x"), 5, 5, pads=(1, 1, 1, 1), thresholds=False)
    scaled = a.add(
        "Mul",
        a.add("Cast", sums, to=1),
        a.constant(a.rng.standard_normal((5, 1, 1)).astype(np.float32)),
    )
    shifted = a.add(
        "Add", scaled, a.constant(a.rng.standard_normal((1, 5, 1, 1)).astype(np.float32))
    )
    skip = a.add("Add", shifted, "x")
    x = numbers(a, *MAP)
    model = a.artifact(MAP, skip, a.sign(skip))
    real, signs = Model(model).run(x)
    np.testing.assert_array_equal(signs, np.where(real < 0, 0, 2))
    want = Reference(model).run(x)
    np.testing.assert_array_equal(real, want[0])
    np.testing.assert_array_equal(signs, want[1])


@pytest.mark.parametrize("place", ["input", "behind a map"])
def test_signs_and_choices(place: str) -> None:
    a = ArtifactBuilder(1)
    source = "x" if place == "input" else a.add("MaxPool", "x", kernel_shape=[1, 1])
    negative = a.add("Cast", a.add("Neg", a.add("Sign", source)), to=1)
    condition = a.add("Cast", source, to=9)
    chosen = a.add("Where", condition, negative, a.constant(np.float32(0.5)))
    chosen = a.add("Cast", chosen, to=1)
    x = numbers(a, *MAP)
    x[:, ::2] = 0
    assert_close(a, x, negative, chosen, exact=True)


COMPARISONS = ["Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"]


@pytest.mark.parametrize("kind", COMPARISONS)
def test_comparisons_and_logic(kind: str) -> None:
    a = ArtifactBuilder(2)
    truth = a.add(kind, "x", a.constant(np.float32(0)))
    other = a.add("Cast", "x", to=9)
    outs = [truth, a.add("And", truth, other), a.add("Or", truth, other)]
    outs += [a.add("Not", truth), a.add("Xor", truth, other)]
    x = numbers(a, *MAP)
    x[:, ::2] = [0.0, -0.0, 1.0, -1.0, 0.0, 2.0, -3.0]
    assert_close(a, x, *(a.add("Cast", out, to=1) for out in outs), exact=True)


def test_every_operator_is_tested() -> None:
    tested = {kind for kind, _, _ in ELEMENTWISE + INEXACT} | {
        *COMPARISONS,
        *("And", "Or", "Not", "Xor"),
        "Sqrt",
        "Log",
        "Sign",
        "Where",
        "Concat",
        "MaxPool",
        "AveragePool",
        "ConvTranspose",
        "DepthToSpace",
        "SpaceToDepth",
        "Gemm",
        "MatMul",
        "Shape",
    }
    elsewhere = {"DequantizeLinear", "Squeeze", "Dropout", "Gather"}  # test_model.py
    elsewhere |= {"Mish", "ReduceLogSum", "Asin", "Acos", "Acosh", "Atanh"}
    elsewhere |= {"IsNaN", "IsInf"}  # these and those before: test_operator_numerics.py
    elsewhere |= {"BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitShift"}
    elsewhere |= {"ConstantOfShape", "Range", "EyeLike", "Size"}  # test_fold_node.py
    elsewhere |= {"GatherElements", "GatherND", "ScatterElements", "ScatterND", "OneHot"}
    elsewhere |= {"GridSample", "Col2Im"}  # test_operators_of_places.py
    assert set(STANDARD_OPERATORS) == tested | elsewhere
