"""Packed weights: their checks, and the part of a body that unpacks them to signs.

`bits.unpack_weight` is the reference.
"""

from math import prod
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.operators.attribute_rule import AttributeRule, Attributes
from bnnkit.artifact.operators.operand import Sizes
from bnnkit.errors import ArtifactError

CONV_SHAPE: Final = AttributeRule(kind="INTS", least=1, axes=("O KH KW J",))
"""The attribute `weight_shape` of a convolution; J is I/G."""
LINEAR_SHAPE: Final = AttributeRule(kind="INTS", least=1, axes=("O J",))
"""That of a dense layer."""
SHAPE: Final = AttributeRule(
    kind="INTS",
    least=1,
    axes=(*CONV_SHAPE.axes, *LINEAR_SHAPE.axes, "O KW J", "O KD KH KW J"),
)
"""That of either, and of convolutions of one and three dimensions."""
MOST_TAPS: Final = 2**23 - 1
"""The largest number of weights of an output channel, and so K of a binary layer."""


def check_size(sizes: Sizes, attributes: Attributes) -> None:
    """Check the number of bytes, B, and that of the weights of a channel.

    Raises:
        ArtifactError: If the first does not match `weight_shape` or the second is 2^23 or more.
    """
    shape = attributes["weight_shape"]
    expected = -(-prod(shape) // 8)
    if sizes["B"] != expected:
        raise ArtifactError(
            f"expected {expected} bytes of packed weights for the shape {tuple(shape)}, got"
            f" {sizes['B']}"
        )
    if prod(shape[1:]) > MOST_TAPS:
        raise ArtifactError(
            f"expected fewer than 2^23 weights for each output channel, got {prod(shape[1:])}"
        )


def largest_sums(sizes: Sizes, _: object, attributes: Attributes) -> NDArray[np.int64]:
    """Return K of a binary layer: the number of weights of a channel, (O,)."""
    outputs, *taps = attributes["weight_shape"]
    return np.full(outputs, prod(taps))


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
