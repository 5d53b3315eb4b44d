"""Artifacts that the fuzzers of ONNX files damage: together they reach every kernel."""

from functools import cache
from typing import Any

import numpy as np
import onnx
from artifacts import ArtifactBuilder, digits_like, noisy_digits_like, noisy_real_like
from fuzz import random_network, random_noisy_network
from onnx import TensorProto, helper

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.budget import no_limits
from bnnkit.artifact.checks.check_nodes import check_nodes
from bnnkit.artifact.operators import OPERATORS
from bnnkit.artifact.operators.facts import FACTS


def real_layers() -> Artifact:
    """Layers of real numbers, and the standard operators that have kernels."""
    a = ArtifactBuilder(1)

    def numbers(*shape: int) -> str:
        return a.constant(a.rng.standard_normal(shape).astype(np.float32))

    def conv(source: str, *shape: int, **attributes: Any) -> str:
        window = {"pads": [1, 1, 1, 1], "strides": [1, 1], "dilations": [1, 1], **attributes}
        return a.add("Conv", source, numbers(*shape), numbers(shape[0]), **window)

    first = a.add("Relu", conv("x", 16, 3, 3, 3))
    depthwise = conv(first, 16, 1, 3, 3, group=16)
    norm = a.add("BatchNormalization", depthwise, *(numbers(16) for _ in range(3)), positive(a))
    pooled = a.add("MaxPool", norm, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    grouped = a.add("Clip", conv(pooled, 8, 4, 3, 3, group=4), number(a, 0), number(a, 6))
    small = a.add("AveragePool", grouped, kernel_shape=[2, 2], strides=[2, 2])
    padded = a.add("Pad", small, a.constant(np.array([0, 0, 1, 1, 0, 0, 0, 0])), number(a, 0))
    joined = a.add("Concat", padded, a.add("LeakyRelu", padded, alpha=0.1), axis=1)
    scaled = a.add("Mul", joined, a.add("ReduceMean", joined, axes(a, 2, 3), keepdims=1))
    cut = a.add("Slice", scaled, axes(a, 0), axes(a, 12), axes(a, 1))
    moved = a.add("Transpose", cut, perm=[0, 2, 3, 1])
    normal = a.add("LayerNormalization", moved, numbers(12), numbers(12), axis=-1)
    shape = a.add("Shape", normal, start=0, end=1)
    rows = a.add("Concat", shape, axes(a, -1), axis=0)
    flat = a.add("Reshape", normal, rows)
    signed = a.add("Sub", flat, a.add("Abs", flat))
    hidden = a.add("PRelu", a.gemm(signed, 12 * 9, 20), numbers(20))
    scores = a.add("Softmax", a.add("MatMul", hidden, numbers(20, 5)), axis=-1)
    return a.artifact((3, 8, 8), scores, sizes={scores: (5,)})


def binary_weights() -> Artifact:
    """Binary weights with real activations, signs that move, and a 1x1 skip."""
    a = ArtifactBuilder(2)
    shape = (16, 3, 3, 4)
    packed = a.constant(np.packbits(a.signs(*shape).ravel() < 0, bitorder="little"))
    weight = a.add("bnnkit.BinaryWeight", packed, weight_shape=list(shape))
    real = a.add("Conv", "x", weight, pads=[0, 0, 0, 0], strides=[1, 1], dilations=[1, 1], group=1)
    signs = a.sign(real)
    moved = a.add("Transpose", a.add("Transpose", signs, perm=[0, 2, 3, 1]), perm=[0, 3, 1, 2])
    first = a.binary_conv2d(moved, 16, 24, 3, pads=(1, 1, 1, 1), thresholds=False)
    skip = a.add("Mul", a.add("Cast", first, to=TensorProto.FLOAT), number(a, 0.5))
    both = a.add("Add", skip, a.to_real(a.sign(skip)))
    pooled = a.add("GlobalAveragePool", both)
    scores = a.gemm(a.add("Flatten", pooled), 24, 4)
    return a.artifact((4, 7, 6), scores, sizes={scores: (4,)})


def drawn_weights() -> Artifact:
    """A dense first layer, and stored draws of the weights of the second."""
    a = ArtifactBuilder(3)
    weight = a.constant(a.rng.integers(-2047, 2048, (24, 30)).astype(np.int16))
    sums = a.add("bnnkit.IntegerLinear", "x", weight, a.constant(np.full(30, 128, np.uint8)))
    first = a.noisy_sum(sums, 24, 90000, maps=False)
    rows = a.constant(a.rng.integers(0, 256, (4, 24 * 16 // 8)).astype(np.uint8))
    drawn = a.add("bnnkit.WeightDraw", rows, "sample")
    dense = a.add("bnnkit.BinaryLinear", first, drawn, weight_shape=[16, 24])
    scores = a.gemm(a.to_real(a.noisy_sum(dense, 16, 5, maps=False)), 16, 3)
    return a.artifact((30,), scores, dtype=TensorProto.UINT8, sizes={scores: (3,)})


def convolutions_alone() -> Artifact:
    """Layers of every form whose results are outputs, so that any valid geometry is one."""
    a = ArtifactBuilder(4)
    signs = a.sign("x")
    outputs = [
        a.binary_conv2d(signs, 8, 20, 3, pads=(1, 1, 1, 1)),
        a.binary_conv2d(signs, 8, 20, 3, pads=(1, 0, 1, 0), groups=2, thresholds=False),
        a.binary_conv2d(a.pad_with_ones(signs, 1, 1, 1, 1), 8, 70, 3),
        a.add("MaxPool", signs, kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]),
        a.add("MaxPool", "x", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
        a.add("AveragePool", "x", kernel_shape=[2, 2], strides=[1, 1], pads=[0, 1, 0, 1]),
    ]
    for shape, group in (((20, 8, 3, 3), 1), ((8, 1, 3, 3), 8), ((12, 4, 1, 1), 2)):
        weight = a.constant(a.rng.standard_normal(shape).astype(np.float32))
        window = {"pads": [1] * 4, "strides": [1, 1], "dilations": [1, 1], "group": group}
        outputs.append(a.add("Conv", "x", weight, **window))
    return a.artifact((8, 9, 7), *outputs)


def products_of_signs() -> Artifact:
    """Scores of queries and keys that are the same signs."""
    a = ArtifactBuilder(5)
    signs = a.sign("x")
    keys = a.add("Transpose", signs, perm=[0, 1, 3, 2])
    sums = a.add("bnnkit.BinaryMatMul", signs, keys)
    return a.artifact((2, 5, 70), a.add("Cast", sums, to=TensorProto.FLOAT))


def placed_maps() -> Artifact:
    """Joins, larger maps and blocks of channels, of reals and of signs, at any bit of a word."""
    a = ArtifactBuilder(6)
    nearest = {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    }
    scales = a.constant(np.array([1, 1, 2, 2], np.float32))
    large = a.add("Mul", "x", number(a, 0.5))
    small = a.add("AveragePool", large, kernel_shape=[2, 2], strides=[2, 2])
    repeated = a.add("Resize", small, "", scales, **nearest)
    joined = a.sign(a.add("Concat", repeated, large, axis=1))
    sums = a.binary_conv2d(joined, 70, 72, 3, pads=(1, 1, 1, 1))
    blocks = a.add("DepthToSpace", sums, blocksize=2)
    parts = [a.binary_conv2d(blocks, 18, outputs, 1) for outputs in (3, 64, 70)]
    wide = a.binary_conv2d(a.add("Concat", *parts, axis=1), 137, 8, 1, thresholds=False)
    real = a.add("Cast", wide, to=TensorProto.FLOAT)
    reals = a.add("DepthToSpace", a.add("Resize", real, "", scales, **nearest), blocksize=2)
    return a.artifact((35, 4, 6), a.add("Relu", reals), blocks)


def heads_of_tokens() -> Artifact:
    """Products of matrices of signs that begin at any bit of a word."""
    a = ArtifactBuilder(7)
    last = a.add("Transpose", a.sign(a.add("Mul", "x", number(a, 0.5))), perm=[0, 2, 3, 1])
    heads = a.add("Reshape", a.add("Squeeze", last, axes(a, 1)), axes(a, -1, 9, 2, 35))
    rows = a.add("Transpose", heads, perm=[0, 2, 1, 3])
    columns = a.add("Transpose", heads, perm=[0, 2, 3, 1])
    scores = a.add("bnnkit.BinaryMatMul", rows, columns)
    attends = a.sign(a.add("Cast", scores, to=TensorProto.FLOAT))
    attended = a.add("bnnkit.BinaryMatMul", attends, rows)
    sums = a.add("ReduceSum", a.to_real(rows), axes(a, -2), keepdims=1)
    return a.artifact((70, 1, 9), a.add("Cast", attended, to=TensorProto.FLOAT), sums)


def encoder() -> Artifact:
    """Attention of 0 and 1 in three heads, layer norms, and a real attention."""
    a = ArtifactBuilder(8)
    heads = axes(a, 0, 5, 3, 7)

    def norm(source: str, channels: int) -> str:
        scale, bias = (a.rng.standard_normal(channels).astype(np.float32) for _ in range(2))
        return a.add("LayerNormalization", source, a.constant(scale), a.constant(bias), axis=-1)

    def of_heads(source: str, *perm: int) -> str:
        return a.add("Transpose", a.add("Reshape", source, heads), perm=perm)

    position = a.constant(a.rng.standard_normal((5, 21)).astype(np.float32))
    x = norm(a.add("Add", "x", position), 21)
    signs = a.sign(x)
    queries, values = (of_heads(signs, 0, 2, 1, 3) for _ in range(2))
    sums = a.add("bnnkit.BinaryMatMul", queries, of_heads(signs, 0, 2, 3, 1))
    scores = a.add("Softmax", a.add("Cast", sums, to=TensorProto.FLOAT), axis=-1)
    attends = a.sign(a.add("Sub", scores, number(a, 0.2)))
    product = a.add("bnnkit.BinaryMatMul", attends, values)
    total = a.add("ReduceSum", a.to_real(values), axes(a, -2), keepdims=1)
    context = a.add("Add", a.add("Cast", product, to=TensorProto.FLOAT), total)
    real = a.add("MatMul", scores, norm(of_heads(x, 0, 2, 1, 3), 7))
    both = a.add("Transpose", a.add("Mul", context, real), perm=[0, 2, 1, 3])
    y = norm(a.add("Add", a.add("Reshape", both, axes(a, 0, 5, 21)), x), 21)
    among_tokens = a.add("Softmax", y, axis=1)
    pooled = a.add("ReduceMean", a.add("Mul", among_tokens, y), axes(a, 1), keepdims=0)
    scores = a.gemm(pooled, 21, 4)
    return a.artifact((5, 21), scores, sizes={scores: (4,)})


def axes(a: ArtifactBuilder, *numbers: int) -> str:
    return a.constant(np.array(numbers, np.int64))


def number(a: ArtifactBuilder, value: float) -> str:
    return a.constant(np.float32(value))


def positive(a: ArtifactBuilder) -> str:
    return a.constant(a.rng.uniform(0.5, 2, 16).astype(np.float32))


@cache
def examples() -> tuple[onnx.ModelProto, ...]:
    """The artifacts, each with the types of all its values, as files of bnnkit have them."""
    handmade = [
        digits_like()[0],
        noisy_digits_like()[0],
        noisy_real_like()[0],
        real_layers(),
        binary_weights(),
        drawn_weights(),
        convolutions_alone(),
        products_of_signs(),
        placed_maps(),
        heads_of_tokens(),
        *(random_network(seed)[0] for seed in (0, 3, 5)),
        *(random_noisy_network(seed)[0] for seed in (1, 2)),
        encoder(),
    ]
    return tuple(_with_types(artifact) for artifact in handmade)


def _with_types(artifact: Artifact) -> onnx.ModelProto:
    model = onnx.ModelProto()
    model.CopyFrom(artifact.model)
    computed = FACTS.keys() | {f"bnnkit.{name}" for name in OPERATORS}
    types = check_nodes(artifact, computed, no_limits())
    stated = {value.name: value for value in model.graph.output}
    for name in (name for node in model.graph.node for name in node.output):
        shape: list[int | str | None] = ["N", *types[name].shape[1:]]
        if len(types[name].shape) > 1:
            info = helper.make_tensor_value_info(name, types[name].element, shape)
            if name in stated:
                stated[name].CopyFrom(info)
            else:
                model.graph.value_info.append(info)
    return model
