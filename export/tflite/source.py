"""An artifact as the exporter sees it: nodes in order, constants as arrays, readers of values."""

from dataclasses import dataclass, field
from math import prod
from typing import Any

import onnx
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.budget import Budget, onnx_budget
from bnnkit.artifact.checks.standard_operator import check_attributes
from bnnkit.artifact.fold_node import fold_node
from bnnkit.artifact.format.graph import opset_of
from bnnkit.artifact.format.input_batch import only_input
from bnnkit.artifact.format.tensors import is_external, tensors_of
from bnnkit.artifact.operators import operator_of, operator_of_kind
from bnnkit.artifact.operators.facts import fact_of
from bnnkit.errors import BnnkitError, UnsupportedError

Array = NDArray[Any]


@dataclass(frozen=True, kw_only=True)
class Node:
    """One operator.

    Attributes:
        kind: Its type, with the domain if it is not ONNX's own: "Conv", "bnnkit.Sign".
        name: For messages.
        inputs: Names of values; empty for an input that is left out.
        output: Name of its value.
        attributes: By name. A Split has a node for each output, with the additional attributes
            `part` (index of the output) and `n_parts` (their number).
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    output: str
    attributes: dict[str, Any]


@dataclass
class Source:
    """A graph in which constants are already computed.

    Attributes:
        input: Name of the image.
        input_type: ONNX's number of its element type.
        input_shape: Without the batch.
        outputs: Names of the outputs.
        budget: Is charged for constants before they are computed.
        nodes: In the order of execution, without constant ones.
        constants: By name.
    """

    input: str
    input_type: int
    input_shape: tuple[int, ...]
    outputs: tuple[str, ...]
    budget: Budget
    nodes: list[Node] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def sole_reader(self, name: str) -> Node | None:
        """The only reader of a value; None if there are several, or it is an output."""
        readers = [node for node in self.nodes if name in node.inputs]
        return readers[0] if len(readers) == 1 and name not in self.outputs else None

    def reaches_sign(self, name: str) -> bool:
        """Whether a later sign depends on a value."""
        reached = {name}
        for node in self.nodes:
            if reached.intersection(node.inputs):
                operator = operator_of_kind(node.kind)
                if operator is not None and operator.gives == "signs":
                    return True
                reached.add(node.output)
        return False


def read(artifact: Artifact) -> Source:
    """Read an artifact.

    Raises:
        UnsupportedError: There is not exactly one input, or a size other than the batch is free;
            numbers are in other files; an attribute has a value that bnnkit does not compute.
        ArtifactError: Computed constants are too large for the file.
    """
    graph = artifact.model.graph
    if any(is_external(tensor) for tensor in tensors_of(artifact.model)):
        raise UnsupportedError("expected a model with its weights, got one that names other files")
    constants = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    only_input([value.name for value in inputs], "the export to TFLite")
    tensor = inputs[0].type.tensor_type
    shape = tuple(axis.dim_value for axis in tensor.shape.dim)[1:]
    if 0 in shape:
        raise UnsupportedError(
            f"expected only the batch of {inputs[0].name!r} to be free, got the shape {shape}"
        )
    outputs = tuple(value.name for value in graph.output)
    budget = onnx_budget(artifact.model, prod(shape))
    source = Source(
        inputs[0].name, tensor.elem_type, shape, outputs, budget=budget, constants=constants
    )
    opset = opset_of(artifact.model)
    for proto in graph.node:
        _check(proto, opset)
        _take(source, proto)
    return source


def _check(proto: onnx.NodeProto, opset: int) -> None:
    """Check the attributes of a standard operator that bnnkit knows."""
    if fact_of(proto) is None:
        return
    try:
        check_attributes(proto, opset)
    except BnnkitError as error:
        name = proto.name or proto.output[0]
        raise UnsupportedError(f"{name} ({proto.op_type}): {error}") from error


def _take(source: Source, proto: onnx.NodeProto) -> None:
    inputs = [name for name in proto.input if name]
    if all(name in source.constants for name in inputs):
        source.constants |= _computed(source, proto)
        return
    domain = f"{proto.domain}." if proto.domain not in ("", "ai.onnx") else ""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
    name = proto.name or proto.output[0]
    kind = domain + proto.op_type
    if kind != "Split" and sum(bool(output) for output in proto.output) != 1:
        found = sum(bool(output) for output in proto.output)
        raise UnsupportedError(f"{name} ({kind}): expected one output, got {found}")
    for part, output in enumerate(proto.output):
        if kind == "Split":
            attributes = {**attributes, "part": part, "n_parts": len(proto.output)}
        node = Node(
            kind=kind, name=name, inputs=tuple(proto.input), output=output, attributes=attributes
        )
        if output:
            source.nodes.append(node)


def _computed(source: Source, proto: onnx.NodeProto) -> dict[str, Array]:
    """The outputs of a node with constant inputs, by name."""
    operator = operator_of(proto)
    if operator is None:
        results = _folded(source, proto)
    else:
        attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
        inputs = (source.constants[name] for name in proto.input)
        results = list(operator.reference(*inputs, **attributes))
    return dict(zip(filter(None, proto.output), results, strict=True))


def _folded(source: Source, proto: onnx.NodeProto) -> list[Array]:
    """The outputs of a standard node with constant inputs.

    Raises:
        UnsupportedError: ONNX's reference cannot compute it.
        ArtifactError: They are too large for the file.
    """
    try:
        return fold_node(proto, source.constants, source.budget)
    except BnnkitError:
        raise
    except Exception as error:  # the reference's errors have no common class
        name = proto.name or proto.output[0]
        raise UnsupportedError(
            f"{name} ({proto.op_type}): expected constants that it is defined for, got {error}"
        ) from error
