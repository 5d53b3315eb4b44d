"""The bodies of bnnkit's operators in standard operators, for a stock ONNX Runtime.

One model-local function for each operator of docs/artifact.md, which also says why the bodies are
as they are. The attributes of a node reach the standard operators through attribute references
(`@pads`). `StochasticSign` calls `Philox`; a file with the one needs both (`NEEDS`).
"""

import functools
from string import Template
from typing import Final

import onnx
import onnx.parser

from bnnkit.artifact.format import DOMAIN, OPSET, VERSION
from bnnkit.artifact.operators.noise_bodies import NOISE_BODIES

# Packed bits to signs 1 - 2 * bit, int32, of shape `weight_shape`. Byte b becomes the 8 numbers (b
# >> i) & 1, lowest bit first; the bits past the end are cut off. (int32, since ONNX Runtime cannot
# subtract int8.)
_UNPACK: Final = """
  shape = Constant <value_ints: ints = @weight_shape> ()
  n_bits = ReduceProd <keepdims: int = 1> (shape)
  places = Constant <value = uint8[8] {0, 1, 2, 3, 4, 5, 6, 7}> ()
  one_bit = Constant <value = uint8[1] {1}> ()
  last_axis = Constant <value_ints: ints = [1]> ()
  flat = Constant <value_ints: ints = [-1]> ()
  start = Constant <value_ints: ints = [0]> ()
  column = Unsqueeze (weight, last_axis)
  shifted = BitShift <direction: string = "RIGHT"> (column, places)
  bit_rows = BitwiseAnd (shifted, one_bit)
  all_bits = Reshape (bit_rows, flat)
  bits = Slice (all_bits, start, n_bits)
  numbers = Cast <to: int = 6> (bits)
  plus_one = Constant <value = int32 {1}> ()
  twice = Add (numbers, numbers)
  ordered = Sub (plus_one, twice)
  signs_last = Reshape (ordered, shape)
"""

# (O, KH, KW, I) -> (O, I, KH, KW)
_UNPACK_CONV: Final = f"{_UNPACK}  signs = Transpose <perm: ints = [0, 3, 1, 2]> (signs_last)"

_GEOMETRY: Final = (
    "strides: ints = @strides, pads: ints = @pads, "
    "dilations: ints = @dilations, group: int = @group"
)

_FUNCTIONS: Final = {
    "Sign": """ (x) => (y) {
  zero = Constant <value = float {0}> ()
  plus = Constant <value = uint8 {2}> ()
  minus = Constant <value = uint8 {0}> ()
  is_plus = GreaterOrEqual (x, zero)
  y = Where (is_plus, plus, minus)
}""",
    "Threshold": """ (sum, threshold) => (y) {
  plus = Constant <value = uint8 {2}> ()
  minus = Constant <value = uint8 {0}> ()
  is_plus = GreaterOrEqual (sum, threshold)
  y = Where (is_plus, plus, minus)
}""",
    "BinaryConv2d": """ <strides, pads, dilations, group, weight_shape> (x, weight) => (y) {
  $unpack_conv
  one = Constant <value = float {1}> ()
  middle = Constant <value = uint8 {1}> ()
  x_real = DequantizeLinear (x, one, middle)
  w_real = Cast <to: int = 1> (signs)
  sum = Conv <$geometry> (x_real, w_real)
  y = Cast <to: int = 6> (sum)
}""",
    "BinaryConv2dThreshold": """
<strides, pads, dilations, group, weight_shape> (x, weight, threshold) => (y) {
  $unpack_conv
  one = Constant <value = float {1}> ()
  x_middle = Constant <value = uint8 {1}> ()
  w_middle = Constant <value = int8 {0}> ()
  y_middle = Constant <value = uint8 {128}> ()
  w = Cast <to: int = 3> (signs)
  bias = Neg (threshold)
  q = QLinearConv <$geometry> (x, one, x_middle, w, one, w_middle, one, y_middle, bias)
  plus = Constant <value = uint8 {2}> ()
  minus = Constant <value = uint8 {0}> ()
  is_plus = GreaterOrEqual (q, y_middle)
  y = Where (is_plus, plus, minus)
}""",
    "BinaryLinear": """ <weight_shape> (x, weight) => (y) {
  $unpack
  signs = Transpose <perm: ints = [1, 0]> (signs_last)
  w = Cast <to: int = 3> (signs)
  middle = Constant <value = uint8 {1}> ()
  y = MatMulInteger (x, w, middle)
}""",
    "IntegerConv2d": """ <strides, pads, dilations, group> (x, weight, zero_point) => (y) {
  x_real = Cast <to: int = 1> (x)
  z_real = Cast <to: int = 1> (zero_point)
  w_real = Cast <to: int = 1> (weight)
  difference = Sub (x_real, z_real)
  sum = Conv <$geometry> (difference, w_real)
  y = Cast <to: int = 6> (sum)
}""",
    "IntegerLinear": """ (x, weight, zero_point) => (y) {
  x_real = Cast <to: int = 1> (x)
  z_real = Cast <to: int = 1> (zero_point)
  w_real = Cast <to: int = 1> (weight)
  difference = Sub (x_real, z_real)
  columns = Transpose <perm: ints = [1, 0]> (w_real)
  sum = MatMul (difference, columns)
  y = Cast <to: int = 6> (sum)
}""",
    # The last axis moves to the second place, for any number of axes: (O, KH * KW, I) -> (O, I, KH
    # * KW).
    "BinaryWeight": """ <weight_shape> (weight) => (y) {
  $unpack
  minus_one = Constant <value_ints: ints = [-1]> ()
  outputs = Slice (shape, start, last_axis)
  kernel = Slice (shape, last_axis, minus_one)
  end = Shape (shape)
  inputs = Slice (shape, minus_one, end)
  rows_shape = Concat <axis: int = 0> (outputs, minus_one, inputs)
  y_shape = Concat <axis: int = 0> (outputs, inputs, kernel)
  rows = Reshape (signs_last, rows_shape)
  columns = Transpose <perm: ints = [0, 2, 1]> (rows)
  signs = Reshape (columns, y_shape)
  y = Cast <to: int = 1> (signs)
}""",
    **NOISE_BODIES,
}

NEEDS: Final = {"StochasticSign": ("Philox",)}
"""The operators that an operator's body uses."""


def names() -> tuple[str, ...]:
    """The operators of the domain `bnnkit`, version 1."""
    return tuple(_FUNCTIONS)


@functools.cache
def function(name: str) -> onnx.FunctionProto:
    """The model-local function of one operator; the caller must not change it.

    Raises:
        KeyError: `name` is no operator of the domain.
    """
    text = Template(_FUNCTIONS[name]).substitute(
        geometry=_GEOMETRY, unpack_conv=_UNPACK_CONV, unpack=_UNPACK
    )
    own = f', "{DOMAIN}" : {VERSION}' if name in NEEDS else ""
    head = f'<domain: "{DOMAIN}", opset_import: ["" : {OPSET}{own}]>\n'
    return onnx.parser.parse_function(head + name + text)
