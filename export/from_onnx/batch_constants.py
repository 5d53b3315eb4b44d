"""Constants that depend on the batch size, and what they may be used for.

A file with a free batch can compute with the number of images, by `Shape`. Its constants are
folded for one batch size, and once more for another. A constant that differs may be used only
where the artifact can do without it (`free_batch_axis.py`):

1. As the first size of a result whose other sizes are the same: the shape of `Reshape` and
   `Expand`, the sizes of `Resize`, the end of a `Slice` of the first axis.
2. As equal rows, one for each image: an operand that is broadcast, or a part of a `Concat` along
   another axis.

Everything else would be computed for the wrong number of images, and is refused.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.operators.facts import BROADCASTS
from bnnkit.errors import UnsupportedError
from bnnkit.export.from_onnx.node_names import named
from bnnkit.export.ir.graph import array, rank

Array = NDArray[Any]
OTHER_SIZE: Final = 13
"""The second batch size: small, as whole constants are computed for it."""


@dataclass(frozen=True)
class BatchConstants:
    """The batch size of a file, and the constants that depend on it.

    Attributes:
        size: The batch size for which constants are folded.
        is_free: Whether the batch of the file is free; a fixed one is like any other number.
        others: By name, what each constant that depends on the batch size would be for another.
        shapes: By name, the shapes of values for the other size, where they were inferred.
    """

    size: int
    is_free: bool
    others: dict[str, Array] = field(default_factory=dict)
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    def other_shape(self, value: ir.Value) -> tuple[int, ...]:
        """The shape of a value for the other batch size; that is the first axis of activations."""
        sizes = tuple(int(str(size)) for size in value.shape or ())
        if array(value) is not None:
            return self.others[str(value.name)].shape if value.name in self.others else sizes
        if value.name in self.shapes:
            return self.shapes[str(value.name)]
        is_batch = self.is_free and sizes[:1] == (self.size,)
        return (OTHER_SIZE, *sizes[1:]) if is_batch else sizes

    def both(self, constant: ir.Value) -> tuple[Array, Array] | None:
        """The content of a constant for both batch sizes; None if the value is not a constant."""
        content = array(constant)
        if content is None:
            return None
        return content, self.others.get(str(constant.name), content)

    def axis_of_batch(self, y: ir.Value, reshape: ir.Node) -> int | None:
        """The axis of a `Reshape`'s result whose size depends on the batch, if it is known."""
        sizes = self.both(reshape.inputs[1]) if reshape.inputs[1] is not None else None
        if sizes is None or not self.is_free or y.shape is None:
            return None
        size, other = sizes
        differs = np.flatnonzero(size != other) if size.shape == other.shape else np.array([])
        if not differs.size and -1 in size and 0 not in size:  # the axis that takes what is left
            differs = np.flatnonzero(size == -1)
        return int(differs[0]) if differs.size == 1 else None

    def record(self, constant: ir.Value, content: Array, other: Array) -> None:
        """Record what a constant would be for the other batch size."""
        self.others.pop(str(constant.name), None)
        if content.shape != other.shape or not np.array_equal(content, other, equal_nan=True):
            self.others[str(constant.name)] = other

    def decides(self, condition: ir.Value) -> bool:
        """Whether a constant condition depends on the batch size."""
        return str(condition.name) in self.others


def check_batch_constants(graph: ir.Graph, batch: BatchConstants) -> None:
    """Check that constants that depend on the batch size are used in shapes only.

    Raises:
        UnsupportedError: One is used otherwise; the message names the node.
    """
    used = _used_inside_branches(graph)
    for node in graph:
        for index, value in enumerate(node.inputs):
            if value is None or str(value.name) not in batch.others:
                continue
            content, other = array(value), batch.others[str(value.name)]
            if content is None or not _is_known_use(node, index, content, other, batch.size):
                raise _refused(named(node))
    for value in (*graph.outputs, *used):
        if str(value.name) in batch.others:
            raise _refused(f"the output {str(value.name).removesuffix('/folded')!r}")


def _used_inside_branches(graph: ir.Graph) -> list[ir.Value]:
    """The values that nodes inside of an `If` or a loop use."""
    inner = (node for node in graph.all_nodes() if node.graph is not graph)
    return [value for node in inner for value in node.inputs if value is not None]


def _refused(what: str) -> UnsupportedError:
    return UnsupportedError(
        f"{what} depends on the number of images in the batch, and not as the first size of a"
        " shape: export the network without that dependence, or with a fixed batch size"
    )


def _is_known_use(node: ir.Node, index: int, content: Array, other: Array, size: int) -> bool:
    if node.domain != "":
        return False
    if _SIZES.get(node.op_type) == index:  # rule 1
        return _differs_first(content, other, size)
    if (node.op_type, index) == ("Slice", 2):
        return _ends_with_batch(node, content, other, size)
    is_aligned = content.ndim == rank(node.outputs[0])
    takes_rows = node.op_type in BROADCASTS or (
        node.op_type == "Concat" and node.attributes["axis"].as_int() % content.ndim != 0
    )
    has_row_each = content.shape[:1] == (size,) and other.shape[:1] == (OTHER_SIZE,)
    return takes_rows and is_aligned and has_row_each and are_rows(content, other)  # rule 2


_SIZES: Final[Mapping[str, int]] = {"Reshape": 1, "Expand": 1, "Resize": 3}
"""The input that holds the sizes of the result."""


def _differs_first(content: Array, other: Array, size: int) -> bool:
    first = (content[:1].tolist(), other[:1].tolist()) == ([size], [OTHER_SIZE])
    return first and np.array_equal(content[1:], other[1:])


def _ends_with_batch(node: ir.Node, content: Array, other: Array, size: int) -> bool:
    axes = array(node.inputs[3]) if len(node.inputs) > 3 else np.arange(content.size)
    if axes is None or content.shape != other.shape:
        return False
    differs = content != other
    is_batch = (axes == 0) & (content == size) & (other == OTHER_SIZE)
    return bool((is_batch | ~differs).all())


def are_rows(content: Array, other: Array) -> bool:
    """Whether each image has the same row."""
    row = content[:1]
    return all(
        row.shape[1:] == rows.shape[1:] and bool((rows == row).all()) for rows in (content, other)
    )
