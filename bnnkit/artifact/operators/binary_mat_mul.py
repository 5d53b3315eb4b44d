"""BinaryMatMul(x, y): exact matrix products of signs, of which none are weights."""

import numpy as np

from bnnkit.artifact.operators.attribute_rule import Attributes
from bnnkit.artifact.operators.macs import product_macs
from bnnkit.artifact.operators.operand import Operand, Sizes
from bnnkit.artifact.operators.operator import BYTES, SUMS, Array, Operator
from bnnkit.artifact.operators.packed_weight import MOST_TAPS
from bnnkit.errors import ArtifactError


def _check_terms(sizes: Sizes, _: Attributes) -> None:
    if sizes["K"] > MOST_TAPS:
        raise ArtifactError(f"expected sums of fewer than 2^23 products, got {sizes['K']}")


def _reference(x: Array, y: Array) -> tuple[Array]:
    return (((x - 1.0) @ (y - 1.0)).astype(np.int32),)


BINARY_MAT_MUL = Operator(
    name="BinaryMatMul",
    inputs={
        "x": Operand(BYTES, ("N T K", "N A T K")),
        "y": Operand(BYTES, ("N K S", "N A K S")),
    },
    outputs={"sum": Operand(SUMS, ("N A T S", "N T S"))},
    sizes=_check_terms,
    body="""
  middle = Constant <value = uint8 {1}> ()
  sum = MatMulInteger (x, y, middle, middle)
""",
    reference=_reference,
    takes="signs",
    gives="sums",
    macs=product_macs,
)
