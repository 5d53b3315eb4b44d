"""The check of a node of the domain bnnkit against its declaration in `operators/`."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bnnkit.artifact.checks.values import Values
from bnnkit.artifact.operators.attribute_rule import Attributes, attributes_of
from bnnkit.artifact.operators.operand import Sizes, ValueType, bind_shape
from bnnkit.artifact.operators.operator import Operator
from bnnkit.artifact.operators.weight_draw import WEIGHT_DRAW
from bnnkit.errors import ArtifactError

_LARGEST_SUM = 2**24 - 1


def check_own_operator(
    operator: Operator, node: onnx.NodeProto, values: Values
) -> list[ValueType]:
    """Check a node and return the types of its outputs.

    Raises:
        ArtifactError: If the node differs from the declaration of its operator.
    """
    attributes = _checked_attributes(operator, node)
    if len(node.input) != len(operator.inputs) or len(node.output) != len(operator.outputs):
        raise ArtifactError(
            f"expected {len(operator.inputs)} inputs ({', '.join(operator.inputs)}) and"
            f" {len(operator.outputs)} outputs, got {len(node.input)} and {len(node.output)}"
        )
    sizes = Sizes()
    for name, rule in operator.attributes.items():
        if rule.axes:
            bind_shape(name, rule.axes, tuple(attributes[name]), sizes)
    for name, source in zip(operator.inputs, node.input, strict=True):
        operand = operator.inputs[name]
        operand.bind(f"its input {name}", values.type_of(source), sizes)
        if operand.is_constant and not _is_stored(source, values):
            raise ArtifactError(
                f"expected a constant of the file as its input {name}, {source!r} is computed:"
                " export the file again"
            )
    operator.sizes(sizes, attributes)
    _check_sums(operator, node, values, sizes, attributes)
    if operator is WEIGHT_DRAW:
        values.drawn.update(node.output)
    return [output.type_for(sizes) for output in operator.outputs.values()]


def _is_stored(source: str, values: Values) -> bool:
    """Whether an input is a constant of the file, or one of its draws."""
    return source in values.stored or source in values.drawn


def _checked_attributes(operator: Operator, node: onnx.NodeProto) -> dict[str, Any]:
    attributes = attributes_of(node)
    kinds = {a.name: onnx.AttributeProto.AttributeType.Name(a.type) for a in node.attribute}
    for name in attributes:
        if name not in operator.attributes:
            raise ArtifactError(f"{operator.name} has no attribute {name!r}: export it again")
    for name, rule in operator.attributes.items():
        if kinds.get(name) != rule.kind:
            found = f"got {kinds[name]}" if name in kinds else "it is missing"
            raise ArtifactError(
                f"expected the attribute {name!r} of type {rule.kind}, {found}: export it again"
            )
        rule.check(name, attributes[name])
    return attributes


def _check_sums(
    operator: Operator,
    node: onnx.NodeProto,
    values: Values,
    sizes: Sizes,
    attributes: Attributes,
) -> None:
    """Check that sums are exact and that thresholds are from -K to K + 1."""
    constants = {
        name: values.stored[source]
        for name, source in zip(operator.inputs, node.input, strict=True)
        if source in values.stored
    }
    largest = values.largest_sums.get(node.input[0])
    if operator.largest_sums is not None:
        largest = operator.largest_sums(sizes, constants, attributes)
        if largest.max() > _LARGEST_SUM:
            raise ArtifactError(f"expected sums below 2^24, an image can give {largest.max()}")
        values.largest_sums[node.output[0]] = largest
    if operator.gives == "signs" and operator.takes in ("signs", "sums") and largest is not None:
        _check_thresholds(constants["threshold"].reshape(-1), largest)


def _check_thresholds(thresholds: NDArray[np.int32], largest: NDArray[np.int64]) -> None:
    outside = (thresholds < -largest) | (thresholds > largest + 1)
    if outside.any():
        channel = int(np.argmax(outside))
        raise ArtifactError(
            f"expected thresholds of -K to K + 1 with K = {largest[channel]}, the largest sum, got"
            f" {thresholds[channel]} for channel {channel}"
        )
