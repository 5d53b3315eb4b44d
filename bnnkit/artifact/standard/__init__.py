"""Operators of ONNX in NumPy.

The runtime runs the parts of a network that are not binary with them; the conversion of files from
elsewhere evaluates their functions with them.

Each function takes the attributes and the arrays of a node and follows the ONNX specification
(https://onnx.ai/onnx/operators/), with one rounding an operation: an elementwise result is the
same bits everywhere. Conv is missing because it has a kernel.
"""

from collections.abc import Callable, Sequence
from typing import Any

from numpy.typing import NDArray

from bnnkit.artifact.standard.elementwise import ELEMENTWISE
from bnnkit.artifact.standard.mixing import MIXING
from bnnkit.artifact.standard.pooling import POOLING
from bnnkit.artifact.standard.shaping import SHAPING

STANDARD_OPERATORS: dict[str, Callable[..., NDArray[Any]]] = (
    ELEMENTWISE | MIXING | POOLING | SHAPING
)
"""By the operator's type."""


def arguments(arrays: Sequence[NDArray[Any] | None]) -> list[NDArray[Any] | None]:
    """Inputs of a node as a function takes them: those left out at the end are not given."""
    given = list(arrays)
    while given and given[-1] is None:
        given.pop()
    return given
