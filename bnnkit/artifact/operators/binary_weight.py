"""BinaryWeight(weight): packed weights as real numbers, for layers with real activations."""

import numpy as np

from bnnkit.artifact.format.bits import unpack_weight
from bnnkit.artifact.operators.operand import Operand
from bnnkit.artifact.operators.operator import BYTES, REALS, Array, Operator
from bnnkit.artifact.operators.packed_weight import SHAPE, UNPACK, check_size


def _reference(weight: Array, weight_shape: list[int]) -> tuple[Array]:
    signs = unpack_weight(weight, tuple(weight_shape)).astype(np.float32)
    return (np.moveaxis(signs, -1, 1),)


BINARY_WEIGHT = Operator(
    name="BinaryWeight",
    inputs={"weight": Operand(BYTES, ("B",), is_constant=True)},
    attributes={"weight_shape": SHAPE},
    outputs={"y": Operand(REALS, ("O J KD KH KW", "O J KH KW", "O J KW", "O J"))},
    sizes=check_size,
    # The last axis moves to the second place, for any number of axes: (O, KH * KW, I) -> (O, I, KH
    # * KW).
    body=f"""
  {UNPACK}
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
""",
    reference=_reference,
    takes="packed weights",
    gives="reals",
)
