"""BinaryConv2dThreshold(x, weight, threshold): a binary convolution compared with a threshold."""

from typing import Any

from bnnkit.artifact.operators.binary_conv2d import BINARY_CONV2D, binary_sums
from bnnkit.artifact.operators.convolution import GEOMETRY
from bnnkit.artifact.operators.macs import packed_macs
from bnnkit.artifact.operators.operand import Operand
from bnnkit.artifact.operators.operator import BYTES, SUMS, Array, Operator
from bnnkit.artifact.operators.packed_weight import UNPACK_CONV
from bnnkit.artifact.operators.sign_codes import PLUS_AND_MINUS, sign_codes


def _reference(x: Array, weight: Array, threshold: Array, **attributes: Any) -> tuple[Array]:
    return (sign_codes(binary_sums(x, weight, **attributes) >= threshold[:, None, None]),)


BINARY_CONV2D_THRESHOLD = Operator(
    name="BinaryConv2dThreshold",
    inputs={**BINARY_CONV2D.inputs, "threshold": Operand(SUMS, ("O",), is_constant=True)},
    attributes=BINARY_CONV2D.attributes,
    outputs={"y": Operand(BYTES, ("N O OH OW",))},
    sizes=BINARY_CONV2D.sizes,
    largest_sums=BINARY_CONV2D.largest_sums,
    body=f"""
  {UNPACK_CONV}
  one = Constant <value = float {{1}}> ()
  x_middle = Constant <value = uint8 {{1}}> ()
  w_middle = Constant <value = int8 {{0}}> ()
  y_middle = Constant <value = uint8 {{128}}> ()
  w = Cast <to: int = 3> (signs)
  bias = Neg (threshold)
  q = QLinearConv <{GEOMETRY}> (x, one, x_middle, w, one, w_middle, one, y_middle, bias)
  {PLUS_AND_MINUS}
  is_plus = GreaterOrEqual (q, y_middle)
  y = Where (is_plus, plus, minus)
""",
    reference=_reference,
    takes="signs",
    gives="signs",
    macs=packed_macs,
)
