"""IntegerConv2d(x, weight, zero_point): exact sums of pixels minus their zero point."""

from typing import Any

import numpy as np

from bnnkit.artifact.operators.convolution import (
    CONVOLUTION,
    GEOMETRY,
    convolution_sizes,
    convolve,
)
from bnnkit.artifact.operators.integer_sums import WEIGHTS, largest_sums
from bnnkit.artifact.operators.macs import layer_macs
from bnnkit.artifact.operators.operand import Operand
from bnnkit.artifact.operators.operator import BYTES, SUMS, Array, Operator


def _reference(x: Array, weight: Array, zero_point: Array, **attributes: Any) -> tuple[Array]:
    pixels = x.astype(float) - zero_point
    return (convolve(pixels, weight.astype(float), **attributes).astype(np.int32),)


INTEGER_CONV2D = Operator(
    name="IntegerConv2d",
    inputs={
        "x": Operand(BYTES, ("N I H W",)),
        "weight": Operand(WEIGHTS, ("O J KH KW",), is_constant=True),
        "zero_point": Operand(BYTES, ("I 1 1",), is_constant=True),
    },
    attributes=CONVOLUTION,
    outputs={"y": Operand(SUMS, ("N O OH OW",))},
    sizes=convolution_sizes,
    largest_sums=largest_sums,
    body=f"""
  x_real = Cast <to: int = 1> (x)
  z_real = Cast <to: int = 1> (zero_point)
  w_real = Cast <to: int = 1> (weight)
  difference = Sub (x_real, z_real)
  sum = Conv <{GEOMETRY}> (difference, w_real)
  y = Cast <to: int = 6> (sum)
""",
    reference=_reference,
    takes="numbers",
    gives="sums",
    macs=layer_macs,
)
