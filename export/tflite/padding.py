"""Lowers Pad of maps."""

from dataclasses import dataclass, replace

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.tflite.window import Pads

_PLUS = 2
"""The code of the sign +1; that of -1 is 0."""
_MINUS = -1
"""-1 as a sign of int8, and as a word of 32 signs."""


@dataclass(frozen=True)
class _Widths:
    """How much a Pad adds to each side of a map, and with what.

    Attributes:
        pads: Of the height and the width; negative pads crop.
        channels: Before and after the channels; none is negative.
        mode: "constant", or one of the modes that repeat elements of the map.
    """

    pads: Pads
    channels: tuple[int, int]
    mode: str


def pad(builder: TfliteBuilder, node: Node) -> None:
    """Lower Pad to PAD, PADV2 or GATHER, or to a margin of +1, which the next layer may pad.

    Negative pads crop the map.
    """
    widths = _widths(builder, node)
    x, pads = _cropped(builder, builder.value(node), widths.pads)
    if x.kind == "signs" and any(widths.channels):
        raise UnsupportedError(
            "expected signs to be padded along the height and the width only, got"
            f" {widths.channels} for the channels"
        )
    value = builder.constant_of(node, 2).item() if len(node.inputs) > 2 and node.inputs[2] else 0
    channels, height, width = x.shape
    size = (height + pads[0] + pads[2], width + pads[1] + pads[3])
    shape = (channels + sum(widths.channels), *size)
    if widths.mode != "constant":
        x = layout.materialized(builder, x)
        tensor = _repeated(builder, x.tensor, pads, widths.channels, widths.mode)
        builder.give(node.output, replace(x, tensor=tensor, shape=shape, map=shape))
        return
    if x.kind == "signs" and value == _PLUS:
        top, left, bottom, right = (a + b for a, b in zip(x.margin, pads, strict=True))
        builder.give(node.output, replace(x, shape=shape, margin=(top, left, bottom, right)))
        return
    x = layout.materialized(builder, x)
    if x.kind == "signs" and (value != 0 or channels % builder.signs.channel_unit):
        raise UnsupportedError(
            f"signs can be padded with +1, and where their channels are a multiple of"
            f" {builder.signs.channel_unit} with -1, got {value} around {channels} channels"
        )
    filler = _MINUS if x.kind == "signs" else value or None
    tensor = arithmetic.pad(builder, x.tensor, pads, filler, widths.channels)
    builder.give(node.output, replace(x, tensor=tensor, shape=shape, map=shape))


def _repeated(
    builder: TfliteBuilder, tensor: int, pads: Pads, channels: tuple[int, int], mode: str
) -> int:
    """Emit a GATHER for each axis that is padded with elements of the map (N, H, W, C)."""
    top, left, bottom, right = pads
    for axis, widths in ((1, (top, bottom)), (2, (left, right)), (3, channels)):
        if any(widths):
            places = np.arange(builder.shape(tensor)[axis])
            padded = np.pad(places, widths, mode=mode)  # type: ignore[call-overload]
            tensor = arithmetic.gather(builder, tensor, padded, axis)
    return tensor


def _cropped(builder: TfliteBuilder, x: TfliteValue, pads: Pads) -> tuple[TfliteValue, Pads]:
    """The map cropped by negative pads, and the pads that are left."""
    if min(pads) >= 0:
        return x, pads
    x = layout.materialized(builder, x)
    channels, height, width = x.shape
    top, left, bottom, right = (max(-n, 0) for n in pads)
    rows, columns = range(top, height - bottom), range(left, width - right)
    if not (rows and columns):
        raise UnsupportedError(f"the pads {pads} leave nothing of a map of {height} x {width}")
    shape = (channels, len(rows), len(columns))
    tensor = arithmetic.strided_slice(builder, x.tensor, {1: rows, 2: columns})
    top, left, bottom, right = (max(n, 0) for n in pads)
    return replace(x, tensor=tensor, shape=shape, map=shape), (top, left, bottom, right)


def _widths(builder: TfliteBuilder, node: Node) -> _Widths:
    shape = builder.value(node).shape
    numbers = builder.constant_of(node, 1).tolist()
    mode = node.attributes.get("mode", b"constant").decode()
    half = len(numbers) // 2
    given = builder.constant_of(node, 3).tolist() if len(node.inputs) > 3 else range(half)
    widths = dict.fromkeys(range(4), (0, 0))
    for i, axis in enumerate(given):
        widths[int(axis) % 4] = (int(numbers[i]), int(numbers[i + half]))
    if len(shape) != 3 or any(widths[0]) or min(widths[1]) < 0:
        raise UnsupportedError(
            f"expected a map whose channels are not cropped, got pads {widths} on (N, *{shape})"
        )
    (top, bottom), (left, right) = widths[2], widths[3]
    return _Widths((top, left, bottom, right), widths[1], mode)
