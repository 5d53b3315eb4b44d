"""Lowers BinaryConv2d, BinaryConv2dThreshold and BinaryLinear, with the nodes after them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import unpack_weight
from bnnkit.export.tflite.attributes import conv_window
from bnnkit.export.tflite.epilogue import Epilogue, Scaled, Thresholds, sums
from bnnkit.export.tflite.layout import as_map
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.tflite.window import Window


def binary_conv2d(builder: TfliteBuilder, node: Node) -> None:
    """Lower a convolution of signs with its epilogue."""
    weight = _weight(builder, node)
    window = conv_window(node, weight.shape[1:3])
    if node.kind == "bnnkit.BinaryConv2dThreshold":
        epilogue: Epilogue = Thresholds(builder.constant_of(node, 2).astype(np.int64))
        name = node.output
    else:
        epilogue, name = epilogue_of(builder, node, len(weight))
    x = builder.value(node)
    _, height, width = x.shape
    shape = (len(weight), *window.output((height, width)))
    tensor = builder.signs.convolve(
        builder, x, weight, window, epilogue, node.attributes.get("group", 1)
    )
    is_sum = name == node.output
    builder.give(name, _value(tensor, shape, shape, epilogue, is_sum=is_sum))


def binary_linear(builder: TfliteBuilder, node: Node) -> None:
    """Lower a dense layer to a convolution with one output pixel.

    The input is a map (C, H, W), of one pixel or flattened. The weight has its features in that
    order, but TFLite needs them in the order (H, W, C).
    """
    x = builder.value(node)
    _, (channels, height, width) = as_map(builder, x)
    rows = _weight(builder, node)
    weight = rows.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    epilogue, name = epilogue_of(builder, node, len(weight))
    window = Window(kernel=(height, width))
    tensor = builder.signs.convolve(builder, x, weight, window, epilogue, 1)
    shape = (len(weight),)
    is_sum, pixel = name == node.output, (len(weight), 1, 1)
    builder.give(name, _value(tensor, shape, pixel, epilogue, is_sum=is_sum))


def epilogue_of(builder: TfliteBuilder, node: Node, outputs: int) -> tuple[Epilogue, str]:
    """The epilogue of a layer, made from the next nodes, and the name of its result.

    A scale and a bias are only included if no sign depends on them: LCE rounds them differently
    from the artifact, which could flip a sign.
    """
    reader = builder.source.sole_reader(node.output)
    if reader is not None and reader.kind == "bnnkit.Threshold":
        builder.absorbed.add(reader.output)
        values = builder.constant_of(reader, 1).astype(np.int64).reshape(-1)
        return Thresholds(np.broadcast_to(values, (outputs,))), reader.output
    if builder.source.reaches_sign(node.output):
        return sums(outputs), node.output
    return _affine(builder, node, outputs)


def _affine(builder: TfliteBuilder, node: Node, outputs: int) -> tuple[Scaled, str]:
    """The epilogue of a Cast and a Mul, an Add, or both, with a number for each channel."""
    epilogue, name = sums(outputs), node.output
    for kind in ("Cast", "Mul", "Add"):
        reader = builder.source.sole_reader(name)
        if reader is None or reader.kind != kind:
            if kind == "Cast":
                break
            continue
        if kind != "Cast":
            numbers = _per_channel(builder, reader, node, outputs)
            if numbers is None:
                break
            scale, bias = (numbers, epilogue.bias) if kind == "Mul" else (epilogue.scale, numbers)
            epilogue = Scaled(scale.astype(np.float32), bias.astype(np.float32))
        builder.absorbed.add(reader.output)
        name = reader.output
    return epilogue, name


def _per_channel(
    builder: TfliteBuilder, node: Node, layer: Node, outputs: int
) -> NDArray[Any] | None:
    """The constant operand of a node as (O,), if it is one number or one for each channel."""
    constants = [builder.source.constants.get(name) for name in node.inputs]
    found = next((numbers for numbers in constants if numbers is not None), None)
    n_axes = 2 if layer.kind == "bnnkit.BinaryLinear" else 4
    if found is None or found.ndim > n_axes:
        return None
    full = found.reshape((1,) * (n_axes - found.ndim) + found.shape)
    if full.size != 1 and full.shape[:2] != (1, outputs):
        return None  # it varies along another axis, or broadcasts the layer to more channels
    if full.size not in (1, outputs):
        return None
    return np.broadcast_to(full.reshape(-1), (outputs,))


def _weight(builder: TfliteBuilder, node: Node) -> NDArray[np.int8]:
    return unpack_weight(builder.constant_of(node, 1), tuple(node.attributes["weight_shape"]))


def _value(
    tensor: int,
    shape: tuple[int, ...],
    layout: tuple[int, int, int],
    epilogue: Epilogue,
    *,
    is_sum: bool,
) -> TfliteValue:
    if isinstance(epilogue, Thresholds):
        return TfliteValue(kind="signs", tensor=tensor, shape=shape, map=layout)
    return TfliteValue(kind="sum" if is_sum else "real", tensor=tensor, shape=shape, map=layout)
