"""The part of a body that unpacks weights to signs; `bits.unpack_weight` is the reference."""

from typing import Final

# Packed bits to signs 1 - 2 * bit, int32, of shape `weight_shape`. Byte b becomes the 8 numbers (b
# >> i) & 1, lowest bit first; the bits past the end are cut off. (int32, since ONNX Runtime cannot
# subtract int8.)
UNPACK: Final = """
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
"""Unpacks `weight` to `signs_last`, of shape `weight_shape`, with input channels last."""

UNPACK_CONV: Final = f"{UNPACK}  signs = Transpose <perm: ints = [0, 3, 1, 2]> (signs_last)"
"""The same for a convolution: also transposes (O, KH, KW, I/G) to `signs`, (O, I/G, KH, KW)."""
