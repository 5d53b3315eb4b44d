"""Lowers IntegerConv2d and IntegerLinear to float32 layers, which are exact on their integers."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.export.tflite import arithmetic, convolution
from bnnkit.export.tflite.attributes import conv_window
from bnnkit.export.tflite.convolution import Taps
from bnnkit.export.tflite.epilogue import minus
from bnnkit.export.tflite.fully_connected import fully_connected, in_order_of
from bnnkit.export.tflite.layout import constant_beside
from bnnkit.export.tflite.plain import plain_layer
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import Map, TfliteValue
from bnnkit.tflite.options import CastOptions
from bnnkit.tflite.schema import Builtin, TensorType

_EXACT = 2**24
"""Integers up to this are exact in float32."""


def integer_conv2d(builder: TfliteBuilder, node: Node) -> None:
    """Lower to CAST, SUB of the zero point, and CONV_2D, whose zero padding then is exact."""
    x, weight = builder.value(node), builder.constant_of(node, 1)
    window = conv_window(node, weight.shape[2:])
    kernel = weight.transpose(0, 2, 3, 1)
    n_groups = node.attributes.get("group", 1)
    _, height, width = x.shape
    shape = (len(weight), *window.output((height, width)))

    def layer(bias: NDArray[Any]) -> int:
        pixels = _centred(builder, node, x)
        return convolution.convolve(builder, pixels, Taps.real(kernel, bias), window, n_groups)

    _give(builder, node, layer, shape, shape)


def integer_linear(builder: TfliteBuilder, node: Node) -> None:
    """Lower to CAST, SUB of the zero point, and FULLY_CONNECTED."""
    x, weight = builder.value(node), builder.constant_of(node, 1)
    columns = in_order_of(x, weight)

    def layer(bias: NDArray[Any]) -> int:
        pixels = _centred(builder, node, x)
        return fully_connected(builder, pixels, columns, bias)

    _give(builder, node, layer, (len(weight),), None)


def _centred(builder: TfliteBuilder, node: Node, x: TfliteValue) -> int:
    """Emit the image as float32, minus its zero point."""
    numbers = builder.emit(
        Builtin.CAST,
        [x.tensor],
        builder.shape(x.tensor),
        options=CastOptions(in_data_type=TensorType.UINT8, out_data_type=TensorType.FLOAT32),
    )
    zero_point = builder.constant_of(node, 2)
    if not zero_point.any():
        return numbers
    constant = builder.constant(constant_beside(x, zero_point).astype(np.float32))
    return arithmetic.elementwise(builder, Builtin.SUB, numbers, constant)


def _give(
    builder: TfliteBuilder,
    node: Node,
    layer: Callable[[NDArray[Any]], int],
    shape: tuple[int, ...],
    pixels: Map | None,
) -> None:
    """Give the sums, or their signs; `layer` emits the sums with a bias."""
    weight = builder.constant_of(node, 1)
    reader = builder.source.sole_reader(node.output)
    to_signs = reader is not None and reader.kind == "bnnkit.Threshold"
    size = (1, 1) if pixels is None else (pixels[1], pixels[2])
    with builder.choosing(
        "float32 layer",
        "TFLite has no exact layer of 8-bit inputs and 12-bit weights: 4 bytes a weight, not 2",
        plain=plain_layer(builder, len(weight), size, to_signs=to_signs),
        extra_bytes=weight.size * 2,
    ):
        if reader is not None and to_signs:
            _give_signs(builder, node, reader, layer, shape, pixels)
        else:
            sums = layer(np.zeros(len(weight)))
            builder.give(
                node.output, TfliteValue(kind="sum", tensor=sums, shape=shape, map=pixels)
            )


def _give_signs(
    builder: TfliteBuilder,
    node: Node,
    reader: Node,
    layer: Callable[[NDArray[Any]], int],
    shape: tuple[int, ...],
    pixels: Map | None,
) -> None:
    """Give the signs of the reader, a `Threshold`; the threshold becomes the bias if exact."""
    builder.absorbed.add(reader.output)
    values = builder.constant_of(reader, 1).astype(np.int64).reshape(-1)
    if (_bounds(builder, node) + abs(values)).max() <= _EXACT:
        numbers = layer(minus(values))
    else:
        # With the threshold as bias, a partial sum might be rounded.
        sums = layer(np.zeros(shape[0]))
        numbers = arithmetic.add(builder, sums, minus(values))
    if pixels is None:
        pixels = (shape[0], 1, 1)
        numbers = arithmetic.reshape(builder, numbers, (builder.batch, 1, 1, shape[0]))
    signs = builder.signs.of_reals(builder, numbers)
    builder.give(reader.output, TfliteValue(kind="signs", tensor=signs, shape=shape, map=pixels))


def _bounds(builder: TfliteBuilder, node: Node) -> NDArray[np.int64]:
    """Upper bound of the partial sums of each output channel, (O,)."""
    weight, zero_point = (
        builder.constant_of(node, 1),
        builder.constant_of(node, 2).astype(np.int64),
    )
    furthest = max(zero_point.max(), 255 - zero_point.min())
    sizes: NDArray[np.int64] = np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1)
    bounds: NDArray[np.int64] = sizes * furthest
    return bounds
