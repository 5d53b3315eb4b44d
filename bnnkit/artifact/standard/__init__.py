"""ONNX's own operators in NumPy.

The runtime uses them for the parts of a network that are not binary; the conversion of ONNX files
of other tools evaluates functions with them.

Each function takes the attributes and the arrays of a node and follows the ONNX specification
(https://onnx.ai/onnx/operators/), with one rounding per operation, so elementwise results are the
same bits on every machine. Conv is missing because it has a kernel.
"""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from bnnkit.artifact.standard.elementwise import ELEMENTWISE
from bnnkit.artifact.standard.mixing import MIXING
from bnnkit.artifact.standard.normalization import NORMALIZATION
from bnnkit.artifact.standard.pooling import POOLING
from bnnkit.artifact.standard.reductions import REDUCTIONS
from bnnkit.artifact.standard.resizing import RESIZING
from bnnkit.artifact.standard.shaping import SHAPING
from bnnkit.artifact.standard.transposed import TRANSPOSED

STANDARD_OPERATORS: dict[str, Callable[..., NDArray[Any]]] = (
    ELEMENTWISE | MIXING | NORMALIZATION | POOLING | REDUCTIONS | RESIZING | SHAPING | TRANSPOSED
)
"""The functions by operator type."""


def arguments(arrays: Sequence[NDArray[Any] | None]) -> list[NDArray[Any] | None]:
    """Return the inputs of a node as arguments, without omitted inputs at the end."""
    given = list(arrays)
    while given and given[-1] is None:
        given.pop()
    return given
