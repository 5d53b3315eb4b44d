"""Writes tests/data/lce_builtins: TFLite's builtin operators, and what LCE's interpreter gives.

    python tests/data/make_lce_builtins.py

As make_lce_operators.py. Each file has one input, and an output for each form of an operator. The
outputs that only move numbers, or whose results are whole numbers, are named in `exact`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from make_lce_operators import SAME, VALID, Net, S, eighths

FOLDER = Path(__file__).parent / "lce_builtins"
SCALE, ZERO = 0.05, -3
MAP = (2, 4, 6, 8)


class Case:
    """A file with one input, float32 or int8, and many outputs."""

    def __init__(self, name: str, shape: Sequence[int] = MAP, dtype: Any = np.float32) -> None:
        self.name, self.shape, self.dtype = name, tuple(shape), np.dtype(dtype)
        self.net, self.outputs, self.exact = Net(FOLDER), list[int](), list[int]()
        self.rng = np.random.default_rng(0)
        self.input = self.value(shape)

    def value(self, shape: Sequence[int], *, scale: float = SCALE, zero: int = ZERO) -> int:
        """A tensor of the type of the input."""
        is_int = self.dtype == np.int8
        return self.net.tensor(
            shape, self.dtype, scale=scale if is_int else 0, zero=zero if is_int else 0
        )

    def give(self, place: int, *, exact: bool = True) -> None:
        if exact:
            self.exact.append(len(self.outputs))
        self.outputs.append(place)

    def unary(self, name: str, options: Any = None, *, exact: bool = False, **scale: Any) -> None:
        target = self.value(self.shape, **scale)
        self.give(self.net.add(name, [self.input], target, options=options), exact=exact)

    def move(
        self, name: str, constants: Sequence[Any], shape: Sequence[int], options: Any = None
    ) -> None:
        places = [self.net.constant(array, np.int32) for array in constants]
        target = self.value(shape)
        self.give(self.net.add(name, [self.input, *places], target, options=options))

    def write(self, *, positive: bool = False) -> None:
        images: Any = eighths(self.rng, self.shape)
        if positive:
            images = np.abs(images) + np.float32(0.125)
        if self.dtype == np.int8:
            images = self.rng.integers(-128, 128, self.shape).astype(np.int8)
        self.net.write(self.name, images, self.outputs, "default", exact=np.array(self.exact))


def options(name: str, **fields: Any) -> Any:
    table = getattr(S, f"{name}OptionsT")()
    for key, number in fields.items():
        assert hasattr(table, key)
        setattr(table, key, number)
    return table


def write_unary() -> None:
    case = Case("unary")
    for name in ("RELU", "RELU6", "RELU_N1_TO_1", "ABS", "NEG", "ROUND", "FLOOR", "CEIL", "SIGN"):
        case.unary(name, exact=True)
    for name in ("LOGISTIC", "TANH", "EXP", "ELU", "HARD_SWISH", "SIN", "COS", "SQUARE"):
        case.unary(name)
    case.unary("GELU", options("Gelu", approximate=False))
    case.unary("GELU", options("Gelu", approximate=True))
    case.unary("LEAKY_RELU", options("LeakyRelu", alpha=0.3))
    case.unary("SOFTMAX", options("Softmax", beta=0.5))
    case.unary("LOG_SOFTMAX")
    case.unary("L2_NORMALIZATION", options("L2Norm"))
    case.write()
    case = Case("unary_positive")
    for name in ("LOG", "SQRT", "RSQRT"):
        case.unary(name)
    exponent = case.net.constant(1.5, np.float32)
    power = case.net.add("POW", [case.input, exponent], case.value(MAP), options=options("Pow"))
    case.give(power, exact=False)
    case.write(positive=True)


def write_unary_int8() -> None:
    case = Case("unary_int8", dtype=np.int8)
    case.unary("RELU", exact=True)
    case.unary("RELU6", exact=True)
    case.unary("ABS", options("Abs"))
    case.unary("LOGISTIC", scale=1 / 256, zero=-128)
    case.unary("TANH", scale=1 / 128, zero=0)
    case.unary("HARD_SWISH", options("HardSwish"))
    case.unary("ELU")
    case.unary("GELU", options("Gelu", approximate=False))
    case.unary("LEAKY_RELU", options("LeakyRelu", alpha=0.3))
    case.unary("SOFTMAX", options("Softmax", beta=1.0), scale=1 / 256, zero=-128)
    case.write()


def write_moves(dtype: Any, suffix: str) -> None:
    case = Case(f"moves{suffix}", dtype=dtype)
    net = case.net
    for perm in ([0, 1, 3, 2], [0, 2, 1, 3], [0, 2, 3, 1], [0, 3, 1, 2], [0, 3, 2, 1]):
        case.move("TRANSPOSE", [perm], [MAP[axis] for axis in perm], options("Transpose"))
    case.move("GATHER", [[3, 1, 7, 1]], (2, 4, 6, 4), options("Gather", axis=3))
    case.move("GATHER", [[2, 0]], (2, 2, 6, 8), options("Gather", axis=1))
    case.move("GATHER", [5], (2, 4, 8), options("Gather", axis=2))
    case.move("TILE", [[1, 2, 1, 3]], (2, 8, 6, 24))
    case.move("MIRROR_PAD", [[[0, 0], [1, 2], [3, 0], [0, 1]]], (2, 7, 9, 9), options("MirrorPad"))
    case.move(
        "MIRROR_PAD",
        [[[0, 0], [4, 0], [0, 1], [0, 0]]],
        (2, 8, 7, 8),
        options("MirrorPad", mode=1),
    )
    case.move("SPACE_TO_DEPTH", [], (2, 2, 3, 32), options("SpaceToDepth", blockSize=2))
    case.move("DEPTH_TO_SPACE", [], (2, 8, 12, 2), options("DepthToSpace", blockSize=2))
    case.move("RESHAPE", [[2, 8, 24]], (2, 8, 24), options("Reshape"))
    case.move("PAD", [[[0, 0], [1, 0], [0, 2], [3, 0]]], (2, 5, 8, 11), options("Pad"))
    strided = options("StridedSlice", shrinkAxisMask=2)
    case.move("STRIDED_SLICE", [[0, 2, 0, 0], [2, 3, 6, 8], [1, 1, 1, 1]], (2, 6, 8), strided)
    strided = options("StridedSlice", beginMask=14, endMask=14)
    case.move("STRIDED_SLICE", [[0] * 4, [2, 0, 0, 0], [1, -1, 2, -3]], (2, 4, 3, 3), strided)
    for corners, half in ((False, False), (True, False), (False, True)):
        resized = options("ResizeNearestNeighbor", alignCorners=corners, halfPixelCenters=half)
        for size in ([8, 12], [3, 13]):
            case.move("RESIZE_NEAREST_NEIGHBOR", [size], (2, *size, 8), resized)
    parts = [case.value((2, 4, 2, 8)) for _ in range(3)]
    axis = net.constant(2, np.int32)
    net.add("SPLIT", [axis, case.input], *parts, options=options("Split", numSplits=3))
    parts += [case.value((2, 6, 8)) for _ in range(4)]
    net.add("UNPACK", [case.input], *parts[3:], options=options("Unpack", num=4, axis=1))
    for part in (*parts[:3], *parts[4:]):
        case.give(part)
    stacked = case.value((2, 6, 3, 8))
    case.give(net.add("PACK", parts[3:6], stacked, options=options("Pack", valuesCount=3, axis=2)))
    joined = case.value((2, 4, 4, 8))
    case.give(
        net.add("CONCATENATION", parts[:2], joined, options=options("Concatenation", axis=2))
    )
    case.write()


def write_bilinear() -> None:
    for dtype, suffix in ((np.float32, ""), (np.int8, "_int8")):
        case = Case(f"resize_bilinear{suffix}", dtype=dtype)
        for corners, half in ((False, False), (True, False), (False, True)):
            resized = options("ResizeBilinear", alignCorners=corners, halfPixelCenters=half)
            for size in ([8, 12], [3, 13]):
                places = [case.input, case.net.constant(size, np.int32)]
                target = case.value((2, *size, 8))
                case.net.add("RESIZE_BILINEAR", places, target, options=resized)
                case.give(target, exact=False)
        case.write()


def write_reductions() -> None:
    for dtype, suffix in ((np.float32, ""), (np.int8, "_int8")):
        case = Case(f"reductions{suffix}", dtype=dtype)
        for axes, keeps in (([1, 2], False), ([3], True), ([1], False)):
            shape = [1 if i in axes else n for i, n in enumerate(MAP) if keeps or i not in axes]
            for name in ("MEAN", "REDUCE_MAX", "REDUCE_MIN", "SUM", "REDUCE_PROD"):
                if dtype == np.int8 and name in ("SUM", "REDUCE_PROD"):
                    continue
                if name == "REDUCE_PROD" and axes == [1, 2]:
                    continue
                places = [case.input, case.net.constant(axes, np.int32)]
                target = case.value(shape)
                case.net.add(name, places, target, options=options("Reducer", keepDims=keeps))
                case.give(target, exact=name in ("REDUCE_MAX", "REDUCE_MIN"))
        if dtype == np.float32:
            for name in ("ARG_MAX", "ARG_MIN"):
                target = case.net.tensor(MAP[:3], np.int32)
                axis = case.net.constant(3, np.int32)
                chosen = options("ArgMax" if name == "ARG_MAX" else "ArgMin")
                chosen.outputType = S.TensorType.INT32
                case.give(case.net.add(name, [case.input, axis], target, options=chosen))
        case.write()


COMPARISONS = ("GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "EQUAL", "NOT_EQUAL")


def write_comparisons() -> None:
    """Of numbers, logic of bools, and what is chosen by them."""
    case = Case("comparisons")
    net = case.net
    row = net.constant(eighths(case.rng, (8,)), np.float32)
    half = net.constant(0.25, np.float32)
    bools = []
    for name in COMPARISONS:
        for other in (row, half):
            bools.append(net.add(name, [case.input, other], net.tensor(MAP, np.bool_)))
            case.give(bools[-1])
    bools.append(net.add("LESS", [half, case.input], net.tensor(MAP, np.bool_)))
    case.give(bools[-1])
    for name in ("LOGICAL_AND", "LOGICAL_OR"):
        case.give(net.add(name, [bools[0], bools[5]], net.tensor(MAP, np.bool_)))
    case.give(net.add("LOGICAL_NOT", [bools[0]], net.tensor(MAP, np.bool_)))
    negative = net.add("NEG", [case.input], case.value(MAP), options=options("Neg"))
    zero = net.constant(0.1, np.float32)
    for places in ([case.input, negative], [negative, zero], [zero, half], [row, case.input]):
        target = case.value(MAP)
        case.give(net.add("SELECT_V2", [bools[0], *places], target, options=options("SelectV2")))
    cast = options("Cast", inDataType=S.TensorType.BOOL, outDataType=S.TensorType.FLOAT32)
    case.give(net.add("CAST", [bools[1]], case.value(MAP), options=cast))
    case.give(net.signs(bools[2], MAP))
    case.write()


def write_binary() -> None:
    for dtype, suffix in ((np.float32, ""), (np.int8, "_int8")):
        case = Case(f"binary{suffix}", dtype=dtype)
        net = case.net
        other = case.value((2, 1, 1, 8))
        window = options("Pool2D", padding=VALID, strideH=4, strideW=6)
        window.filterHeight, window.filterWidth = 4, 6
        net.add("MAX_POOL_2D", [case.input], other, options=window)
        for name, table in (("ADD", "Add"), ("SUB", "Sub"), ("MUL", "Mul"), ("DIV", "Div")):
            if dtype == np.int8 and name == "DIV":
                continue
            for activation in (0, 1, 3):
                chosen = options(table, fusedActivationFunction=activation)
                target = case.value(MAP)
                case.give(net.add(name, [case.input, other], target, options=chosen), exact=False)
        for name in ("MAXIMUM", "MINIMUM"):
            target = case.value(MAP)
            chosen = options("MaximumMinimum")
            case.give(net.add(name, [case.input, other], target, options=chosen))
        if dtype == np.float32:
            target = case.value(MAP)
            chosen = options("SquaredDifference")
            net.add("SQUARED_DIFFERENCE", [case.input, other], target, options=chosen)
            case.give(target, exact=False)
            total = net.add("ADD_N", [case.input, target, target], case.value(MAP))
            case.give(total, exact=False)
            ones = net.constant(np.repeat(eighths(case.rng, (1, 4, 6, 3)), 2, 0), np.float32)
            joined = case.value((2, 4, 6, 14))
            chosen = options("Concatenation", axis=3)
            places = [ones, case.input, ones]
            case.give(net.add("CONCATENATION", places, joined, options=chosen))
        case.write()


def write_layers() -> None:
    """TRANSPOSE_CONV and FULLY_CONNECTED; of int8 the other layers too, bit for bit."""
    for dtype, suffix in ((np.float32, ""), (np.int8, "_int8")):
        case = Case(f"transpose_conv{suffix}", (2, 4, 5, 6), dtype)
        for kernel, strides, padding in (
            ((3, 3), (2, 2), SAME),
            ((2, 2), (2, 2), VALID),
            ((4, 3), (1, 2), SAME),
            ((5, 2), (3, 1), VALID),
            ((1, 1), (2, 2), SAME),
        ):
            size = [
                n * s if padding == SAME else (n - 1) * s + max(k, 0)
                for n, s, k in zip((4, 5), strides, kernel, strict=True)
            ]
            _layer(
                case,
                "TRANSPOSE_CONV",
                (7, *kernel, 6),
                (2, *size, 7),
                options("TransposeConv", padding=padding, strideH=strides[0], strideW=strides[1]),
                first=[case.net.constant([2, *size, 7], np.int32)],
            )
        case.write()
    case = Case("layers_int8", (2, 6, 7, 8), np.int8)
    conv = options("Conv2D", strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1)
    _layer(case, "CONV_2D", (12, 3, 3, 8), (2, 6, 7, 12), conv)
    conv = options("DepthwiseConv2D", strideH=2, strideW=2, depthMultiplier=2)
    conv.dilationHFactor = conv.dilationWFactor = 1
    _layer(case, "DEPTHWISE_CONV_2D", (1, 3, 3, 16), (2, 3, 4, 16), conv, axis=3)
    _layer(case, "FULLY_CONNECTED", (9, 336), (2, 9), options("FullyConnected"))
    case.write()
    case = Case("fully_connected", (2, 5, 8))
    kept = options("FullyConnected", keepNumDims=True, fusedActivationFunction=1)
    _layer(case, "FULLY_CONNECTED", (9, 8), (2, 5, 9), kept)
    _layer(case, "FULLY_CONNECTED", (9, 40), (2, 9), options("FullyConnected"))
    case.write()


def _layer(
    case: Case,
    name: str,
    filter_shape: tuple[int, ...],
    shape: tuple[int, ...],
    chosen: Any,
    *,
    first: Sequence[int] = (),
    axis: int = 0,
) -> None:
    """A layer with random weights and a bias; of int8 with a scale for each channel."""
    net, rng, outputs = case.net, case.rng, filter_shape[axis]
    if case.dtype == np.float32:
        weight = net.constant(eighths(rng, filter_shape), np.float32)
        bias = net.constant(eighths(rng, (outputs,)), np.float32)
        target = case.value(shape)
    else:
        dense = name == "FULLY_CONNECTED"
        scales = [0.01] if dense else rng.uniform(0.003, 0.02, outputs).tolist()
        weight = net.quantized(rng.integers(-127, 128, filter_shape), np.int8, scales, axis)
        numbers = rng.integers(-999, 999, outputs)
        bias = net.quantized(numbers, np.int32, [scale * SCALE for scale in scales])
        target = case.value(shape, scale=1.1 if dense else 0.4, zero=5)
    places = [*first, weight, case.input] if first else [case.input, weight]
    case.give(net.add(name, [*places, bias], target, options=chosen), exact=case.dtype == np.int8)


def write_constants() -> None:
    """Parts that are known before the image is: XNOR-Net's weights, and shapes."""
    case = Case("constants", (2, 4, 4, 8))
    net = case.net

    def constant(name: str, places: Sequence[int], shape: Sequence[int], table: str = "") -> int:
        target = net.tensor(shape, np.int32 if name in ("LceQuantize", "PACK") else np.float32)
        return net.add(name, places, target, options=options(table) if table else None)

    shape = (3, 3, 8, 5)
    raw = net.constant(2 * eighths(case.rng, shape), np.float32)
    clipped = constant("RELU_N1_TO_1", [raw], shape)
    sizes, axes = constant("ABS", [clipped], shape, "Abs"), net.constant([0, 1, 2], np.int32)
    means = net.tensor((1, 1, 1, 5), np.float32)
    net.add("MEAN", [sizes, axes], means, options=options("Reducer", keepDims=True))
    words = constant("LceQuantize", [clipped], (3, 3, 8, 1))
    signs = constant("LceDequantize", [words], shape)
    scaled = constant("MUL", [means, signs], shape, "Mul")
    perm = net.constant([3, 0, 1, 2], np.int32)
    weight = constant("TRANSPOSE", [scaled, perm], (5, 3, 3, 8), "Transpose")
    target = case.value((2, 4, 4, 5))
    conv = options("Conv2D", strideH=1, strideW=1, dilationHFactor=1, dilationWFactor=1)
    bias = net.constant(np.zeros(5), np.float32)
    case.give(net.add("CONV_2D", [case.input, weight, bias], target, options=conv), exact=False)
    filled = net.tensor((4, 8), np.float32)
    dims = net.constant([4, 8], np.int32)
    net.add("FILL", [dims, net.constant(0.5, np.float32)], filled, options=options("Fill"))
    total = case.value((2, 4, 4, 8))
    case.give(net.add("ADD", [case.input, filled], total, options=options("Add")))
    given = net.tensor((4,), np.int32)
    net.add("SHAPE", [case.input], given, options=options("Shape", outType=S.TensorType.INT32))
    cuts = [net.constant([n], np.int32) for n in (0, 1, 1)]
    batch = net.tensor((), np.int32)
    cut = options("StridedSlice", shrinkAxisMask=1)
    net.add("STRIDED_SLICE", [given, *cuts], batch, options=cut)
    parts = [batch, net.constant(128, np.int32)]
    packed = net.add(
        "PACK", parts, net.tensor((2,), np.int32), options=options("Pack", valuesCount=2, axis=0)
    )
    flat = case.value((2, 128))
    case.give(net.add("RESHAPE", [case.input, packed], flat, options=options("Reshape")))
    case.write()


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    write_unary()
    write_unary_int8()
    write_moves(np.float32, "")
    write_moves(np.int8, "_int8")
    write_bilinear()
    write_reductions()
    write_comparisons()
    write_binary()
    write_layers()
    write_constants()
