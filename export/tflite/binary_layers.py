"""BinaryConv2d, BinaryConv2dThreshold and BinaryLinear, with what follows them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.bits import unpack_weight
from bnnkit.export.tflite.attributes import conv_window
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.follow import Follow, Scaled, Thresholds, sums
from bnnkit.export.tflite.layout import as_map
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.values import Value
from bnnkit.tflite.window import Window


def binary_conv2d(draft: Draft, node: Node) -> None:
    """A convolution of signs, its sums compared, scaled, or as they are."""
    weight = _weight(draft, node)
    window = conv_window(node, weight.shape[1:3])
    if node.kind == "bnnkit.BinaryConv2dThreshold":
        follow: Follow = Thresholds(draft.constant_of(node, 2).astype(np.int64))
        name = node.output
    else:
        follow, name = following(draft, node, len(weight))
    x = draft.value(node)
    _, height, width = x.shape
    shape = (len(weight), *window.output((height, width)))
    tensor = draft.signs.convolve(
        draft, x, weight, window, follow, node.attributes.get("group", 1)
    )
    is_sum = name == node.output
    draft.give(name, _value(tensor, shape, shape, follow, is_sum=is_sum))


def binary_linear(draft: Draft, node: Node) -> None:
    """A dense layer, as a convolution with one output pixel.

    The input is a map (C, H, W), of one pixel or flattened; its features stand in that order in
    the weight, which TFLite wants as (H, W, C).
    """
    x = draft.value(node)
    _, (channels, height, width) = as_map(draft, x)
    rows = _weight(draft, node)
    weight = rows.reshape(-1, channels, height, width).transpose(0, 2, 3, 1)
    follow, name = following(draft, node, len(weight))
    window = Window(kernel=(height, width))
    tensor = draft.signs.convolve(draft, x, weight, window, follow, 1)
    shape = (len(weight),)
    is_sum, pixel = name == node.output, (len(weight), 1, 1)
    draft.give(name, _value(tensor, shape, pixel, follow, is_sum=is_sum))


def following(draft: Draft, node: Node, outputs: int) -> tuple[Follow, str]:
    """What of the next nodes goes into the layer, and the name of the value that it then gives.

    A scale and a bias do only where no sign depends on them: LCE rounds them otherwise than the
    artifact, which can turn a sign over.
    """
    reader = draft.source.sole_reader(node.output)
    if reader is not None and reader.kind == "bnnkit.Threshold":
        draft.absorbed.add(reader.output)
        values = draft.constant_of(reader, 1).astype(np.int64).reshape(-1)
        return Thresholds(np.broadcast_to(values, (outputs,))), reader.output
    if draft.source.reaches_sign(node.output):
        return sums(outputs), node.output
    return _affine(draft, node, outputs)


def _affine(draft: Draft, node: Node, outputs: int) -> tuple[Scaled, str]:
    """A Cast, then a Mul, an Add, or both, with a number for each channel."""
    follow, name = sums(outputs), node.output
    for kind in ("Cast", "Mul", "Add"):
        reader = draft.source.sole_reader(name)
        if reader is None or reader.kind != kind:
            if kind == "Cast":
                break
            continue
        if kind != "Cast":
            numbers = _per_channel(draft, reader, node, outputs)
            if numbers is None:
                break
            scale, bias = (numbers, follow.bias) if kind == "Mul" else (follow.scale, numbers)
            follow = Scaled(scale.astype(np.float32), bias.astype(np.float32))
        draft.absorbed.add(reader.output)
        name = reader.output
    return follow, name


def _per_channel(draft: Draft, node: Node, layer: Node, outputs: int) -> NDArray[Any] | None:
    """The constant operand of a node where it is one number, or one for each channel."""
    constants = [draft.source.constants.get(name) for name in node.inputs]
    found = next((numbers for numbers in constants if numbers is not None), None)
    n_axes = 2 if layer.kind == "bnnkit.BinaryLinear" else 4
    if found is None or found.ndim > n_axes:
        return None
    full = found.reshape((1,) * (n_axes - found.ndim) + found.shape)
    if full.size not in (1, full.shape[1]):
        return None
    return np.broadcast_to(full.reshape(-1), (outputs,))


def _weight(draft: Draft, node: Node) -> NDArray[np.int8]:
    return unpack_weight(draft.constant_of(node, 1), tuple(node.attributes["weight_shape"]))


def _value(
    tensor: int,
    shape: tuple[int, ...],
    layout: tuple[int, int, int],
    follow: Follow,
    *,
    is_sum: bool,
) -> Value:
    if isinstance(follow, Thresholds):
        return Value(kind="signs", tensor=tensor, shape=shape, map=layout)
    return Value(kind="sum" if is_sum else "real", tensor=tensor, shape=shape, map=layout)
