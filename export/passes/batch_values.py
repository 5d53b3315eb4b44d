"""The values that stand for those whose batch is not first, during the pass `batch_first.py`."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from bnnkit.export.ir.graph import (
    add_constant,
    new_node,
    operand,
    parameter_name,
)
from bnnkit.export.passes.batch_place import (
    FRONT,
    Place,
    Sizes,
    sizes_of,
    without_batch,
)
from bnnkit.export.passes.lower_signs import ROWS

Hint = Callable[[ir.Value, ir.Node], int | None]
"""Gives the axis of a node's result whose size depends on the batch, if it is known."""
Result = tuple[ir.Value, Place]
"""A result of a node with the batch put first, and where the batch was."""


class BatchValues:
    """The places of the batch, and the values that stand for those of other places.

    Attributes:
        graph: The graph that is changed.
        images: The number of images for which shapes are stated.
        hint: See `Hint`.
        stochastic: Whether signs draw noise.
        places: Where the batch is, by value.
        first: The values of rule 1 of `batch_first.py`, by the value that they stand for.
        parts: The values of rule 3, one for each index beside the image.
    """

    def __init__(self, graph: ir.Graph, images: int, hint: Hint, *, stochastic: bool) -> None:
        self.graph, self.images, self.hint = graph, images, hint
        self.stochastic = stochastic
        self.places: dict[ir.Value, Place] = dict.fromkeys(graph.inputs, FRONT)
        self.first: dict[ir.Value, ir.Value] = {}
        self.parts: dict[ir.Value, list[ir.Value]] = {}
        self._count = 0
        self._batch = (graph.inputs[0].shape or ir.Shape([images]))[0]

    def sizes(self, x: ir.Value) -> Sizes:
        """The sizes of a value, as its shape states them."""
        found = sizes_of(x, self.images)
        assert found is not None  # `visit` has checked it
        return found

    def inner(self, x: ir.Value) -> Sizes:
        """The sizes of a value for one image."""
        return without_batch(self.sizes(x), self.places[x])

    def primed(self, x: ir.Value, source: ir.Node) -> ir.Value:
        """The value of rule 1 for a value; that of a value whose batch is first, too."""
        if x not in self.first:
            if x in self.parts:
                self.first[x] = self._joined(x, source)
            else:
                self.first[x] = self.reshaped(source, x, self.inner(x))
        return self.first[x]

    def new(
        self,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        source: ir.Node,
        sizes: Sizes,
        attributes: dict[str, Any] | None = None,
        dtype: ir.DataType | None = None,
        domain: str = "",
    ) -> ir.Value:
        """Make a node before `source`; the sizes of its output are those for one image."""
        node = new_node(
            op_type,
            inputs,
            source=source,
            dtype=dtype or source.outputs[0].dtype or ir.DataType.FLOAT,
            shape=self.shape_of(sizes),
            domain=domain,
            attributes=attributes,
        )
        node.name, node.outputs[0].name = self.names(source, op_type)
        self.graph.insert_before(source, node)
        return node.outputs[0]

    def shape_of(self, sizes: Sizes) -> ir.Shape:
        """The shape of a value whose batch is first, by its sizes for one image."""
        return ir.Shape([self._batch, *sizes])

    def names(self, source: ir.Node, op_type: str) -> tuple[str, str]:
        """A name for a node, and one for its output."""
        self._count += 1
        name = f"{source.name or source.outputs[0].name}/{op_type.lower()}_{self._count}"
        return name, f"{name}/output"

    def constant(self, source: ir.Node, numbers: Sequence[int]) -> ir.Value:
        """A list of sizes or axes."""
        return add_constant(
            self.graph, parameter_name(source, "axes"), np.array(numbers, np.int64)
        )

    def reshaped(self, source: ir.Node, x: ir.Value, sizes: Sizes) -> ir.Value:
        """A value with other sizes for one image, in the same order of elements."""
        before = x.producer()
        while before is not None and before.op_type == "Reshape" and before.meta.get(ROWS):
            x = operand(before, 0)
            before = x.producer()
        if x in self.places and self.places[x] == FRONT and self.sizes(x)[1:] == sizes:
            return x
        shape = self.constant(source, [-1, *sizes])
        y = self.new("Reshape", [x, shape], source, sizes, dtype=x.dtype)
        y.producer().meta[ROWS] = True  # type: ignore[union-attr]  # it has just been made
        return y

    def _joined(self, x: ir.Value, source: ir.Node) -> ir.Value:
        """The value of rule 1, from its parts."""
        inner = self.inner(x)
        rows = [
            self.new(
                "Unsqueeze",
                [part, self.constant(source, [1])],
                source,
                (1, *inner[1:]),
                dtype=x.dtype,
            )
            for part in self.parts[x]
        ]
        return self.new("Concat", rows, source, inner, {"axis": 1}, x.dtype)
