"""The check of a node of ONNX's own operators against ONNX's schema and `operators/facts.py`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Final

import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper, shape_inference
from onnx.checker import ValidationError
from onnx.shape_inference import InferenceError

from bnnkit.artifact.checks.operand_shapes import check_operand_shapes
from bnnkit.artifact.checks.values import MOST_KNOWN, Values
from bnnkit.artifact.operators.attribute_rule import attributes_of
from bnnkit.artifact.operators.facts import FACTS, POOLS
from bnnkit.artifact.operators.operand import ValueType, shape_text
from bnnkit.artifact.standard import SEVERAL_OUTPUTS
from bnnkit.errors import ArtifactError, UnsupportedError

Array = NDArray[Any]

ALL_OUTPUTS: Final = frozenset({"Split", *SEVERAL_OUTPUTS})
"""Operators of which bnnkit computes more than the first output."""
LIKE_THEIR_INPUT: Final = frozenset({"GroupNormalization"})
"""Operators whose output has the type of their input, which ONNX does not infer."""
_SCALARS: Final = {"Clip": (1, 2), "Pad": (2,)}
"""The inputs of operators that are one number: bounds, and the number to pad with."""
_KIND_OF_ERROR: Final = re.compile(r"^\[\w+\] ")
_MOST_NUMBERS: Final = 1 << 62
"""The largest number of elements of a shape; ONNX counts them in int64."""


def check_standard_operator(node: onnx.NodeProto, values: Values, opset: int) -> list[ValueType]:
    """Check a node and return the types of its outputs.

    Args:
        node: The node.
        values: The values before it.
        opset: The version of the standard operators.

    Raises:
        ArtifactError: If the node is not valid.
        UnsupportedError: If bnnkit does not compute a value of an attribute, or the shape of the
            output depends on numbers that are not known.
    """
    schema = _schema(node.op_type, opset)
    _check_attributes(node, schema)
    _check_counts(node, schema.onnx)
    if node.op_type == "Conv":
        _check_convolution(node, values)
    if node.op_type in POOLS:
        _check_pool(node, values)
    for place in _SCALARS.get(node.op_type, ()):
        _check_scalar(node, place, values)
    check_operand_shapes(node, values)
    return _inferred(node, schema, values)


def check_attributes(node: onnx.NodeProto, opset: int) -> None:
    """Check the attributes of a node alone, for parts that infer shapes in their own way.

    Raises:
        ArtifactError: If an attribute is unknown, missing, or out of range.
        UnsupportedError: If bnnkit does not compute a value of an attribute.
    """
    _check_attributes(node, _schema(node.op_type, opset))


@dataclass(frozen=True)
class _Schema:
    """ONNX's definition of an operator; its properties are slow, as each makes new objects.

    Attributes:
        onnx: The definition itself.
        kinds: The type of each attribute, such as "INTS".
        required: The attributes that every node has.
    """

    onnx: onnx.defs.OpSchema
    kinds: Mapping[str, str]
    required: tuple[str, ...]


@cache
def _schema(op_type: str, opset: int) -> _Schema:
    try:
        schema = onnx.defs.get_schema(op_type, opset, "")
    except onnx.defs.SchemaError as error:
        raise UnsupportedError(f"opset {opset} has no such operator") from error
    if schema.deprecated:
        raise UnsupportedError(f"it is deprecated in opset {opset}")
    attributes = schema.attributes
    kinds = {name: str(declared.type).rpartition(".")[2] for name, declared in attributes.items()}
    required = tuple(name for name, declared in attributes.items() if declared.required)
    return _Schema(schema, kinds, required)


def _check_attributes(node: onnx.NodeProto, schema: _Schema) -> None:
    attributes = attributes_of(node)
    types = {attribute.name: attribute.type for attribute in node.attribute}
    rules = FACTS[node.op_type].attributes if node.op_type in FACTS else {}
    for name, value in attributes.items():
        if name not in schema.kinds:
            raise ArtifactError(f"{node.op_type} has no attribute {name!r}")
        kind = onnx.AttributeProto.AttributeType.Name(types[name])
        expected = schema.kinds[name]
        if kind != expected:
            raise ArtifactError(f"expected the attribute {name!r} of type {expected}, got {kind}")
        if name in rules:
            rules[name].check(name, value)
    for name in schema.required:
        if name not in attributes:
            raise ArtifactError(f"expected the attribute {name!r}, it is missing")


def _check_counts(node: onnx.NodeProto, schema: onnx.defs.OpSchema) -> None:
    if not schema.min_input <= len(node.input) <= schema.max_input:
        raise ArtifactError(
            f"expected at least {schema.min_input} inputs, and at most"
            f" {schema.max_input}, got {len(node.input)}"
        )
    are_given = all(node.input[: schema.min_input]) and all(node.output[: schema.min_output])
    if not are_given or not any(node.output):
        raise ArtifactError("an input or output that it must have is missing")
    if not schema.min_output <= len(node.output) <= schema.max_output:
        raise ArtifactError(
            f"expected at most {schema.max_output} outputs, got {len(node.output)}"
        )


def _check_scalar(node: onnx.NodeProto, place: int, values: Values) -> None:
    """Check that an input is one number, which ONNX's shape inference does not."""
    if len(node.input) > place and node.input[place]:
        found = values.type_of(node.input[place])
        if found.size != 1:
            raise ArtifactError(f"expected one number as input {place}, got {found}")


