"""Small .tflite files that ask for as much memory and time as the reader lets them.

Each function builds a file for a size; `largest` finds the largest that is taken.
"""

from collections.abc import Callable

import numpy as np
from lce_network import Net

from bnnkit.errors import BnnkitError
from bnnkit.runtime.from_tflite import from_tflite
from bnnkit.tflite.lce_options import LceBconv2dOptions, LceBMaxPool2dOptions
from bnnkit.tflite.options import (
    Conv2DOptions,
    Pool2DOptions,
    ReducerOptions,
    TransposeConvOptions,
)
from bnnkit.tflite.schema import Activation, Builtin, Padding

DROPS_AXES = ReducerOptions(keep_dims=False)
"""Options of MEAN and SUM."""


def _square(size: int, outputs: int = 1) -> tuple[Net, int]:
    """A column plus a row: a map (1, S, S, 1) of an input of S numbers."""
    net = Net((1, size, 1, 1))
    target = net.constant([1, 1, size, 1])
    row = net.add(Builtin.RESHAPE, [net.input, target], net.value((1, 1, size, 1)))
    added = net.add(Builtin.ADD, [net.input, row], net.value((1, size, size, 1)))
    return net, added


def broadcast(size: int) -> bytes:
    net, added = _square(size)
    return net.content(added)


def repeated_output(size: int) -> bytes:
    net, added = _square(size)
    return net.content(*[added] * 64)


def mean(size: int) -> bytes:
    net, added = _square(size)
    place = net.value((1, 1))
    net.add(Builtin.MEAN, [added, net.constant([1, 2])], place, options=DROPS_AXES)
    return net.content(place)


def signs(size: int) -> bytes:
    net, added = _square(size)
    return net.content(net.signs(added))


def chain(size: int) -> bytes:
    net, place = _square(size)
    for code in (Builtin.EXP, Builtin.TANH, Builtin.LOGISTIC, Builtin.ELU):
        place = net.add(code, [place], net.value((1, size, size, 1)))
    return net.content(place)


