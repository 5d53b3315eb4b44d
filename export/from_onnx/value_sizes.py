"""The sizes of a source's values, which must suit its file before anything computes them."""

from math import prod

import onnx_ir as ir

from bnnkit.artifact.budget import Budget
from bnnkit.export.ir.graph import array


def check_value_sizes(graph: ir.Graph, batch: int, budget: Budget) -> None:
    """Check that no value, and not all of them together, are too large for the file.

    Args:
        graph: The graph, with the shapes that are known.
        batch: The batch size for which they were inferred.
        budget: The budget of the file; it is not spent, because passes compute values again.

    Raises:
        UnsupportedError: If a value is too large, or all of them are.
    """
    rest = budget.copy()
    for node in graph:
        for value in node.outputs:
            if array(value) is None:
                rest.spend_values(numbers_of(value, batch))


def numbers_of(value: ir.Value, batch: int) -> int:
    """Return the number of elements of a value for one image; 0 if its shape is not known."""
    first, *others = value.shape or (0,)
    if not all(isinstance(size, int) for size in others):
        return 0
    is_batch = not isinstance(first, int) or first == batch
    return prod(int(str(size)) for size in others) * (1 if is_batch else int(str(first)))
