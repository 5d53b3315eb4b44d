"""Gives nodes and values names that lead back to the torch modules.

1. The signs of a module are named after the module, as comparisons with torch know them by that.
   The input is named `image` (uint8) or `input`; the output is named `scores`, several outputs
   `output_0` and so on. Several inputs, and outputs to which the network gives names, have these
   (`record_input_names`, `record_output_names`). An input that is an output keeps its name.
2. A node of the domain `bnnkit` has the path of its module as its name, except `WeightDraw`, which
   precedes the layer. Any other node is named by path and operator, `features.1/Mul`.
3. A layer of torch's own is named after the module that owns its weight, as torch's exporter gives
   a convolution with a folded batch norm the path of the batch norm.
4. Any other value is named after its node, `features.1/Mul/output`.
5. A name that is taken gets the suffix `#2`, `#3` and so on. A constant loses its suffix if the
   first constant of that name has been removed.
"""

from collections.abc import Sequence
from dataclasses import replace as changed
from typing import Final

import onnx_ir as ir

from bnnkit.artifact.format.constants import DOMAIN, SAMPLING_INPUTS
from bnnkit.artifact.operators.facts import LAYERS
from bnnkit.export.ir.graph import data_inputs, module_path
from bnnkit.export.passes.lower_signs import set_sign_record, sign_record

_INPUTS: Final = "bnnkit.inputs"
_OUTPUTS: Final = "bnnkit.outputs"
"""Keys of the names in what a graph holds for passes."""


def name_values(graph: ir.Graph) -> None:
    """Run the pass."""
    values, used_by_nodes = _Names(), _Names()
    for value in _sampling_inputs(graph):
        values.take(value.name or "")
    _name_signs(graph, values)
    _name_ends(graph, values)
    _name_constants(graph, values)
    for node in graph:
        node.name = used_by_nodes.free(_node_name(node))
        for value in node.outputs:
            if sign_record(value) is None and not value.is_graph_output():
                value.name = values.free(f"{node.name}/output")  # rule 4


def record_input_names(graph: ir.Graph, names: Sequence[str]) -> None:
    """Let the inputs have names of their own, in their order.

    One with the name of an input that chooses random numbers gets the suffix `#2`.
    """
    graph.meta[_INPUTS] = [f"{name}#2" if name in SAMPLING_INPUTS else name for name in names]
    for value, name in zip(graph.inputs, graph.meta[_INPUTS], strict=True):
        value.name = name


def record_output_names(graph: ir.Graph, names: Sequence[str]) -> None:
    """Let the outputs have names of their own, in their order."""
    graph.meta[_OUTPUTS] = list(names)


def _sampling_inputs(graph: ir.Graph) -> list[ir.Value]:
    return [value for value in graph.inputs if value.is_initializer()]


class _Names:
    """The names in use."""

    def __init__(self) -> None:
        self._used: set[str] = set()

    def take(self, name: str) -> None:
        self._used.add(name)

    def free(self, name: str) -> str:
        """Take `name`, or the first free one of `name#2`, `name#3` and so on (rule 5)."""
        candidate, number = name, 2
        while candidate in self._used:
            candidate, number = f"{name}#{number}", number + 1
        self.take(candidate)
        return candidate


def _name_ends(graph: ir.Graph, values: _Names) -> None:
    inputs = data_inputs(graph)
    is_image = inputs[0].dtype == ir.DataType.UINT8
    names = graph.meta.get(_INPUTS, ("image" if is_image else "input",))
    for value, name in zip(inputs, names, strict=True):
        value.name = values.free(name)
    outputs = [f"output_{index}" for index in range(len(graph.outputs))]
    names = graph.meta.get(_OUTPUTS, outputs if len(outputs) > 1 else ["scores"])
    for value, name in zip(graph.outputs, names, strict=True):
        if sign_record(value) is None and not value.is_graph_input():
            value.name = values.free(name)


def _name_signs(graph: ir.Graph, values: _Names) -> None:
    for value in [value for node in graph for value in node.outputs]:
        record = sign_record(value)
        if record is not None:  # rule 1
            value.name = values.free(record.name)
            set_sign_record(value, changed(record, name=value.name))


def _name_constants(graph: ir.Graph, values: _Names) -> None:
    constants = list(graph.initializers.values())
    numbered = [value for value in constants if "#" in (value.name or "")]
    for value in constants:
        if value not in numbered and not value.is_graph_input():
            values.take(value.name or "")
    names = [values.free((value.name or "").partition("#")[0]) for value in numbered]  # rule 5
    for index, value in enumerate(numbered):  # a name is free once all its holders have another
        value.name = f"#{index}"
    for value, name in zip(numbered, names, strict=True):
        value.name = name


def _node_name(node: ir.Node) -> str:
    path = module_path(node)
    if node.domain == "" and node.op_type in LAYERS and len(node.inputs) > 1:  # rule 3
        weight = node.inputs[1]
        owner, _, parameter = ((weight.name if weight else "") or "").rpartition(".")
        path = owner if owner and parameter == "weight" else path
        return path or node.op_type
    if node.domain == DOMAIN and path and node.op_type != "WeightDraw":
        return path
    return f"{path}/{node.op_type}".lstrip("/")  # rule 2
