"""Sign(x): +1 where x >= 0, so -1 for NaN."""

from bnnkit.artifact.operators.operand import Operand
from bnnkit.artifact.operators.operator import BYTES, REALS, Array, Operator
from bnnkit.artifact.operators.sign_codes import PLUS_AND_MINUS, sign_codes


def _reference(x: Array) -> tuple[Array]:
    return (sign_codes(x >= 0),)


SIGN = Operator(
    name="Sign",
    inputs={"x": Operand(REALS, ("...",))},
    outputs={"y": Operand(BYTES, ("...",))},
    body=f"""
  zero = Constant <value = float {{0}}> ()
  {PLUS_AND_MINUS}
  is_plus = GreaterOrEqual (x, zero)
  y = Where (is_plus, plus, minus)
""",
    reference=_reference,
    takes="reals",
    gives="signs",
)
