"""Packed signs of TFLite files that are joined, parted, cut and padded: LCE's own words."""

import numpy as np
import pytest
from artifacts import ArtifactBuilder
from lce_network import Array, Net, outputs_of
from tflite_runs import needs_lce, normal, to_nhwc

from bnnkit.artifact.reference import Reference
from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import Variant, to_tflite
from bnnkit.runtime.from_tflite import from_tflite
from bnnkit.tflite.options import ConcatenationOptions, SplitOptions, StridedSliceOptions
from bnnkit.tflite.outputs import packed_tensors
from bnnkit.tflite.read import read
from bnnkit.tflite.schema import Builtin

WORDS = np.int32


def assert_as_in_lce(content: bytes, images: Array) -> None:
    """The reference and the runtime give LCE's own bits."""
    from bnnkit.engines.lce import Interpreter

    expected = Interpreter(content).run([images])
    for found in outputs_of(content, images):
        for one, other in zip(found, expected, strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@needs_lce
@pytest.mark.parametrize("channels", [32, 64, 33, 40])
@pytest.mark.parametrize("axis", [1, 2, 3, -1])
def test_concatenation(channels: int, axis: int) -> None:
    """Channels that leave bits unused are joined word by word, with the unused bits."""
    images = normal((2, 4, 3, channels))
    net = Net(images.shape)
    signs = net.signs(net.input)
    shape = [2, 4, 3, -(-channels // 32)]
    shape[axis] *= 2
    opposite = net.add(Builtin.NEG, [net.input], net.value(images.shape))
    parts = [signs, net.signs(opposite)]
    joined = net.value(shape, WORDS)
    net.add(Builtin.CONCATENATION, parts, joined, options=ConcatenationOptions(axis=axis))
    real = net.value((*shape[:3], channels if axis in (1, 2) else 32 * shape[3]))
    content = net.content(joined, net.add("LceDequantize", [joined], real))
    if axis in (3, -1) and channels % 32:
        content = net.content(joined)  # how many channels would LCE's output have?
    assert_as_in_lce(content, images)


@needs_lce
@pytest.mark.parametrize(("channels", "axis"), [(64, 3), (128, -1), (40, 3), (40, 1), (33, 2)])
def test_split(channels: int, axis: int) -> None:
    images = normal((2, 4, 2, channels))
    net = Net(images.shape)
    signs = net.signs(net.input)
    shape = [2, 4, 2, -(-channels // 32)]
    shape[axis] //= 2
    parts = net.value(shape, WORDS), net.value(shape, WORDS)
    net.add(Builtin.SPLIT, [net.constant(axis), signs], *parts, options=SplitOptions(num_splits=2))
    assert_as_in_lce(net.content(*parts, signs), images)


@needs_lce
def test_split_into_parts_of_given_sizes() -> None:
    images = normal((1, 2, 2, 100))
    net = Net(images.shape)
    signs = net.signs(net.input)
    parts = net.value((1, 2, 2, 1), WORDS), net.value((1, 2, 2, 3), WORDS)
    inputs = [signs, net.constant([1, -1]), net.constant(3)]
    net.add(Builtin.SPLIT_V, inputs, *parts, options=SplitOptions(num_splits=2))
    assert_as_in_lce(net.content(*parts), images)


CUTS: dict[str, tuple[list[list[int]], StridedSliceOptions, tuple[int, ...]]] = {
    "strides": ([[0, 1, 0, 0], [2, 4, 3, 2], [1, 2, 1, 1]], StridedSliceOptions(), (2, 2, 3, 2)),
    "backwards": (
        [[0, 3, 2, 0], [2, 0, -4, 2], [1, -1, -2, 1]],
        StridedSliceOptions(),
        (2, 3, 2, 2),
    ),
    "masks": (
        [[0, 1, 1, 1], [0, 0, 2, 0], [1, 1, 1, 1]],
        StridedSliceOptions(begin_mask=1, end_mask=11),
        (2, 3, 1, 1),
    ),
    "backwards to the end": (
        [[0, 0, 2, 0], [2, 0, 0, 2], [1, -1, -1, 1]],
        StridedSliceOptions(begin_mask=2, end_mask=6),
        (2, 4, 3, 2),
    ),
    "ellipsis": ([[0, 1], [0, 2], [1, 1]], StridedSliceOptions(ellipsis_mask=1), (2, 4, 3, 1)),
    "one row": (
        [[0, -2, 0, 0], [2, 0, 3, 2], [1, 1, 1, 1]],
        StridedSliceOptions(shrink_axis_mask=2),
        (2, 3, 2),
    ),
    "new axis": (
        [[0, 0, 0], [2, 0, 4], [1, 1, 1]],
        StridedSliceOptions(new_axis_mask=2),
        (2, 1, 4, 3, 2),
    ),
}


@needs_lce
@pytest.mark.parametrize("channels", [64, 40])
@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("is_packed", [True, False])
def test_strided_slice(name: str, channels: int, is_packed: bool) -> None:
    numbers, options, shape = CUTS[name]
    depth = channels if is_packed else 2
    images = normal((2, 4, 3, depth))
    net = Net(images.shape)
    source = net.signs(net.input) if is_packed else net.input
    net.add(
        Builtin.STRIDED_SLICE,
        [source, *(net.constant(array) for array in numbers)],
        cut := net.value(shape, WORDS if is_packed else np.float32),
        options=options,
    )
    assert_as_in_lce(net.content(cut), images)


def test_slice_with_offsets_is_named() -> None:
    net = Net((1, 4, 3, 2))
    arrays = [net.constant(array) for array in ([0, 1, 0, 0], [1, 2, 3, 2], [1, 1, 1, 1])]
    cut = net.value((1, 2, 3, 2))
    net.add(
        Builtin.STRIDED_SLICE, [net.input, *arrays], cut, options=StridedSliceOptions(offset=True)
    )
    with pytest.raises(UnsupportedError, match="the option offset"):
        from_tflite(net.content(cut))


def padded(channels: int, word: int) -> bytes:
    net = Net((2, 4, 3, channels))
    words = -(-channels // 32)
    inputs = [net.signs(net.input), net.constant([[0, 0], [1, 0], [0, 2], [0, 0]])]
    inputs.append(net.constant([word]))
    target = net.value((2, 5, 5, words), WORDS)
    return net.content(net.add(Builtin.PADV2, inputs, target))


@needs_lce
@pytest.mark.parametrize(("channels", "word"), [(64, -1), (64, 0), (33, 0), (32, -1)])
def test_pad(channels: int, word: int) -> None:
    assert_as_in_lce(padded(channels, word), normal((2, 4, 3, channels)))


def test_pad_that_sets_unused_bits_is_named() -> None:
    with pytest.raises(UnsupportedError, match="would set unused bits of the words of 33"):
        from_tflite(padded(33, -1))


@pytest.mark.parametrize("variant", ["lce", "builtin"])
@pytest.mark.parametrize("thresholds", [True, False])
@pytest.mark.parametrize("channels", [(64, 64), (64, 128), (128, 64)])
def test_own_files_with_groups(
    variant: Variant, thresholds: bool, channels: tuple[int, int]
) -> None:
    a, (inputs, outputs) = ArtifactBuilder(), channels
    first = a.binary_conv2d(a.sign("x"), inputs, outputs, groups=2, thresholds=True)
    out = a.binary_conv2d(first, outputs, inputs, groups=2, thresholds=thresholds)
    model = a.artifact((inputs, 7, 6), out)
    images = normal((2, inputs, 7, 6))
    (expected,) = Reference(model).run(images)
    content = to_tflite(model, batch=2, variant=variant).content
    for (found,) in outputs_of(content, to_nhwc(images)):
        if expected.dtype == np.uint8 and found.dtype == np.int32:
            bits = np.unpackbits(
                np.ascontiguousarray(found).view(np.uint8), axis=-1, bitorder="little"
            )
            found = np.where(bits, 0, 2).astype(np.uint8)
        elif expected.dtype == np.uint8:
            found = (found + 1).astype(np.uint8)
        np.testing.assert_array_equal(found.transpose(0, 3, 1, 2), expected)


@pytest.mark.parametrize("variant", ["lce", "builtin"])
def test_own_files_that_join_signs(variant: Variant) -> None:
    a = ArtifactBuilder()
    signs = a.sign("x")
    both = a.add("Concat", signs, a.add("MaxPool", signs, kernel_shape=[1, 1]), axis=1)
    model = a.artifact((32, 6, 6), a.binary_conv2d(both, 64, 8, thresholds=False))
    images = normal((2, 32, 6, 6))
    (expected,) = Reference(model).run(images)
    content = to_tflite(model, batch=2, variant=variant).content
    for (found,) in outputs_of(content, to_nhwc(images)):
        np.testing.assert_array_equal(found.transpose(0, 3, 1, 2), expected)


def test_every_packed_tensor_is_told() -> None:
    """Whatever moves packed signs: the artifact's names for them are those of packed_tensors."""
    net = Net((1, 4, 4, 64))
    words = net.signs(net.input)
    numbers = [net.constant(array) for array in ([0, 1, 0, 0], [1, 4, 4, 2], [1, 1, 1, 1])]
    cut = net.value((1, 3, 4, 2), WORDS)
    net.add(Builtin.STRIDED_SLICE, [words, *numbers], cut)
    real = net.add("LceDequantize", [cut], net.value((1, 3, 4, 64)))
    content = net.content(real)
    signs = {name for name in from_tflite(content).signs if "/" not in name}
    assert packed_tensors(read(content)).keys() == signs


@pytest.mark.parametrize("code", [Builtin.ADD, Builtin.SUB, Builtin.MUL])
def test_constants_with_a_scale_are_not_added_up(code: Builtin) -> None:
    """Their sum would have to be rounded to the scale of the result."""
    net = Net((1, 4))
    operands = [net.constant([1, 2, 3, 4], np.int8, scale) for scale in (1.0, 0.5)]
    total = net.add(code, operands, net.value((4,), np.int8, 2.0))
    real = net.add(Builtin.DEQUANTIZE, [total], net.value((4,)))
    out = net.add(Builtin.ADD, [net.input, real], net.value((1, 4)))
    with pytest.raises(UnsupportedError, match="expected constants without a scale"):
        from_tflite(net.content(out))
