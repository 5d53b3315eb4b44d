"""Rare forms of graphs: the runtime computes them, or rejects them by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from artifacts import Array, ArtifactBuilder
from onnx import TensorProto

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.bits import pack_weight
from bnnkit.artifact.reference import Reference
from bnnkit.errors import ArtifactError, BnnkitError, UnsupportedError
from bnnkit.runtime import Model, load
from bnnkit.runtime.plan import Plan


def assert_equal(model: Artifact, x: Array) -> None:
    want = Reference(model).run(x)
    got = Model(model).run(x)
    for w, g in zip(want, got if isinstance(got, tuple) else (got,), strict=True):
        assert (w.dtype, w.shape) == (g.dtype, g.shape)
        np.testing.assert_array_equal(g, w)


def reals(a: ArtifactBuilder, *shape: int) -> Array:
    x: Array = a.rng.standard_normal(shape).astype(np.float32)
    return x


@pytest.mark.parametrize("outputs", [1, 5, 40])
@pytest.mark.parametrize("constants", ["one number", "one a channel"])
def test_a_scale_and_a_bias_behind_a_dense_layer(outputs: int, constants: str) -> None:
    a = ArtifactBuilder(outputs)
    size = (1,) if constants == "one number" else (outputs,)
    scale, bias = (a.constant(a.rng.standard_normal(size).astype(np.float32)) for _ in range(2))
    real = a.add("Cast", a.binary_linear(a.sign("x"), 20, outputs), to=TensorProto.FLOAT)
    out = a.add("Add", a.add("Mul", real, scale), bias)
    assert_equal(a.artifact((20,), out), reals(a, 3, 20))


@pytest.mark.parametrize("constants", ["a number", "one a channel"])
def test_a_scale_and_a_bias_behind_the_integer_layer(constants: str) -> None:
    a = ArtifactBuilder(2)
    size = () if constants == "a number" else (9, 1, 1)
    scale, bias = (a.constant(a.rng.standard_normal(size).astype(np.float32)) for _ in range(2))
    real = a.add("Cast", a.integer_conv2d("x", 2, 9), to=TensorProto.FLOAT)
    out = a.add("Add", a.add("Mul", real, scale), bias)
    x = a.rng.integers(0, 256, (2, 2, 5, 5)).astype(np.uint8)
    assert_equal(a.artifact((2, 5, 5), out, dtype=TensorProto.UINT8), x)


def test_a_pooling_over_three_axes() -> None:
    a = ArtifactBuilder(18)
    pooled = a.add("AveragePool", "x", kernel_shape=[3, 2, 1], strides=[2, 1, 2])
    x = reals(a, 2, 8, 5, 5, 5)
    taps = [x[:, :, i : i + 3 : 2, j : j + 4, ::2] for i in range(3) for j in range(2)]
    got = Model(a.artifact((8, 5, 5, 5), pooled)).run(x)
    np.testing.assert_allclose(got, sum(taps) / 6, atol=1e-6)


MOVES: dict[str, tuple[str, dict[str, Any], list[Any]]] = {
    "transpose": ("Transpose", {"perm": [0, 1, 3, 2]}, []),
    "identity": ("Identity", {}, []),
    "slice": ("Slice", {}, [np.array([1]), np.array([4]), np.array([2])]),
    "pad with -1": ("Pad", {}, [np.array([0, 0, 1, 0, 0, 0, 0, 2]), np.uint8(0)]),
    "reflect": ("Pad", {"mode": "reflect"}, [np.array([0, 0, 1, 0, 0, 0, 0, 2])]),
    "edge": ("Pad", {"mode": "edge"}, [np.array([0, 0, 1, 0, 0, 0, 0, 2])]),
    "reshape": ("Reshape", {}, [np.array([0, 33, 4, 5])]),
}


@pytest.mark.parametrize("move", MOVES)
def test_signs_that_are_moved_stay_signs(move: str) -> None:
    a = ArtifactBuilder(3)
    kind, attributes, constants = MOVES[move]
    moved = a.add(kind, a.sign("x"), *[a.constant(c) for c in constants], **attributes)
    hidden = a.binary_conv2d(moved, 33, 40, 2)
    model = a.artifact((33, 5, 4), hidden, moved)
    assert moved in model.signs
    assert_equal(model, reals(a, 3, 33, 5, 4))


def test_signs_that_are_concatenated() -> None:
    a = ArtifactBuilder(4)
    first = a.sign("x")
    second = a.binary_conv2d(first, 33, 20, 3, pads=(1, 1, 1, 1))
    joined = a.add("Concat", second, first, axis=1)
    assert_equal(a.artifact((33, 5, 4), a.binary_conv2d(joined, 53, 40, 2)), reals(a, 3, 33, 5, 4))


def test_channels_that_are_shuffled() -> None:
    a = ArtifactBuilder(5)
    split = a.add("Reshape", a.sign("x"), a.constant(np.array([0, 2, 6, 5, 4])))
    swapped = a.add("Transpose", split, perm=[0, 2, 1, 3, 4])
    joined = a.add("Reshape", swapped, a.constant(np.array([0, 12, 5, 4])))
    assert_equal(a.artifact((12, 5, 4), a.binary_conv2d(joined, 12, 9, 2)), reals(a, 2, 12, 5, 4))


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_a_computed_shape_that_does_not_flatten(batch: int) -> None:
    a = ArtifactBuilder(6)
    size = a.add("Shape", "x", start=0, end=1)
    shape = a.add("Concat", size, a.constant(np.array([4, 6])), axis=0)
    assert_equal(
        a.artifact((2, 3, 4), a.add("Reshape", a.sign("x"), shape)), reals(a, batch, 2, 3, 4)
    )


def test_a_threshold_on_sums_that_numpy_made() -> None:
    a = ArtifactBuilder(7)
    signs = a.sign("x")
    both = a.add("Add", a.binary_linear(signs, 20, 30), a.binary_linear(signs, 20, 30))
    assert_equal(a.artifact((20,), a.threshold(both, a.rng.integers(-9, 9, 30))), reals(a, 4, 20))


def test_nodes_of_one_name() -> None:
    a = ArtifactBuilder(8)
    model = a.artifact((20,), a.threshold(a.binary_linear(a.sign("x"), 20, 30), [0] * 30))
    for node in model.model.graph.node:
        node.name = "layer"
    assert_equal(model, reals(a, 4, 20))


def refused(model: Artifact, message: str) -> None:
    with pytest.raises((ArtifactError, UnsupportedError), match=message):
        Model(model)


def test_weights_for_other_inputs() -> None:
    a = ArtifactBuilder(9)
    refused(
        a.artifact((2, 5, 5), a.binary_conv2d(a.sign("x"), 640, 8)), "for its 2 inputs, got .* 640"
    )
    b = ArtifactBuilder(9)
    refused(b.artifact((20,), b.binary_linear(b.sign("x"), 30, 8)), "for its 20 inputs, got .* 30")
    c = ArtifactBuilder(9)
    weight = c.constant(np.zeros((8, 64, 3, 3), np.float32))
    refused(c.artifact((2, 5, 5), c.add("Conv", "x", weight)), "for its 2 inputs, got .* 64")
    d = ArtifactBuilder(9)
    refused(d.artifact((2, 5, 5), d.gemm(d.add("Flatten", "x"), 20, 3)), "Gemm|inputs")


@pytest.mark.parametrize("count", [2, 65])
def test_thresholds_for_other_channels(count: int) -> None:
    a = ArtifactBuilder(10)
    out = a.threshold(a.binary_linear(a.sign("x"), 20, 64), [0] * count)
    refused(
        a.artifact((20,), out),
        rf"a number for each of 64 channels as its input threshold, got .*{count}",
    )
    b = ArtifactBuilder(10)
    weight = b.constant(pack_weight(b.signs(64, 1, 1, 20)))
    operands = [b.sign("x"), weight, b.constant(np.zeros(count, np.int32))]
    window = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    out = b.add("bnnkit.BinaryConv2dThreshold", *operands, weight_shape=[64, 1, 1, 20], **window)
    refused(
        b.artifact((20, 2, 2), out),
        rf"a number for each of 64 channels as its input threshold, got .*{count}",
    )


@pytest.mark.parametrize("source", ["reals", "signs"])
def test_padding_by_a_rule(source: str) -> None:
    a = ArtifactBuilder(11)
    x = "x" if source == "reals" else a.sign("x")
    pooled = a.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2], auto_pad="SAME_UPPER")
    refused(a.artifact((3, 5, 5), pooled), "auto_pad NOTSET or VALID, not SAME_UPPER")


def test_signs_padded_with_zeros_by_themselves() -> None:
    a = ArtifactBuilder(12)
    pads = a.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    padded = a.add("Pad", a.sign("x"), pads, a.constant(np.uint8(1)))
    refused(
        a.artifact((3, 5, 5), a.binary_conv2d(padded, 3, 8)), r"Pad.*padded with 0 \(-1\) or 2"
    )


def test_an_operator_that_mixes_the_batch() -> None:
    a = ArtifactBuilder(13)
    mixed = a.add("ReduceMean", "x", a.constant(np.array([0])))
    refused(a.artifact((4,), mixed), "whose first axis alone is the batch")


def test_an_old_opset(tmp_path: Path) -> None:
    a = ArtifactBuilder(14)
    out = a.add("Softmax", "x")
    model = a.artifact((4,), out, sizes={out: (4,)})
    model.model.opset_import[0].version = 11
    path = tmp_path / "old.onnx"
    path.write_bytes(model.model.SerializeToString())
    with pytest.raises(ArtifactError, match="uses opset 11, expected 13 or newer"):
        load(path)


def test_softmax_behind_which_numbers_only_move() -> None:
    a = ArtifactBuilder(15)
    soft = a.add("Identity", a.add("Flatten", a.add("Softmax", a.gemm("x", 6, 4))))
    x = reals(a, 3, 6)
    loaded = Model(a.artifact((6,), soft))
    np.testing.assert_array_equal(loaded.predict(x), loaded.run(x))


def test_integer_scores_give_float32_probabilities() -> None:
    a = ArtifactBuilder(16)
    probabilities = Model(a.artifact((20,), a.binary_linear(a.sign("x"), 20, 5))).predict(
        reals(a, 3, 20)
    )
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)


def test_an_output_that_is_also_read_is_not_overwritten() -> None:
    """A chain does not go on in place where somebody else needs what lies between."""
    a = ArtifactBuilder(17)
    pooled = a.add("MaxPool", "x", kernel_shape=[1, 1])
    first = a.add("Relu", pooled)
    second = a.add("Mul", first, a.constant(np.float32(2)))
    x = reals(a, 2, 3, 4, 4)
    model = a.artifact((3, 4, 4), first, second)
    assert_equal(model, x)


@pytest.mark.parametrize("shape", [(6, 40), (2, 3, 4, 5)])
def test_signs_of_other_shapes_than_maps(shape: tuple[int, ...]) -> None:
    """As in a convolution along one axis, which comes as a map of one row."""
    a = ArtifactBuilder(4)
    signs = a.sign("x")
    sizes = a.constant(np.array([0, 1, *shape]) if len(shape) == 2 else np.array([0, 6, 4, 5]))
    moved = a.add("Reshape", signs, sizes)
    channels = 1 if len(shape) == 2 else 6
    outs = [a.binary_conv2d(moved, channels, 9, 2), a.to_real(signs)]
    x = reals(a, 2, *shape)
    x.flat[:5] = [0.0, -0.0, 1.0, -1.0, 0.0]
    assert_equal(a.artifact(shape, *outs), x)


@pytest.mark.parametrize("kind", ["Softmax", "LogSoftmax"])
def test_what_mixes_the_images_of_a_batch_is_refused(kind: str) -> None:
    a = ArtifactBuilder(5)
    refused(a.artifact((3, 4), a.add(kind, "x", axis=0)), f"{kind}.*mixes the images")


def test_images_in_another_order_are_refused() -> None:
    a = ArtifactBuilder(6)
    cut = [a.constant(np.array([n])) for n in (-1, -9, 0, -1)]
    refused(a.artifact((3, 4), a.add("Slice", "x", *cut)), "Slice.*mixes the images")


def test_a_slice_of_all_axes_keeps_the_images_where_they_are() -> None:
    """Its axes are left out: they are those from the batch on. A smaller end cuts a batch."""
    a = ArtifactBuilder(7)
    starts, ends = a.constant(np.array([0, 2, 0])), a.constant(np.array([2**31 - 1, -9, 4]))
    out = a.add("Slice", "x", starts, ends, "", a.constant(np.array([1, -1, 2])))
    assert_equal(a.artifact((3, 4), out), reals(a, 2, 3, 4))


def first_column(a: ArtifactBuilder) -> str:
    ends = [a.constant(np.array([n])) for n in (0, 1, 1)]
    return a.add("Slice", "x", *ends)


MIXING: dict[str, Callable[[ArtifactBuilder], str]] = {
    "normal": lambda a: a.add(
        "LayerNormalization", "x", a.constant(np.ones(3, np.float32)), axis=0
    ),
    "softmax": lambda a: a.add("LogSoftmax", "x", axis=-2),
    "turned": lambda a: a.add("Transpose", "x", perm=[1, 0]),
    "first": lambda a: a.add("Slice", "x", *[a.constant(np.array([n])) for n in (0, 99, 0)]),
    "last": lambda a: a.add("Gather", "x", a.constant(np.array([1, 0])), axis=0),
    "squeezed": lambda a: a.add("Squeeze", "x", a.constant(np.array([0]))),
    "two images": lambda a: a.add("Add", "x", a.constant(np.ones((2, 3), np.float32))),
    "rows": lambda a: a.add("Reshape", "x", a.constant(np.array([2, -1]))),
    "among": lambda a: a.add(
        "Add", a.add("ReduceMax", "x", a.constant(np.array([1])), keepdims=0), first_column(a)
    ),
    "count": lambda a: a.add("Div", "x", a.add("Cast", a.add("Shape", "x", start=0, end=1), to=1)),
    "shape": lambda a: a.add("Shape", "x"),
    "flat": lambda a: a.add("Flatten", "x", axis=-2),
    "empty": lambda a: a.add("ReduceSum", "x", a.constant(np.zeros(0, np.int64))),
}


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1), (3,), (1,)])
@pytest.mark.parametrize("binary", [False, True])
def test_a_squeeze_without_axes_removes_all_but_the_batch(
    shape: tuple[int, ...], binary: bool
) -> None:
    a = ArtifactBuilder()
    squeezed = a.add("Squeeze", a.sign("x") if binary else "x")
    model = a.artifact(shape, a.to_real(squeezed) if binary else squeezed)
    x = reals(a, 3, *shape)
    assert_equal(model, x)
    np.testing.assert_array_equal(Model(model).run(x[:1]), Model(model).run(x)[:1])


def test_a_squeeze_without_axes_of_a_shape_removes_its_only_axis() -> None:
    a = ArtifactBuilder()
    length = a.add("Squeeze", a.add("Shape", "x", start=1, end=2))
    out = a.add("Mul", "x", a.add("Cast", length, to=1))
    assert_equal(a.artifact((3,), out), reals(a, 2, 3))


@pytest.mark.parametrize("name", MIXING)
def test_the_images_of_a_batch_stay_apart(name: str) -> None:
    """Batches beyond 64 images are computed in parts, so none of these can be right."""
    a = ArtifactBuilder()
    model = a.artifact((3,), MIXING[name](a))
    with pytest.raises(BnnkitError, match="|".join(node.op_type for node in a.nodes) + "|shapes"):
        Model(model)


@pytest.mark.parametrize("place", ["input", "inside", "signs"])
def test_windows_in_the_padding_alone(place: str) -> None:
    a = ArtifactBuilder(20)
    inside = a.add("Mul", "x", a.constant(np.float32(1)))
    source = {"input": "x", "inside": inside, "signs": a.sign("x")}[place]
    outs = [
        a.add("MaxPool", source, kernel_shape=[1, 1], pads=[2, 0, 0, 1]),
        a.add("MaxPool", source, kernel_shape=[2, 2], pads=[0, 3, 1, 0], strides=[2, 2]),
    ]
    assert_equal(a.artifact((3, 4, 4), *outs), reals(a, 2, 3, 4, 4))


def test_signs_as_half_precision_numbers() -> None:
    a = ArtifactBuilder(21)
    one, zero = a.constant(np.float16(1)), a.constant(np.uint8(1))
    halves = a.add("DequantizeLinear", a.sign("x"), one, zero)
    model = a.artifact((3, 4, 4), a.add("Cast", halves, to=TensorProto.FLOAT16))
    model.model.graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT16
    assert_equal(model, reals(a, 2, 3, 4, 4))


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.int64])
@pytest.mark.parametrize("kind", ["Gemm", "MatMul"])
def test_products_keep_their_type(kind: str, dtype: type) -> None:
    """The kernel computes in float32 alone."""
    a = ArtifactBuilder(22)
    code = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    product = a.add(kind, "x", a.constant(np.arange(-6, 6).reshape(4, 3).astype(dtype)))
    x: Array = a.rng.integers(-9, 9, (2, 4)).astype(dtype)
    assert_equal(a.artifact((4,), product, dtype=code), x)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_a_convolution_of_other_numbers_is_refused(dtype: type) -> None:
    a = ArtifactBuilder(23)
    code = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    out = a.add("Conv", "x", a.constant(np.ones((2, 3, 1, 1), dtype)))
    refused(a.artifact((3, 4, 4), out, dtype=code), "Conv.*expected a convolution of float32")


@pytest.mark.parametrize("kind", ["MaxPool", "AveragePool"])
def test_a_window_that_is_larger_than_its_input(kind: str) -> None:
    a = ArtifactBuilder(24)
    inside = a.add("Mul", "x", a.constant(np.float32(1)))
    out = a.add(kind, inside, kernel_shape=[3, 3], strides=[3, 3], dilations=[1, 2])
    refused(a.artifact((2, 7, 4), out), f"{kind}.*larger than its input")


@pytest.mark.parametrize("shape", [None, (0, -1), (-1, 20)])
def test_a_map_of_one_pixel_is_flattened_by_a_kernel(shape: tuple[int, int] | None) -> None:
    a = ArtifactBuilder(6)
    pooled = a.add("MaxPool", a.add("Relu", "x"), kernel_shape=(3, 4))
    if shape is None:
        flat = a.add("Flatten", pooled)
    else:
        flat = a.add("Reshape", pooled, a.constant(np.array(shape, np.int64)))
    weight = a.constant(a.rng.integers(-9, 10, (20, 7)).astype(np.float32))
    model = a.artifact((20, 3, 4), a.add("MatMul", flat, weight), flat)
    assert "PlaceReals" in [type(step).__name__ for step in Plan(model.graph).steps]
    x = a.rng.integers(-9, 10, (3, 20, 3, 4)).astype(np.float32)
    for got, want in zip(Model(model).run(x), Reference(model).run(x), strict=True):
        np.testing.assert_array_equal(got, want)
