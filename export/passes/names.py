"""Names that a reader of the file can follow back to the torch modules.

1. The input and the outputs keep the names that they have, and the signs of a module bear the path
   of the module.
2. A node that holds weights, a threshold or a sign bears the path of its module; every other node
   that path and its operator, `features.1/Mul`.
3. Any other value is called after its node, `features.1/Mul/output`.
4. A layer of torch's own is called after the module that owns its weight: torch's exporter gives a
   convolution with a folded batch norm the path of the batch norm.
5. A name that is taken gets `#2`, `#3` and so on; a constant loses its `#2` where the first has
   gone.
"""

from collections.abc import Iterator
from dataclasses import replace as changed

import onnx_ir as ir

from bnnkit.export.functions import DOMAIN
from bnnkit.export.graph import module_path
from bnnkit.export.passes.signs import set_signs, signs_of


def name_all(graph: ir.Graph) -> None:
    """Run the pass."""
    values, used_nodes = _Names(), _Names()
    for value in (*graph.inputs, *graph.outputs):  # rule 1
        values.take(value.name or "")
    signs = [
        value
        for value in _outputs(graph)
        if signs_of(value) is not None and not value.is_graph_output()
    ]
    for value in signs:
        record = signs_of(value)
        assert record is not None
        value.name = values.free(record.name)
        set_signs(value, changed(record, name=value.name))
    _name_constants(graph, values)
    for node in graph:
        node.name = used_nodes.free(_node_name(node))
        for value in node.outputs:
            if signs_of(value) is None and not value.is_graph_output():
                value.name = values.free(f"{node.name}/output")  # rule 3


def _outputs(graph: ir.Graph) -> Iterator[ir.Value]:
    for node in graph:
        yield from node.outputs


def _name_constants(graph: ir.Graph, values: "_Names") -> None:
    constants = list(graph.initializers.values())
    numbered = [value for value in constants if "#" in (value.name or "")]
    for value in constants:
        if value not in numbered:
            values.take(value.name or "")
    for value in numbered:  # rule 5
        value.name = values.free((value.name or "").partition("#")[0])


def _node_name(node: ir.Node) -> str:
    path = module_path(node)
    if node.op_type in ("Conv", "Gemm", "MatMul", "ConvTranspose"):
        owner, _, parameter = (
            (node.inputs[1].name or "").rpartition(".") if node.inputs[1] else ("", "", "")
        )
        return owner if owner and parameter == "weight" else path or node.op_type  # rule 4
    return (
        path if path and node.domain == DOMAIN else f"{path}/{node.op_type}".lstrip("/")
    )  # rule 2


class _Names:
    """Names in use."""

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
