"""The last step of every export: a lowered graph, its metadata and functions, as one file."""

from typing import Final

import onnx
import onnx_ir as ir
from onnx_ir.passes import common

import bnnkit
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.constants import DOMAIN, OPSET, VERSION, Mode
from bnnkit.artifact.operators import OPERATORS, functions
from bnnkit.export.assembly.metadata import Metadata, metadata_props

IR_VERSION: Final = 10
"""The version of ONNX's file format in which artifacts are written."""


def assemble(model: ir.Model, metadata: Metadata, mode: Mode) -> Artifact:
    """The artifact of a lowered model, with its metadata and the functions that it uses."""
    model.metadata_props.clear()
    model.metadata_props.update(metadata_props(model.graph, metadata, mode))
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "bnnkit", bnnkit.__version__
    model.graph.name = "bnnkit"
    common.ClearMetadataAndDocStringPass()(model)
    return Artifact(with_functions(model))


def with_functions(model: ir.Model) -> onnx.ModelProto:
    """The model with the functions of the `bnnkit` operators in it, and their operator sets."""
    used = {node.op_type for node in model.graph.all_nodes() if node.domain == DOMAIN}
    used |= {needed for name in used for needed in OPERATORS[name].needs}
    model.opset_imports.clear()
    model.opset_imports[""] = OPSET
    if used:
        model.opset_imports[DOMAIN] = VERSION
    proto = ir.to_proto(model)
    proto.functions.extend(functions.function(name) for name in functions.names() if name in used)
    return proto
