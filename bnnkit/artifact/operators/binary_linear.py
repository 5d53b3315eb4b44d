"""BinaryLinear(x, weight): exact dot products of signs with binary weights."""

import numpy as np

from bnnkit.artifact.format.bits import unpack_weight
from bnnkit.artifact.operators.macs import packed_macs
from bnnkit.artifact.operators.operator import Array, Operator
from bnnkit.artifact.operators.packed_weight import UNPACK


def _reference(x: Array, weight: Array, weight_shape: list[int]) -> tuple[Array]:
    signs = unpack_weight(weight, tuple(weight_shape)).astype(float)
    return (((x - 1.0) @ signs.T).astype(np.int32),)


BINARY_LINEAR = Operator(
    name="BinaryLinear",
    inputs=("x", "weight"),
    attributes=("weight_shape",),
    body=f"""
  {UNPACK}
  signs = Transpose <perm: ints = [1, 0]> (signs_last)
  w = Cast <to: int = 3> (signs)
  middle = Constant <value = uint8 {{1}}> ()
  y = MatMulInteger (x, w, middle)
""",
    reference=_reference,
    takes="signs",
    gives="sums",
    macs=packed_macs,
)
