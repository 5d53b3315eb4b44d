"""BinaryConv2d(x, weight): exact sums of a convolution of signs with binary weights."""

from typing import Any

import numpy as np

from bnnkit.artifact.format.bits import unpack_weight
from bnnkit.artifact.operators.attribute_rule import Attributes
from bnnkit.artifact.operators.convolution import (
    CONVOLUTION,
    GEOMETRY,
    convolution_sizes,
    convolve,
)
from bnnkit.artifact.operators.macs import packed_macs
from bnnkit.artifact.operators.operand import Operand, Sizes
from bnnkit.artifact.operators.operator import BYTES, SUMS, Array, Operator
from bnnkit.artifact.operators.packed_weight import (
    CONV_SHAPE,
    UNPACK_CONV,
    check_size,
    largest_sums,
)


def binary_conv2d_sizes(sizes: Sizes, attributes: Attributes) -> None:
    """Check the packed weights and add the size of the output, OH and OW.

    Raises:
        ArtifactError: As `check_size` and `convolution_sizes`.
    """
    check_size(sizes, attributes)
    convolution_sizes(sizes, attributes)


def binary_sums(x: Array, weight: Array, weight_shape: list[int], **convolution: Any) -> Array:
    """Compute the sums, int32 (N, O, OH, OW).

    Args:
        x: Signs, (N, I, H, W).
        weight: Packed weights.
        weight_shape: (O, KH, KW, I/G).
        convolution: The attributes of `convolve`.
    """
    signs = unpack_weight(weight, tuple(weight_shape)).transpose(0, 3, 1, 2)
    return convolve(x - 1.0, signs.astype(float), **convolution).astype(np.int32)


def _reference(x: Array, weight: Array, **attributes: Any) -> tuple[Array]:
    return (binary_sums(x, weight, **attributes),)


BINARY_CONV2D = Operator(
    name="BinaryConv2d",
    inputs={"x": Operand(BYTES, ("N I H W",)), "weight": Operand(BYTES, ("B",), is_constant=True)},
    attributes={**CONVOLUTION, "weight_shape": CONV_SHAPE},
    outputs={"y": Operand(SUMS, ("N O OH OW",))},
    sizes=binary_conv2d_sizes,
    largest_sums=largest_sums,
    body=f"""
  {UNPACK_CONV}
  one = Constant <value = float {{1}}> ()
  middle = Constant <value = uint8 {{1}}> ()
  x_real = DequantizeLinear (x, one, middle)
  w_real = Cast <to: int = 1> (signs)
  sum = Conv <{GEOMETRY}> (x_real, w_real)
  y = Cast <to: int = 6> (sum)
""",
    reference=_reference,
    takes="signs",
    gives="sums",
    macs=packed_macs,
)
