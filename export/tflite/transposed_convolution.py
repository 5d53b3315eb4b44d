"""Lowers ConvTranspose of real numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.attributes import conv_window
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.tflite.options import TransposeConvOptions
from bnnkit.tflite.schema import Builtin, Padding
from bnnkit.tflite.window import Pair, Window


def conv_transpose(builder: TfliteBuilder, node: Node) -> None:
    """Lower to TRANSPOSE_CONV without pads, and a slice that removes them from its result."""
    x, weight = builder.value(node), builder.constant_of(node, 1)
    if x.kind != "real" or len(x.shape) != 3:
        raise UnsupportedError(f"expected a map of real numbers, got {x.kind} (N, *{x.shape})")
    if "output_shape" in node.attributes:
        raise UnsupportedError("expected pads, got output_shape")
    n_groups, window = node.attributes.get("group", 1), conv_window(node, weight.shape[2:])
    more = node.attributes.get("output_padding", (0, 0))
    ranges, sizes = _ranges(window, (x.shape[1], x.shape[2]), (more[0], more[1]))
    inputs, parts = x.shape[0] // n_groups, []
    kernel = _dilated(weight, window)
    options = TransposeConvOptions(
        padding=Padding.VALID, stride_w=window.strides[1], stride_h=window.strides[0]
    )
    for group in range(n_groups):
        mine = slice(group * inputs, (group + 1) * inputs)
        part = arithmetic.slice_channels(builder, x.tensor, mine.start, mine.stop)
        stored = builder.constant(kernel[mine].transpose(1, 2, 3, 0).astype(np.float32))
        shape = (builder.batch, *sizes, weight.shape[1])
        operands = [builder.integers(*shape), stored, part]
        parts.append(builder.emit(Builtin.TRANSPOSE_CONV, operands, shape, options=options))
    tensor = parts[0] if n_groups == 1 else arithmetic.concatenate(builder, parts, axis=3)
    tensor = arithmetic.strided_slice(builder, tensor, ranges)
    if len(node.inputs) > 2 and node.inputs[2]:
        tensor = arithmetic.add(builder, tensor, builder.constant_of(node, 2))
    _, height, width, channels = builder.shape(tensor)
    result = (channels, height, width)
    given = layout.real(x, tensor, shape=result, map=result, may_be_minus_zero=True)
    builder.give(node.output, given)


def _ranges(window: Window, size: Pair, more: Pair) -> tuple[dict[int, range], Pair]:
    """The ranges of the full result that are the output, by axis, and the size of the full result.

    Raises:
        UnsupportedError: Nothing is left, or output_padding reaches the stride.
    """
    ranges, whole = {}, []
    for axis in range(2):
        stride, before, after = window.strides[axis], window.pads[axis], window.pads[2 + axis]
        reached = (size[axis] - 1) * stride + window.extent[axis]
        end = reached - after + more[axis]
        if end <= before or end - reached >= stride:
            raise UnsupportedError(f"the pads {window.pads} and output_padding {more} do not fit")
        ranges[1 + axis] = range(before, end)
        whole.append(max(reached, end))
    return ranges, (whole[0], whole[1])


def _dilated(weight: NDArray[Any], window: Window) -> NDArray[Any]:
    """A kernel (I, O, KH, KW) with zeros in place of its dilation, which TFLite lacks."""
    full = np.zeros((*weight.shape[:2], *window.extent), weight.dtype)
    full[:, :, :: window.dilations[0], :: window.dilations[1]] = weight
    return full