def pooling(size: int) -> bytes:
    """A window that grows with the map."""
    net, place = _square(size)
    window = max(size // 8, 1)
    fields = Pool2DOptions(stride_w=1, stride_h=1, filter_width=window, filter_height=window)
    pooled = net.add(Builtin.MAX_POOL_2D, [place], net.value((1, size, size, 1)), options=fields)
    return net.content(pooled)


def average(size: int) -> bytes:
    net, place = _square(size)
    fields = Pool2DOptions(stride_w=1, stride_h=1, filter_width=9, filter_height=9)
    target = net.value((1, size, size, 1))
    return net.content(net.add(Builtin.AVERAGE_POOL_2D, [place], target, options=fields))


def binary_pooling(size: int) -> bytes:
    net, place = _square(size)
    pooled = net.value((1, size, size, 1), np.int32)
    net.add(
        "LceBMaxPool2d",
        [net.signs(place)],
        pooled,
        options=LceBMaxPool2dOptions(
            padding=Padding.SAME,
            stride_width=1,
            stride_height=1,
            filter_width=9,
            filter_height=9,
        ),
    )
    place = net.value((1, 1))
    real = net.add("LceDequantize", [pooled], net.value((1, size, size, 1)))
    net.add(Builtin.MEAN, [real, net.constant([1, 2])], place, options=DROPS_AXES)
    return net.content(place)


def _convolution(size: int, kernel: int, channels: int) -> bytes:
    net, place = _square(size)
    weight = net.constant(np.zeros((channels, kernel, kernel, 1)), np.float32)
    fields = Conv2DOptions(stride_w=1, stride_h=1)
    target = net.value((1, size, size, channels))
    return net.content(net.add(Builtin.CONV_2D, [place, weight, -1], target, options=fields))


def wide_convolution(size: int) -> bytes:
    return _convolution(size, 1, 64)


def large_convolution(size: int) -> bytes:
    return _convolution(size, 63, 1)


def binary_convolution(size: int) -> bytes:
    net, place = _square(size)
    filters = net.constant(np.zeros((8, 33, 33, 1)), np.int32)
    numbers = [net.constant(np.zeros(8), np.float32) for _ in range(2)]
    real = net.value((1, size, size, 8))
    net.add(
        "LceBconv2d",
        [net.signs(place), filters, *numbers, -1],
        real,
        options=LceBconv2dOptions(
            channels_in=1,
            dilation_height_factor=1,
            dilation_width_factor=1,
            fused_activation_function=Activation.NONE,
            pad_values=1,
            padding=Padding.SAME,
            stride_height=1,
            stride_width=1,
        ),
    )
    return net.content(real)


def large_input(size: int) -> bytes:
    net = Net((1, size, size, 1))
    place = net.add(Builtin.TANH, [net.input], net.value((1, size, size, 1)))
    return net.content(net.add(Builtin.EXP, [place], net.value((1, size, size, 1))))


def many_outputs(size: int) -> bytes:
    net = Net((1, size))
    places = [net.add(Builtin.NEG, [net.input], net.value((1, size))) for _ in range(200)]
    return net.content(*places)


def tiled(size: int) -> bytes:
    net = Net((1, 1, 1, 1))
    times = net.constant([1, size, size, 1])
    return net.content(net.add(Builtin.TILE, [net.input, times], net.value((1, size, size, 1))))


def resized(size: int) -> bytes:
    net = Net((1, 1, 1, 1))
    places = [net.input, net.constant([size, size])]
    return net.content(net.add(Builtin.RESIZE_BILINEAR, places, net.value((1, size, size, 1))))


def transposed_convolution(size: int) -> bytes:
    """The zeros between the pixels grow with the stride."""
    net = Net((1, 9, 9, 1))
    weight = net.constant(np.zeros((1, 1, 1, 1)), np.float32)
    shape = (1, 9 * size, 9 * size, 1)
    fields = TransposeConvOptions(stride_w=size, stride_h=size)
    places = [net.constant(shape), weight, net.input]
    return net.content(net.add(Builtin.TRANSPOSE_CONV, places, net.value(shape), options=fields))


def filled_constant(size: int) -> bytes:
    net = Net((1, 1))
    places = [net.constant([size, size]), net.constant(1, np.float32)]
    filled = net.add(Builtin.FILL, places, net.value((size, size)))
    for _ in range(4):
        filled = net.add(Builtin.ABS, [filled], net.value((size, size)))
    place = net.value(())
    net.add(Builtin.SUM, [filled, net.constant([0, 1])], place, options=DROPS_AXES)
    return net.content(net.add(Builtin.NEG, [net.input], net.value((1, 1))))


def outer_product_of_constants(size: int) -> bytes:
    net = Net((1, 1))
    rows = net.constant(np.ones((size, 1)), np.float32)
    columns = net.constant(np.ones((1, size)), np.float32)
    product = net.add(Builtin.MUL, [rows, columns], net.value((size, size)))
    place = net.value((size,))
    axes = net.constant([0])
    net.add(Builtin.MEAN, [product, axes], place, options=DROPS_AXES)
    return net.content(net.add(Builtin.NEG, [net.input], net.value((1, 1))))


BUILDERS: tuple[Callable[[int], bytes], ...] = (
    broadcast,
    repeated_output,
    mean,
    signs,
    chain,
    pooling,
    average,
    binary_pooling,
    wide_convolution,
    large_convolution,
    binary_convolution,
    large_input,
    many_outputs,
    tiled,
    resized,
    transposed_convolution,
    filled_constant,
    outer_product_of_constants,
)


def largest(build: Callable[[int], bytes]) -> bytes:
    """The file of the largest size, to one part in sixteen, that the reader takes."""
    size = 16
    while _is_taken(build(2 * size)):
        size *= 2
    for step in (size // 2, size // 4, size // 8, size // 16):
        if _is_taken(build(size + step)):
            size += step
    return build(size)


def _is_taken(content: bytes) -> bool:
    try:
        from_tflite(content)
    except BnnkitError:
        return False
    return True
