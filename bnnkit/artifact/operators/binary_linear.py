"""BinaryLinear(x, weight): exact dot products of signs with binary weights."""

import numpy as np

from bnnkit.artifact.format.bits import unpack_weight
from bnnkit.artifact.operators.attribute_rule import Attributes
from bnnkit.artifact.operators.macs import packed_macs
from bnnkit.artifact.operators.operand import Operand, Sizes
from bnnkit.artifact.operators.operator import BYTES, SUMS, Array, Operator
from bnnkit.artifact.operators.packed_weight import LINEAR_SHAPE, UNPACK, check_size, largest_sums
from bnnkit.errors import ArtifactError


def _check_weight(sizes: Sizes, attributes: Attributes) -> None:
    check_size(sizes, attributes)
    if sizes["J"] != sizes["I"]:
        raise ArtifactError(
            f"expected weights for its {sizes['I']} inputs, got weights for {sizes['J']}"
        )


def _reference(x: Array, weight: Array, weight_shape: list[int]) -> tuple[Array]:
    signs = unpack_weight(weight, tuple(weight_shape)).astype(float)
    return (((x - 1.0) @ signs.T).astype(np.int32),)


BINARY_LINEAR = Operator(
    name="BinaryLinear",
    inputs={"x": Operand(BYTES, ("N I",)), "weight": Operand(BYTES, ("B",), is_constant=True)},
    attributes={"weight_shape": LINEAR_SHAPE},
    outputs={"y": Operand(SUMS, ("N O",))},
    sizes=_check_weight,
    largest_sums=largest_sums,
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