def _check_convolution(node: onnx.NodeProto, values: Values) -> None:
    """Check what ONNX's shape inference does not."""
    x, w = (values.type_of(name).shape for name in node.input[:2])
    attributes = attributes_of(node)
    group = attributes.get("group", 1)
    if len(x) < 3 or len(w) != len(x):
        raise ArtifactError(
            f"expected an input and weights of as many axes, got {shape_text(x)} and {w}"
        )
    if x[1] != group * w[1] or w[0] % group:
        raise ArtifactError(
            f"expected weights for its {x[1]} inputs, got weights for {group * w[1]}, of the shape"
            f" {w} in {group} groups"
        )
    if list(attributes.get("kernel_shape", w[2:])) != list(w[2:]):
        raise ArtifactError(
            f"expected the kernel_shape of the weights, {list(w[2:])}, got"
            f" {attributes['kernel_shape']}"
        )
    if len(node.input) > 2 and node.input[2] and values.type_of(node.input[2]).shape != w[:1]:
        raise ArtifactError(
            f"expected a bias for each of {w[0]} channels, got the shape"
            f" {values.type_of(node.input[2]).shape}"
        )


def _check_pool(node: onnx.NodeProto, values: Values) -> None:
    """Check that a window fits into the padded input; ONNX's shape inference rounds up to one."""
    sizes, attributes = values.type_of(node.input[0]).shape[2:], attributes_of(node)
    kernel, count = attributes["kernel_shape"], len(sizes)
    dilations = attributes.get("dilations") or [1] * count
    pads = attributes.get("pads") or [0] * 2 * count
    if attributes.get("auto_pad") == b"VALID":
        pads = [0] * 2 * count
    if not len(kernel) == len(dilations) == count == len(pads) / 2:
        raise ArtifactError(f"expected windows along {count} axes, got {list(kernel)}")
    for i, size in enumerate(sizes):
        if dilations[i] * (kernel[i] - 1) + 1 > size + pads[i] + pads[count + i]:
            raise UnsupportedError("its window is larger than its input")


def _inferred(node: onnx.NodeProto, schema: _Schema, values: Values) -> list[ValueType]:
    """Return the types of the outputs that bnnkit computes, by ONNX's shape inference.

    These are all outputs of `ALL_OUTPUTS`, and the first of every other operator.
    """
    given = {name: values.type_of(name) for name in node.input if name}
    types = {name: _proto(found) for name, found in given.items()}
    known = {
        name: numpy_helper.from_array(values.known[name], name)
        for name in given
        if name in values.known and values.known[name].size <= MOST_KNOWN
    }
    try:
        found = shape_inference.infer_node_outputs(schema.onnx, node, types, known)
    except (InferenceError, ValidationError, RuntimeError, ValueError) as error:
        reason = _KIND_OF_ERROR.sub("", " ".join(str(error).split()))
        raise ArtifactError(f"it is not valid: {reason}") from error
    if node.op_type in LIKE_THEIR_INPUT:
        return [values.type_of(node.input[0])]
    names = node.output if node.op_type in ALL_OUTPUTS else node.output[:1]
    return [_checked(found.get(name), schema) for name in names if name]


@lru_cache(maxsize=1024)
def _proto(found: ValueType) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(found.element, found.shape)


def _checked(inferred: onnx.TypeProto | None, schema: _Schema) -> ValueType:
    """Return an inferred type, unless it is unknown or impossible."""
    tensor = inferred.tensor_type if inferred is not None else None
    if tensor is None or not tensor.HasField("shape"):
        raise UnsupportedError("the shape of its output depends on numbers of the images")
    found_type = ValueType(tensor.elem_type, _lengths(tensor.shape))
    if "kernel_shape" in schema.kinds and min(found_type.shape, default=1) < 1:
        raise UnsupportedError("its window is larger than its input")
    if min(found_type.shape, default=1) < 0 or found_type.size > _MOST_NUMBERS:
        shape = shape_text(found_type.shape)
        raise ArtifactError(f"its output would have the impossible shape {shape}")
    return found_type


def _lengths(shape: onnx.TensorShapeProto) -> tuple[int, ...]:
    if not all(axis.HasField("dim_value") for axis in shape.dim):
        raise UnsupportedError("the shape of its output depends on numbers of the images")
    return tuple(axis.dim_value for axis in shape.dim)
