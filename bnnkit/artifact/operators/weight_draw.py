"""WeightDraw(weights, sample): the maximum-probability weights, or one of their stored draws."""

from onnx import TensorProto

from bnnkit.artifact.operators.attribute_rule import Attributes
from bnnkit.artifact.operators.operand import Operand, Sizes
from bnnkit.artifact.operators.operator import BYTES, Array, Operator
from bnnkit.errors import ArtifactError


def _check_rows(sizes: Sizes, _: Attributes) -> None:
    if sizes["ROWS"] < 2:
        raise ArtifactError("expected at least one draw of the weights, got none")


def _reference(weights: Array, sample: Array) -> tuple[Array]:
    row = 0 if int(sample) < 0 else 1 + int(sample) % (len(weights) - 1)
    return (weights[row],)


WEIGHT_DRAW = Operator(
    name="WeightDraw",
    inputs={
        "weights": Operand(BYTES, ("ROWS B",), is_constant=True),
        "sample": Operand(TensorProto.INT64, ("",), is_constant=True),
    },
    outputs={"weight": Operand(BYTES, ("B",))},
    sizes=_check_rows,
    body="""
  zero = Constant <value = int64 {0}> ()
  one = Constant <value = int64 {1}> ()
  rows = Shape <start: int = 0, end: int = 1> (weights)
  draws = Sub (rows, one)
  draw = Mod (sample, draws)
  drawn_row = Add (draw, one)
  has_noise = GreaterOrEqual (sample, zero)
  row = Where (has_noise, drawn_row, zero)
  rows_of_one = Gather <axis: int = 0> (weights, row)
  flat = Constant <value_ints: ints = [-1]> ()
  weight = Reshape (rows_of_one, flat)
""",
    reference=_reference,
    takes="packed weights",
    gives="packed weights",
    is_sampled=True,
)
