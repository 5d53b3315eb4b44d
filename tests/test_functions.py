"""Every bnnkit operator, in stock ONNX Runtime, against plain int64 NumPy, bit for bit."""

import itertools
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.helper
import onnxruntime as ort
import pytest
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import pack_weight
from bnnkit.artifact.format.constants import DOMAIN, OPSET, VERSION
from bnnkit.artifact.operators import functions

CHANNELS = [1, 31, 32, 33, 64, 65, 129]
TYPES = {
    "uint8": onnx.TensorProto.UINT8,
    "int16": onnx.TensorProto.INT16,
    "int32": onnx.TensorProto.INT32,
    "float32": onnx.TensorProto.FLOAT,
}
OUTPUT_TYPE = {
    "Sign": "uint8",
    "Threshold": "uint8",
    "BinaryConv2dThreshold": "uint8",
    "BinaryWeight": "float32",
}


def model_of(
    op: str,
    x: NDArray[Any],
    constants: dict[str, NDArray[Any]],
    attributes: dict[str, Any],
    rank: int,
) -> onnx.ModelProto:
    """A model of one node: `x` with a free batch axis unless it is a constant, then constants."""
    inputs = [] if "x" in constants else ["x"]
    node = onnx.helper.make_node(op, [*inputs, *constants], ["y"], domain="bnnkit", **attributes)
    graph = onnx.helper.make_graph(
        [node],
        "one",
        [onnx.helper.make_tensor_value_info("x", TYPES[x.dtype.name], ["N", *x.shape[1:]])]
        if inputs
        else [],
        [
            onnx.helper.make_tensor_value_info(
                "y", TYPES[OUTPUT_TYPE.get(op, "int32")], [None] * rank
            )
        ],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = onnx.helper.make_model(
        graph,
        opset_imports=[
            onnx.helper.make_opsetid("", OPSET),
            onnx.helper.make_opsetid(DOMAIN, VERSION),
        ],
        functions=[functions.function(op)],
        ir_version=10,
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def session(model: onnx.ModelProto, optimized: str = "") -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.optimized_model_filepath = optimized
    return ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def run(
    op: str,
    x: NDArray[Any],
    constants: dict[str, NDArray[Any]],
    attributes: dict[str, Any] | None = None,
    rank: int | None = None,
) -> NDArray[Any]:
    model = model_of(op, x, constants, attributes or {}, rank or x.ndim)
    y: NDArray[Any] = session(model).run(None, {"x": x} if "x" not in constants else {})[0]
    return y


def convolve(
    x: NDArray[Any], w: NDArray[Any], strides: Any, pads: Any, dilations: Any, group: int
) -> NDArray[np.int64]:
    """A convolution as its definition has it; x (N, I, H, W), w (O, I/G, KH, KW)."""
    x, w = x.astype(np.int64), w.astype(np.int64)
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    outputs, per_group, kh, kw = w.shape
    height = (x.shape[2] - dilations[0] * (kh - 1) - 1) // strides[0] + 1
    width = (x.shape[3] - dilations[1] * (kw - 1) - 1) // strides[1] + 1
    x = x.reshape(len(x), group, per_group, *x.shape[2:])
    w = w.reshape(group, outputs // group, per_group, kh, kw)
    y = np.zeros((len(x), group, outputs // group, height, width), np.int64)
    for i, j in itertools.product(range(kh), range(kw)):
        rows = slice(
            i * dilations[0], i * dilations[0] + (height - 1) * strides[0] + 1, strides[0]
        )
        columns = slice(
            j * dilations[1], j * dilations[1] + (width - 1) * strides[1] + 1, strides[1]
        )
        y += np.einsum("ngihw,goi->ngohw", x[..., rows, columns], w[..., i, j])
    return y.reshape(len(x), outputs, height, width)


CONVOLUTIONS = [
    *({"channels": channels} for channels in CHANNELS),
    *({"kernel": (k, k), "batch": 7} for k in (1, 2, 3, 5)),
    {"kernel": (3, 1), "strides": (2, 1), "pads": (1, 0, 1, 0)},
    {"strides": (2, 2), "pads": (1, 1, 1, 1), "channels": 65},
    {"pads": (0, 1, 2, 3)},
    {"pads": (2, 2, 2, 2), "dilations": (2, 2)},
    {"dilations": (1, 3), "strides": (1, 2)},
    {"channels": 64, "group": 2, "pads": (1, 1, 1, 1), "batch": 7},
    {"channels": 33, "group": 33, "outputs": 33},
    {"channels": 9, "group": 3, "outputs": 6, "strides": (2, 2)},
    {"size": (2, 1), "kernel": (3, 3), "pads": (1, 1, 1, 1)},
]


def convolution_case(
    case: dict[str, Any],
) -> tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]:
    """Attributes, shape of x and shape (O, I/G, KH, KW) of w."""
    channels, group = case.get("channels", 5), case.get("group", 1)
    attributes = {
        "strides": case.get("strides", (1, 1)),
        "pads": case.get("pads", (0, 0, 0, 0)),
        "dilations": case.get("dilations", (1, 1)),
        "group": group,
    }
    x_shape = (case.get("batch", 1), channels, *case.get("size", (7, 8)))
    w_shape = (case.get("outputs", 6), channels // group, *case.get("kernel", (3, 3)))
    return attributes, x_shape, w_shape


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_binary_convolution(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    attributes, x_shape, w_shape = convolution_case(case)
    x = rng.choice(np.array([0, 2], np.uint8), x_shape)
    w = rng.choice([-1, 1], w_shape)
    want = convolve(x.astype(np.int64) - 1, w, **attributes)
    packed = pack_weight(w.transpose(0, 2, 3, 1))
    attributes["weight_shape"] = (w_shape[0], *w_shape[2:], w_shape[1])

    got = run("BinaryConv2d", x, {"weight": packed}, attributes)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, want)

    bound = int(np.prod(w_shape[1:]))
    thresholds = rng.integers(-3, 4, w_shape[0]).astype(np.int32)
    thresholds[:3] = [bound + 1, -bound, want[0, 2, 0, 0]]  # never, always, and a tie
    got = run("BinaryConv2dThreshold", x, {"weight": packed, "threshold": thresholds}, attributes)
    assert got.dtype == np.uint8
    np.testing.assert_array_equal(got, np.where(want >= thresholds[:, None, None], 2, 0))


def test_a_threshold_far_from_the_sum_does_not_wrap() -> None:
    x = np.full((1, 4096, 3, 3), 2, np.uint8)
    w = np.ones((4, 4096, 3, 3), np.int64)
    w[1] = -1
    thresholds = np.array([2**23, 2**23, -(2**23), 36864], np.int32)
    attributes = {
        "strides": (1, 1),
        "pads": (0,) * 4,
        "dilations": (1, 1),
        "group": 1,
        "weight_shape": (4, 3, 3, 4096),
    }
    packed = pack_weight(w.transpose(0, 2, 3, 1))
    got = run("BinaryConv2dThreshold", x, {"weight": packed, "threshold": thresholds}, attributes)
    np.testing.assert_array_equal(got.ravel(), [0, 0, 2, 2])


@pytest.mark.parametrize("case", CONVOLUTIONS, ids=str)
def test_integer_convolution(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(2)
    attributes, x_shape, w_shape = convolution_case(case)
    x = rng.integers(0, 256, x_shape, dtype=np.uint8)
    w = rng.integers(-2047, 2048, w_shape).astype(np.int16)
    w = (w / max(1.0, w[0].size / 24)).astype(np.int16)  # |sum| < 2^24
    zero_point = rng.integers(0, 256, (x_shape[1], 1, 1), dtype=np.uint8)
    want = convolve(x.astype(np.int64) - zero_point, w, **attributes)
    assert np.abs(want).max() < 2**24
    got = run("IntegerConv2d", x, {"weight": w, "zero_point": zero_point}, attributes)
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize("features", [*CHANNELS, 1000])
def test_linear(features: int, batch: int) -> None:
    rng = np.random.default_rng(3)
    x = rng.choice(np.array([0, 2], np.uint8), (batch, features))
    w = rng.choice([-1, 1], (10, features))
    got = run("BinaryLinear", x, {"weight": pack_weight(w)}, {"weight_shape": w.shape})
    assert got.dtype == np.int32
    np.testing.assert_array_equal(got, (x.astype(np.int64) - 1) @ w.T)

    pixels = rng.integers(0, 256, x.shape, dtype=np.uint8)
    w_int = rng.integers(-40, 41, w.shape).astype(np.int16)
    zero_point = rng.integers(0, 256, features, dtype=np.uint8)
    got = run("IntegerLinear", pixels, {"weight": w_int, "zero_point": zero_point})
    assert got.dtype == np.int32
    np.testing.assert_array_equal(
        got, (pixels.astype(np.int64) - zero_point) @ w_int.astype(np.int64).T
    )


@pytest.mark.parametrize("shape", [(3, 2, 5, 33), (1, 1, 1, 1), (4, 1, 1, 7), (5, 9), (1, 1)])
def test_binary_weight(shape: tuple[int, ...]) -> None:
    w = np.random.default_rng(4).choice([-1, 1], shape)
    got = run("BinaryWeight", w, {"x": pack_weight(w)}, {"weight_shape": shape}, len(shape))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, np.moveaxis(w, -1, 1))


def test_sign_of_zero_is_plus() -> None:
    x = np.array([[0.0, -0.0, 1e-45, -1e-45, 3.5, -3.5, np.inf, -np.inf]], np.float32)
    np.testing.assert_array_equal(run("Sign", x, {}), [[2, 2, 2, 0, 2, 0, 2, 0]])


@pytest.mark.parametrize("shape", [(7, 5), (2, 5, 3, 4)])
def test_threshold(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    x = rng.integers(-4, 5, shape).astype(np.int32)
    threshold = rng.integers(-4, 5, (5,) + (1,) * (len(shape) - 2)).astype(np.int32)
    np.testing.assert_array_equal(
        run("Threshold", x, {"threshold": threshold}), np.where(x >= threshold, 2, 0)
    )


@pytest.mark.parametrize(
    ("op", "left"),
    [
        ("BinaryConv2dThreshold", {"QLinearConv", "GreaterOrEqual", "Where", "Transpose"}),
        ("BinaryConv2d", {"DequantizeLinear", "Conv", "Cast", "ReorderInput", "ReorderOutput"}),
        ("BinaryLinear", {"MatMulInteger"}),
    ],
)
def test_onnxruntime_unpacks_weights_at_load(op: str, left: set[str], tmp_path: Any) -> None:
    w = np.random.default_rng(6).choice(
        [-1, 1], (64, 64) if op == "BinaryLinear" else (64, 3, 3, 64)
    )
    attributes: dict[str, Any] = {"weight_shape": w.shape}
    constants: dict[str, NDArray[Any]] = {"weight": pack_weight(w)}
    x = np.zeros((1, 64) if op == "BinaryLinear" else (1, 64, 8, 8), np.uint8)
    if op != "BinaryLinear":
        attributes |= {"strides": (1, 1), "pads": (1,) * 4, "dilations": (1, 1), "group": 1}
    if op == "BinaryConv2dThreshold":
        constants["threshold"] = np.zeros(64, np.int32)
    session(model_of(op, x, constants, attributes, x.ndim), str(tmp_path / "optimized.onnx"))
    assert {node.op_type for node in onnx.load(tmp_path / "optimized.onnx").graph.node} <= left


def test_every_operator_has_one_function_and_stands_alone() -> None:
    for name in functions.names():
        proto = functions.function(name)
        assert (proto.domain, proto.name) == ("bnnkit", name)
        assert {node.domain for node in proto.node} == {""}
