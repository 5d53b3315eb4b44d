"""The base class of the rewrites: a walk over an artifact that replaces bnnkit's operators.

A benchmark measures other engines on the operators that they run fastest, not on the function
bodies in the artifact. The other modules of this folder choose these operators. An operator that
they have no faster form for is replaced by its body.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, inliner, numpy_helper

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.bits import unpack_weight
from bnnkit.artifact.format.constants import DOMAIN, VERSION
from bnnkit.artifact.operators import OPERATORS
from bnnkit.artifact.operators.functions import function
from bnnkit.artifact.operators.operator import Operator
from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Kind = Literal["signs", "sum", "real"]

PREFIX = "rewrite."
_WINDOW = ("strides", "pads", "dilations", "group")


@dataclass(frozen=True)
class Translation:
    """How an operator of the domain `bnnkit` is rewritten.

    Attributes:
        method: The method of the rewrite that appends the nodes for one node of the artifact.
        kind: The kind of the output: signs, an integer sum, or real numbers.
    """

    method: Callable[[Any, onnx.NodeProto], None]
    kind: Kind


class Rewrite:
    """Builds the same network from other operators.

    Args:
        artifact: The artifact; of a stochastic one, the deterministic pass is rewritten.

    Attributes:
        translations: How operators are rewritten, by name without the domain; `Sign` is needed.
            Other operators are replaced by their bodies.
        domains: Operator sets beside the standard one that the rewrite needs, with versions.
        signs: Names of the artifact's values that are signs.
        sums: Names of the artifact's values that are integer sums.
    """

    translations: ClassVar[Mapping[str, Translation]]
    domains: ClassVar[Mapping[str, int]] = {}

    def __init__(self, artifact: Artifact) -> None:
        self._artifact = artifact.deterministic.model
        self._constants = dict(_constants(self._artifact.graph))
        self._new: dict[str, onnx.TensorProto] = {}
        self._nodes: list[onnx.NodeProto] = []
        self.signs: set[str] = set()
        self.sums: set[str] = set()

    def model(self) -> onnx.ModelProto:
        """Return the rewritten network, with the artifact's inputs and outputs.

        Raises:
            UnsupportedError: If a node cannot be rewritten.
        """
        source = self._artifact.graph
        for node in source.node:
            if node.domain == DOMAIN:
                self._binary(node)
            elif node.input and node.input[0] in self.signs:
                self.on_signs(node)
            else:
                self.copy(node)
        self._end(source)
        graph = helper.make_graph(self._nodes, source.name, source.input, source.output)
        used = {name for node in self._nodes for name in node.input}
        graph.initializer.extend(t for t in source.initializer if t.name in used)
        graph.initializer.extend(t for t in self._new.values() if t.name in used)
        opsets = [opset for opset in self._artifact.opset_import if opset.domain != DOMAIN]
        opsets += [helper.make_opsetid(name, version) for name, version in self.domains.items()]
        version = self._artifact.ir_version
        model = helper.make_model(graph, opset_imports=opsets, ir_version=version)
        return _with_inlined_bodies(model)

    def on_signs(self, node: onnx.NodeProto) -> None:
        """Append the nodes for a standard operator that reads signs."""
        raise NotImplementedError

    def real(self, name: str) -> str:
        """Return the name of the value as real numbers, with signs as -1.0 and +1.0."""
        raise NotImplementedError

    def add(
        self, operator: str, inputs: list[str], output: str, domain: str = "", **attributes: Any
    ) -> str:
        """Append an operator; return the name of its output."""
        name = f"{PREFIX}{len(self._nodes)}"
        node = helper.make_node(operator, inputs, [output], name, domain=domain, **attributes)
        self._nodes.append(node)
        return output

    def copy(self, node: onnx.NodeProto) -> onnx.NodeProto:
        """Append a copy of a node; the caller may modify it."""
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        self._nodes.append(copy)
        return copy

    def constant(self, name: str, array: Any, dtype: Any = np.float32) -> str:
        """Add a constant; return its name."""
        name = PREFIX + name
        self._new[name] = numpy_helper.from_array(np.asarray(array, dtype), name)
        return name

    def artifact_constant(self, name: str) -> Array:
        """Return a constant of the artifact."""
        return self._constants[name]

    def readers(self, name: str) -> list[onnx.NodeProto]:
        """Return the nodes of the artifact that read a value."""
        return [node for node in self._artifact.graph.node if name in node.input]

    def is_output(self, name: str) -> bool:
        """Return whether a value is an output of the artifact."""
        return any(value.name == name for value in self._artifact.graph.output)

    def binary_weights(self, node: onnx.NodeProto, place: int = 1) -> Array:
        """Unpack the weights of a node to -1 and +1, (O, I, KH, KW) or (O, I)."""
        shape = tuple(attributes(node)["weight_shape"])
        weight = unpack_weight(self.artifact_constant(node.input[place]), shape)
        return np.moveaxis(weight, -1, 1)

    def _binary(self, node: onnx.NodeProto) -> None:
        if node.op_type in self.translations:
            self._translate(node, self.translations[node.op_type])
        elif node.op_type in OPERATORS:
            self._keep_body(node, OPERATORS[node.op_type])
        else:
            raise UnsupportedError(
                f"node {node.name!r} (bnnkit.{node.op_type}) cannot be rewritten for another"
                f" engine: expected one of {', '.join(OPERATORS)}"
            )

    def _translate(self, node: onnx.NodeProto, translation: Translation) -> None:
        if translation.kind == "signs":
            self.signs.add(node.output[0])
        elif translation.kind == "sum":
            self.sums.add(node.output[0])
        translation.method(self, node)

    def _keep_body(self, node: onnx.NodeProto, operator: Operator) -> None:
        """Append a node that is not translated, between conversions to and from its own types.

        `model` replaces the node by the operator's body.
        """
        output = node.output[0]
        inputs = [self._in_artifact_type(name, output) for name in node.input]
        kept = self.copy(node)
        del kept.input[:]
        kept.input.extend(inputs)
        if operator.gives not in ("signs", "sums"):
            return
        kept.output[0] = f"{PREFIX}{output}.integer"
        real = output if operator.gives == "sums" else f"{PREFIX}{output}.number"
        self.add("Cast", [kept.output[0]], real, to=onnx.TensorProto.FLOAT)
        if operator.gives == "sums":
            self.sums.add(output)
        else:
            centred = self.add("Sub", [real, self.constant("one", 1)], f"{real}.centred")
            sign = helper.make_node("Sign", [centred], [output], node.name, domain=DOMAIN)
            self._translate(sign, self.translations["Sign"])

    def _in_artifact_type(self, name: str, reader: str) -> str:
        """Return the name of signs as the codes 0 and 2, of sums as int32, and of others as is."""
        if name not in self.signs | self.sums:
            return name
        number, target = self.real(name), f"{PREFIX}{reader}.{name}"
        if name in self.sums:
            return self.add("Cast", [number], target, to=onnx.TensorProto.INT32)
        codes = self.add("Add", [number, self.constant("one", 1)], f"{target}.codes")
        return self.add("Cast", [codes], target, to=onnx.TensorProto.UINT8)

    def _end(self, source: onnx.GraphProto) -> None:
        """Cast outputs that are signs or sums back to the artifact's integer type."""
        for value in source.output:
            if value.name not in self.signs | self.sums:
                continue
            number = self.real(value.name)
            if number == value.name:
                number = f"{PREFIX}{value.name}"
                for node in self._nodes:
                    _rename(node.input, value.name, number)
                    _rename(node.output, value.name, number)
            if value.name in self.signs:
                one = self.constant("one", 1)
                number = self.add("Add", [number, one], f"{PREFIX}{value.name}.plus_one")
            to = value.type.tensor_type.elem_type
            self.add("Cast", [number], value.name, to=to)


def _with_inlined_bodies(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace operators of the domain `bnnkit` by their bodies."""
    if all(node.domain != DOMAIN for node in model.graph.node):
        return model
    model.functions.extend(function(name) for name in OPERATORS)
    model.opset_import.append(helper.make_opsetid(DOMAIN, VERSION))
    inlined = inliner.inline_local_functions(model)
    opsets = [opset for opset in inlined.opset_import if opset.domain != DOMAIN]
    del inlined.opset_import[:]
    inlined.opset_import.extend(opsets)
    return inlined


def refused_signs(node: onnx.NodeProto) -> UnsupportedError:
    """Return the error for a standard operator that reads signs but cannot be rewritten."""
    return UnsupportedError(
        f"node {node.name!r} ({node.op_type}) takes signs and cannot be rewritten for another"
        " engine"
    )


def window(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the strides, pads, dilations and group of a convolution."""
    return {name: value for name, value in attributes(node).items() if name in _WINDOW}


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name."""
    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, Array]]:
    for tensor in graph.initializer:
        yield tensor.name, numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], numpy_helper.to_array(node.attribute[0].t)


def _rename(names: Any, old: str, new: str) -> None:
    for index, name in enumerate(names):
        if name == old:
            names[index] = new
