"""Gives every node of a source file a module path.

1. A path that torch's exporter stored in the node's metadata stays.
2. A node name such as `/layer1/layer1.0/conv1/Conv`, from torch's older exporter, gives the path
   `layer1.0.conv1`. Suffixes of Brevitas (`act_quant/export_handler`) are removed.
3. Any other node gets the path of the owner of its weight, `features.2` for `features.2.weight`,
   or else its own name with dots for slashes.
"""

import re
from typing import Final

import onnx_ir as ir

from bnnkit.artifact.operators.facts import LAYERS
from bnnkit.export.ir.graph import array, module_path, produced_by, set_module_path

_BREVITAS: Final = re.compile(r"\.(act|weight|bias|input|output)_quant(\..*)?$")
_OWNED: Final = re.compile(r"^(?:.*::)?([\w.]+)\.weight$")


def set_module_paths(graph: ir.Graph) -> None:
    """Run the pass."""
    for node in graph:
        path = module_path(node) or _path(node)
        set_module_path(node, _BREVITAS.sub("", path))


def _path(node: ir.Node) -> str:
    name = node.name or ""
    if name.startswith("/"):  # rule 2
        return _joined(name.split("/")[1:-1]) or node.op_type
    return _owner(node) or name.replace("/", ".") or node.op_type


def _joined(parts: list[str]) -> str:
    """The path of nested scopes: `layer1`, `layer1.0`, `conv1` give `layer1.0.conv1`."""
    path: list[str] = []
    for part in parts:
        if path and part.startswith(f"{path[-1]}."):
            path.pop()
        path.append(part)
    return ".".join(path)


def _owner(node: ir.Node) -> str | None:
    """The module that owns the weight of a node, looking through a quantizer."""
    weight = node.inputs[1] if len(node.inputs) > 1 else None
    quantizer = None if weight is None else weight.producer()
    if quantizer is not None and quantizer.domain != "":
        weight = quantizer.inputs[0]
    if weight is None or array(weight) is None or produced_by(weight, "Constant"):
        return None
    owned = _OWNED.match(weight.name or "")
    return owned[1] if owned and node.op_type in {*LAYERS, "BatchNormalization"} else None
