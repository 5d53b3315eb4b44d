"""What is known of the values of a network before anything of it is computed."""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.operators.operand import FREE_BATCH, ValueType, element_name
from bnnkit.artifact.standard import STANDARD_OPERATORS, arguments
from bnnkit.errors import ArtifactError

Array = NDArray[Any]

MOST_KNOWN: Final = 1024
"""The largest size of a computed value whose numbers are followed, because shapes may need
them."""


class Values:
    """The values of a network, as far as its nodes were checked.

    Attributes:
        types: The type of each value, by name.
        stored: The constants of the file, by name.
        known: The numbers of values that do not depend on the images: those of the file, and
            computed ones of at most `MOST_KNOWN` elements, such as shapes.
        constants: The names of values that do not depend on the images.
        drawn: The names of stored draws of weights.
        largest_sums: K of docs/artifact.md for each channel of the sums of a layer, by name.
        batch: The size of the batch.
    """

    def __init__(self, artifact: Artifact) -> None:
        graph = artifact.graph
        self.batch = artifact.fixed_batch or FREE_BATCH
        self.stored: Mapping[str, Array] = graph.constants
        self.known: dict[str, Array] = dict(graph.constants)
        self.constants = set(graph.constants)
        self.drawn: set[str] = set()
        self.largest_sums: dict[str, NDArray[np.int64]] = {}
        self._of_images = set(graph.input_names)
        self.types = {name: _type_of(array) for name, array in graph.constants.items()}
        for one in graph.inputs:
            element = helper.np_dtype_to_tensor_dtype(one.dtype)
            self.types[one.name] = ValueType(element, (self.batch, *one.shape))

    def type_of(self, name: str) -> ValueType:
        """Return the type of a node's input.

        Raises:
            ArtifactError: If no node before it computes the value.
        """
        if name not in self.types:
            raise ArtifactError(f"expected a node before it that computes its input {name!r}")
        return self.types[name]

    def shape(self, value: str) -> tuple[int, ...]:
        """Return the shape of a value for one image."""
        found = self.type_of(value).shape
        return (1, *found[1:]) if found[:1] == (self.batch,) else found

    def numbers(self, value: str) -> int:
        """Return the number of elements of a value for one image."""
        found = self.type_of(value)
        is_free = self.batch == FREE_BATCH and found.size % FREE_BATCH == 0
        has_batch = is_free or found.shape[:1] == (self.batch,)
        return found.size // self.batch if has_batch else found.size

    def add(self, node: Node, types: list[ValueType]) -> None:
        """Add the outputs of a node.

        Raises:
            ArtifactError: If a value has the name already.
        """
        for name, found in zip(filter(None, node.outputs), types, strict=False):
            if name in self.types:
                raise ArtifactError(f"expected values with names of their own, got {name!r} twice")
            self.types[name] = found
            if all(source in self.constants for source in node.inputs if source):
                self.constants.add(name)

    def follow(self, node: Node) -> None:
        """Compute an output of few elements whose operands are known, such as a shape.

        Raises:
            ArtifactError: If it cannot be computed.
        """
        target = next(filter(None, node.outputs))
        if self.types[target].size > MOST_KNOWN:
            return
        function = STANDARD_OPERATORS.get(node.kind)
        if node.kind == "Shape":
            sizes = np.array(self.types[node.inputs[0]].shape, np.int64)
            part = slice(node.attributes.get("start", 0), node.attributes.get("end"))
            self.known[target] = sizes[part]
        elif function is not None and all(self._is_small(name) for name in node.inputs if name):
            operands = arguments([self.known.get(name) for name in node.inputs])
            try:
                with np.errstate(all="ignore"):
                    self.known[target] = np.asarray(function(node.attributes, *operands))
            except (ArithmeticError, LookupError, TypeError, ValueError) as error:
                raise ArtifactError(f"cannot be computed of constants: {error}") from error

    def depends_on_images(self, node: Node) -> bool:
        """Return whether a node computes with the numbers of the images, not with shapes alone.

        The nodes before it must have been asked for, in their order.
        """
        depends = node.kind != "Shape" and not self._of_images.isdisjoint(node.inputs)
        if depends:
            self._of_images.update(filter(None, node.outputs))
        return depends

    def _is_small(self, name: str) -> bool:
        return name in self.known and self.known[name].size <= MOST_KNOWN


def _type_of(array: Array) -> ValueType:
    return ValueType(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)


def stated_types(model: onnx.ModelProto) -> dict[str, onnx.TypeProto.Tensor]:
    """Return the types that a file states of computed values, by name."""
    return {
        value.name: value.type.tensor_type
        for value in (*model.graph.value_info, *model.graph.output)
        if value.type.HasField("tensor_type")
    }


def check_stated(name: str, found: ValueType, stated: onnx.TypeProto.Tensor, batch: int) -> None:
    """Check the type of a value against the one that the file states.

    Lengths that depend on a free batch are not compared.

    Raises:
        ArtifactError: If they differ.
    """
    lengths = [axis.dim_value if axis.HasField("dim_value") else None for axis in stated.shape.dim]
    is_free = batch == FREE_BATCH
    differs = stated.elem_type not in (0, found.element)
    if stated.HasField("shape"):
        differs |= len(lengths) != len(found.shape)
        for length, is_stated in zip(found.shape, lengths, strict=False):
            depends = is_free and length and length % FREE_BATCH == 0
            differs |= is_stated is not None and is_stated != length and not depends
    if differs:
        shape = ", ".join("?" if length is None else str(length) for length in lengths)
        element = element_name(stated.elem_type) if stated.elem_type else "any"
        raise ArtifactError(
            f"its output {name!r} is {found}, but the file states {element} ({shape})"
        )
