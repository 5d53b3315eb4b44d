"""Random files of one operator with valid attributes, and inputs for them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from random_arrays import (
    BATCH,
    Array,
    Drawn,
    Rng,
    flag,
    integers,
    ints,
    map_of,
    maybe,
    reals,
    shape_of,
    window,
)
from random_moves import (
    blocks,
    expanded,
    flattened,
    gathered,
    joined,
    padded,
    parts,
    reshaped,
    sliced,
    squeezed,
    tiled,
    turned,
    unblocked,
    unsqueezed,
)


def unary(**attributes: Callable[[Rng], Any]) -> Callable[[Rng], Drawn]:
    def draw(rng: Rng) -> Drawn:
        given = {name: value(rng) for name, value in attributes.items()}
        return [reals(rng, *shape_of(rng))], maybe(rng, **given)

    return draw


def positive(rng: Rng) -> Drawn:
    return [np.abs(reals(rng, *shape_of(rng))) + np.float32(0.01)], {}


def operand(rng: Rng, shape: list[int]) -> list[int]:
    """Return a shape that broadcasts to another, without its batch."""
    cut = int(rng.integers(1, len(shape) + 1))
    return [n if rng.random() < 0.7 else 1 for n in shape[cut:]]


def binary(rng: Rng) -> Drawn:
    shape, numbers = shape_of(rng), reals if rng.random() < 0.7 else integers
    x = numbers(rng, *shape)
    return [x, numbers(rng, *operand(rng, shape)).astype(x.dtype)], {}


def divided(rng: Rng) -> Drawn:
    (x, y), attributes = binary(rng)
    return [x, np.where(y == 0, y.dtype.type(3), y)], attributes


def powers(rng: Rng) -> Drawn:
    shape = shape_of(rng)
    return [np.abs(reals(rng, *shape)), reals(rng, *operand(rng, shape)) % 3], {}


def remainder(rng: Rng) -> Drawn:
    inputs, _ = divided(rng)
    return inputs, {"fmod": 1 if inputs[0].dtype.kind == "f" else flag(rng)}


def several(rng: Rng) -> Drawn:
    (x, y), _ = binary(rng)
    return [x, y, np.abs(y)][: int(rng.integers(1, 4))], {}


def chosen(rng: Rng) -> Drawn:
    shape = shape_of(rng)
    return [rng.random(shape) < 0.5, reals(rng, *operand(rng, shape)), reals(rng, *shape[1:])], {}


def logic(rng: Rng) -> Drawn:
    shape = shape_of(rng)
    return [rng.random(shape) < 0.5, rng.random(operand(rng, shape)) < 0.5], {}


def clipped(rng: Rng) -> Drawn:
    x = (reals if rng.random() < 0.7 else integers)(rng, *shape_of(rng))
    low, high = np.sort(rng.integers(-3, 4, 2)).astype(x.dtype)
    return [x, *[np.asarray(low), np.asarray(high)][: int(rng.integers(0, 3))]], {}


def cast(rng: Rng) -> Drawn:
    to = [TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64, TensorProto.BOOL]
    x = (reals if rng.random() < 0.7 else integers)(rng, *shape_of(rng))
    return [x], {"to": int(rng.choice([*to, TensorProto.DOUBLE, TensorProto.FLOAT16]))}


def reduced(rng: Rng) -> Drawn:
    shape = shape_of(rng, 2, 5)
    count = int(rng.integers(1, len(shape)))
    axes = rng.choice(np.arange(1, len(shape)), count, replace=False)
    axes = np.where(rng.random(count) < 0.5, axes, axes - len(shape)).astype(np.int64)
    options = maybe(rng, keepdims=flag(rng), noop_with_empty_axes=flag(rng))
    if options.get("noop_with_empty_axes") and rng.random() < 0.3:
        axes = axes[:0]
    return [reals(rng, *shape), axes], options


def reduced_positive(rng: Rng) -> Drawn:
    (x, axes), options = reduced(rng)
    return [np.abs(x) + np.float32(0.01), axes], options


def largest(rng: Rng) -> Drawn:
    shape = shape_of(rng, 1, 4)
    axis = int(rng.integers(1, len(shape)))
    axis -= len(shape) * flag(rng)
    ties = np.rint(reals(rng, *shape))
    return [ties], {"axis": axis, **maybe(rng, keepdims=flag(rng), select_last_index=flag(rng))}


def along_axis(rng: Rng) -> Drawn:
    shape = shape_of(rng, 1, 4)
    axis = int(rng.integers(1, len(shape))) - len(shape) * flag(rng)
    return [reals(rng, *shape)], maybe(rng, axis=axis) if shape else {}


def pooled(rng: Rng) -> Drawn:
    axes = int(rng.choice([1, 2, 2, 2, 3]))
    given = window(rng, axes)
    return [reals(rng, *map_of(rng, axes))], {**given, **maybe(rng, ceil_mode=flag(rng))}


def averaged(rng: Rng) -> Drawn:
    inputs, given = pooled(rng)
    return inputs, {**given, **maybe(rng, count_include_pad=flag(rng))}


def maxima(rng: Rng) -> Drawn:
    inputs, given = pooled(rng)
    axes = inputs[0].ndim - 2
    sizes = [min(n, (s + 1) // max(1, k - 1)) if k > 1 else n for n, s, k in zip(
        ints(rng, 1, 3, axes), inputs[0].shape[2:], given["kernel_shape"], strict=True
    )]  # fmt: skip
    return inputs, {**given, **maybe(rng, dilations=[max(1, n) for n in sizes])}


def convolved(rng: Rng) -> Drawn:
    group = int(rng.choice([1, 1, 2, 3]))
    per_group, outputs = int(rng.integers(1, 5)), int(rng.integers(1, 6)) * group
    given = window(rng, 2)
    kernel = given.pop("kernel_shape")
    inputs = [
        reals(rng, BATCH, per_group * group, *ints(rng, 5, 10, 2)),
        reals(rng, outputs, per_group, *kernel),
        reals(rng, outputs),
    ]
    options = maybe(rng, dilations=ints(rng, 1, 3, 2))
    return inputs[: 2 + flag(rng)], {**given, **options, "group": group}


def spread(rng: Rng) -> Drawn:
    group, per_group = int(rng.choice([1, 2])), int(rng.integers(1, 4))
    kernel, strides = ints(rng, 1, 4, 2), ints(rng, 1, 4, 2)
    inputs = [
        reals(rng, BATCH, per_group * group, *ints(rng, 2, 6, 2)),
        reals(rng, per_group * group, int(rng.integers(1, 4)), *kernel),
    ]
    options = maybe(rng, output_padding=[int(rng.integers(0, s)) for s in strides])
    return inputs, {"strides": strides, "group": group, **options}


def gemm(rng: Rng) -> Drawn:
    inner, outputs, turned = int(rng.integers(1, 20)), int(rng.integers(1, 40)), flag(rng)
    weight = reals(rng, *((outputs, inner) if turned else (inner, outputs)))
    bias = reals(rng, *[(outputs,), (1, outputs), (1,)][int(rng.integers(3))])
    options = maybe(rng, alpha=float(rng.random()), beta=float(rng.random()))
    return [reals(rng, BATCH, inner), weight, bias][: 2 + flag(rng)], {"transB": turned, **options}


def product(rng: Rng) -> Drawn:
    shape = shape_of(rng)
    return [reals(rng, *shape), reals(rng, shape[-1], int(rng.integers(1, 20)))], {}


def per_channel(count: int) -> Callable[[Rng], Drawn]:
    def draw(rng: Rng) -> Drawn:
        shape = map_of(rng)
        numbers = [reals(rng, shape[1]) for _ in range(count)]
        numbers[-1] = np.abs(numbers[-1])  # of a batch norm, the variance
        return [reals(rng, *shape), *numbers], maybe(rng, epsilon=float(rng.random()))

    return draw


def layer_norm(rng: Rng) -> Drawn:
    shape = shape_of(rng, 2, 4)
    axis = int(rng.integers(1, len(shape)))
    inputs = [reals(rng, *shape), *(reals(rng, *shape[axis:]) for _ in range(1 + flag(rng)))]
    axis -= len(shape) * flag(rng)
    return inputs, {"axis": axis, **maybe(rng, epsilon=float(rng.random()))}


def group_norm(rng: Rng) -> Drawn:
    groups, each = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    shape = [BATCH, groups * each, *ints(rng, 2, 6, 2)]
    return [reals(rng, *shape), *(reals(rng, shape[1]) for _ in range(2))], {"num_groups": groups}


def resized(rng: Rng) -> Drawn:
    shape = map_of(rng)
    mode = str(rng.choice(["nearest", "linear", "cubic"]))
    places = ["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]
    given = {"mode": mode, "coordinate_transformation_mode": str(rng.choice(places))}
    if mode == "nearest":
        given["nearest_mode"] = str(
            rng.choice(["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
        )
    none = np.zeros(0, np.float32)
    sizes = np.array([*shape[:2], *ints(rng, 2, 14, 2)])
    if flag(rng):
        return [reals(rng, *shape), none, none, sizes], given
    scales = np.array([1, 1, *rng.choice([0.5, 1, 2, 3, 0.6, 1.3], 2)], np.float32)
    return [reals(rng, *shape), none, scales], given


def dequantized(rng: Rng) -> Drawn:
    shape = shape_of(rng, 1, 4)
    axis = int(rng.integers(1, len(shape)))
    dtype = np.dtype(str(rng.choice(["uint8", "int8"])))
    limits = np.iinfo(dtype)
    count = [shape[axis]] if flag(rng) else []
    scale = np.asarray(rng.random(count), np.float32)
    zero = np.asarray(rng.integers(limits.min, limits.max, count), dtype)
    x = rng.integers(limits.min, limits.max, shape).astype(dtype)
    return [x, scale, zero][: 2 + flag(rng)], {"axis": axis - len(shape) * flag(rng)}


def alpha(rng: Rng) -> float:
    return float(rng.random() * 2 + 0.01)


UNARY: dict[str, Callable[[Rng], Drawn]] = {
    **dict.fromkeys(
        ("Abs", "Neg", "Ceil", "Floor", "Round", "Sign", "Exp", "Sin", "Cos"), unary()
    ),
    **dict.fromkeys(("Atan", "Tanh", "Sigmoid", "Softplus", "Softsign", "Erf", "Relu"), unary()),
    **dict.fromkeys(("Identity", "HardSwish", "Reciprocal", "Mish"), unary()),
    **dict.fromkeys(("LeakyRelu", "Elu", "Celu", "ThresholdedRelu"), unary(alpha=alpha)),
    **dict.fromkeys(("Sqrt", "Log"), positive),
    "HardSigmoid": unary(alpha=alpha, beta=alpha),
    "Selu": unary(alpha=alpha, gamma=alpha),
    "Gelu": unary(approximate=lambda rng: str(rng.choice(["none", "tanh"]))),
}
DRAWS: dict[str, Callable[[Rng], Drawn]] = {
    **UNARY,
    **dict.fromkeys(("Add", "Sub", "Mul"), binary),
    **dict.fromkeys(("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"), binary),
    **dict.fromkeys(("Max", "Min"), several),
    **dict.fromkeys(("And", "Or", "Xor"), logic),
    **dict.fromkeys(("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"), reduced),
    **dict.fromkeys(("ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"), reduced),
    **dict.fromkeys(("Softmax", "LogSoftmax", "LpNormalization"), along_axis),
    **dict.fromkeys(("ArgMax", "ArgMin"), largest),
    "ReduceLogSum": reduced_positive,
    "Div": divided,
    "Mod": remainder,
    "Pow": powers,
    "PRelu": lambda rng: ([*(n.astype(np.float32) for n in binary(rng)[0])], {}),
    "Where": chosen,
    "Clip": clipped,
    "Cast": cast,
    "MaxPool": maxima,
    "AveragePool": averaged,
    "GlobalAveragePool": lambda rng: ([reals(rng, *map_of(rng))], {}),
    "GlobalMaxPool": lambda rng: ([reals(rng, *map_of(rng))], {}),
    "Conv": convolved,
    "ConvTranspose": spread,
    "Gemm": gemm,
    "MatMul": product,
    "BatchNormalization": per_channel(4),
    "InstanceNormalization": per_channel(2),
    "LayerNormalization": layer_norm,
    "GroupNormalization": group_norm,
    "Slice": sliced,
    "Pad": padded,
    "Concat": joined,
    "Split": parts,
    "Transpose": turned,
    "Reshape": reshaped,
    "Flatten": flattened,
    "Squeeze": squeezed,
    "Unsqueeze": unsqueezed,
    "Gather": gathered,
    "Tile": tiled,
    "Expand": expanded,
    "DepthToSpace": blocks,
    "SpaceToDepth": unblocked,
    "Resize": resized,
    "DequantizeLinear": dequantized,
}
"""What an operator is given, by its type."""


@dataclass(frozen=True, kw_only=True)
class OneOperator:
    """A file of one operator, and an input for it."""

    kind: str
    attributes: dict[str, Any]
    model: onnx.ModelProto
    images: Array

    def __str__(self) -> str:
        return f"{self.kind} {self.attributes} of {self.images.dtype} {self.images.shape}"


def draw(seed: int, number: int) -> OneOperator:
    """Return a random file; in half of those of reals the operator stands inside the network.

    In some it is behind a square root, so that it is given NaN.
    """
    rng = np.random.default_rng([seed, number])
    kind = sorted(DRAWS)[int(rng.integers(len(DRAWS)))]
    (x, *constants), attributes = DRAWS[kind](rng)
    images = np.ascontiguousarray(x)
    is_inside = images.dtype == np.float32 and rng.random() < 0.5
    first = "inside" if is_inside else "x"
    is_omitted = [kind == "Resize" and i < 2 and not c.size for i, c in enumerate(constants)]
    names = ["" if omitted else f"c{i}" for i, omitted in enumerate(is_omitted)]
    if kind == "Concat":
        names, constants = [first], []
    count = attributes.pop("outputs", 1)
    outputs = [f"y{i}" for i in range(count)]
    before = helper.make_node("Mul", ["x", "one"], ["inside"])
    if rng.random() < 0.2 and kind != "Resize":  # a NaN times a weight of 0 is not defined
        before = helper.make_node("Sqrt", ["x"], ["inside"])
    nodes = [before] if is_inside else []
    nodes.append(helper.make_node(kind, [first, *names], outputs, name=kind, **attributes))
    stored = {name: c for name, c in zip(names, constants, strict=False) if name}
    stored["one"] = np.ones((), np.float32)
    return OneOperator(
        kind=kind,
        attributes=attributes,
        model=_model(nodes, outputs, stored, images),
        images=images,
    )


def _model(
    nodes: list[onnx.NodeProto], outputs: list[str], stored: dict[str, Array], images: Array
) -> onnx.ModelProto:
    element = helper.np_dtype_to_tensor_dtype(images.dtype)
    graph = helper.make_graph(
        nodes,
        "one",
        [helper.make_tensor_value_info("x", element, ["N", *images.shape[1:]])],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(np.asarray(c), name) for name, c in stored.items()],
    )
    opsets = [helper.make_opsetid("", 21)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return onnx.shape_inference.infer_shapes(model)
