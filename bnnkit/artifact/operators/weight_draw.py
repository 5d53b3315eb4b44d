"""WeightDraw(weights, sample): the maximum-probability weights, or one of their stored draws."""

from bnnkit.artifact.operators.operator import Array, Operator


def _reference(weights: Array, sample: Array) -> tuple[Array]:
    row = 0 if int(sample) < 0 else 1 + int(sample) % (len(weights) - 1)
    return (weights[row],)


WEIGHT_DRAW = Operator(
    name="WeightDraw",
    inputs=("weights", "sample"),
    outputs=("weight",),
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
