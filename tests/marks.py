"""The marks that the layers of bnnkit leave in a graph of torch's exporter."""

from ast import literal_eval
from typing import Any, NamedTuple

from torch import Tensor, nn

from bnnkit.export.from_torch.marked_graph import marked_graph


class Mark(NamedTuple):
    operator: str
    scope: str
    inputs: tuple[str, ...]
    attributes: dict[str, Any]
    shape: tuple[Any, ...]


def exported_marks(model: nn.Module, example: Tensor) -> list[Mark]:
    """The nodes of the domain bnnkit, in order; the scope is the path of the module."""
    return [
        Mark(
            node.op_type,
            literal_eval(node.metadata_props["pkg.torch.onnx.name_scopes"])[-2],
            tuple(value.name or "" for value in node.inputs if value is not None),
            {name: attribute.value for name, attribute in node.attributes.items()},
            tuple(node.outputs[0].shape or ()),
        )
        for node in marked_graph(model, example).graph
        if node.domain == "bnnkit"
    ]
