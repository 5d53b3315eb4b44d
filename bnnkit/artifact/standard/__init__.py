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

from bnnkit.artifact.standard.columns import COLUMNS
from bnnkit.artifact.standard.einsum import EINSUM
from bnnkit.artifact.standard.elementwise import ELEMENTWISE
from bnnkit.artifact.standard.filling import FILLING
from bnnkit.artifact.standard.grid_sampling import GRID_SAMPLING
from bnnkit.artifact.standard.indexing import INDEXING
from bnnkit.artifact.standard.mixing import MIXING
from bnnkit.artifact.standard.normalization import NORMALIZATION
from bnnkit.artifact.standard.pooling import POOLING, POOLING_WITH_PLACES
from bnnkit.artifact.standard.recurrent import RECURRENT
from bnnkit.artifact.standard.reductions import REDUCTIONS
from bnnkit.artifact.standard.resizing import RESIZING
from bnnkit.artifact.standard.shaping import SHAPING
from bnnkit.artifact.standard.sorting import SORTING
from bnnkit.artifact.standard.transposed import TRANSPOSED

STANDARD_OPERATORS: dict[str, Callable[..., NDArray[Any]]] = (
    COLUMNS
    | EINSUM
    | ELEMENTWISE
    | FILLING
    | GRID_SAMPLING
    | INDEXING
    | MIXING
    | NORMALIZATION
    | POOLING
    | REDUCTIONS
    | RESIZING
    | SHAPING
    | TRANSPOSED
)
"""The functions by operator type."""
SEVERAL_OUTPUTS: dict[str, Callable[..., tuple[NDArray[Any], ...]]] = (
    POOLING_WITH_PLACES | RECURRENT | SORTING
)
"""The functions of operators with several outputs, by operator type; each gives all of them.

`MaxPool` is in both tables: the places of its maxima are rarely read.
"""


def arguments(arrays: Sequence[NDArray[Any] | None]) -> list[NDArray[Any] | None]:
    """Return the inputs of a node as arguments, without omitted inputs at the end."""
    given = list(arrays)
    while given and given[-1] is None:
        given.pop()
    return given
