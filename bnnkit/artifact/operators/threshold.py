"""Threshold(sum, threshold): +1 where sum >= threshold."""

from bnnkit.artifact.operators.operand import Operand
from bnnkit.artifact.operators.operator import BYTES, SUMS, Array, Operator
from bnnkit.artifact.operators.sign_codes import PLUS_AND_MINUS, sign_codes


def _reference(total: Array, threshold: Array) -> tuple[Array]:
    return (sign_codes(total >= threshold),)


THRESHOLD = Operator(
    name="Threshold",
    inputs={
        "sum": Operand(SUMS, ("N O ...",)),
        "threshold": Operand(SUMS, ("O 1...",), is_constant=True),
    },
    outputs={"y": Operand(BYTES, ("N O ...",))},
    body=f"""
  {PLUS_AND_MINUS}
  is_plus = GreaterOrEqual (sum, threshold)
  y = Where (is_plus, plus, minus)
""",
    reference=_reference,
    takes="sums",
    gives="signs",
)
