"""IntegerLinear(x, weight, zero_point): exact dot products of inputs minus their zero point."""

import numpy as np

from bnnkit.artifact.operators.integer_sums import WEIGHTS, largest_sums
from bnnkit.artifact.operators.macs import layer_macs
from bnnkit.artifact.operators.operand import Operand
from bnnkit.artifact.operators.operator import BYTES, SUMS, Array, Operator


def _reference(x: Array, weight: Array, zero_point: Array) -> tuple[Array]:
    return (((x.astype(float) - zero_point) @ weight.T.astype(float)).astype(np.int32),)


INTEGER_LINEAR = Operator(
    name="IntegerLinear",
    inputs={
        "x": Operand(BYTES, ("N I",)),
        "weight": Operand(WEIGHTS, ("O I",), is_constant=True),
        "zero_point": Operand(BYTES, ("I",), is_constant=True),
    },
    outputs={"y": Operand(SUMS, ("N O",))},
    largest_sums=largest_sums,
    body="""
  x_real = Cast <to: int = 1> (x)
  z_real = Cast <to: int = 1> (zero_point)
  w_real = Cast <to: int = 1> (weight)
  difference = Sub (x_real, z_real)
  columns = Transpose <perm: ints = [1, 0]> (w_real)
  sum = MatMul (difference, columns)
  y = Cast <to: int = 6> (sum)
""",
    reference=_reference,
    takes="numbers",
    gives="sums",
    macs=layer_macs,
)
