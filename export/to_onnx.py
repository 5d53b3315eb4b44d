"""A trained torch model to a MODEL.onnx."""

from pathlib import Path

import onnx
import onnx_ir as ir
from onnx_ir.passes import common
from torch import Tensor, nn

import bnnkit
from bnnkit.atomic import write_bytes
from bnnkit.export import functions
from bnnkit.export.marked_graph import marked_graph
from bnnkit.export.metadata import Metadata, metadata_props
from bnnkit.export.passes import lower
from bnnkit.export.report import Report, report

IR_VERSION = 10


def export_onnx(
    model: nn.Module, example: Tensor, path: Path | str, *, metadata: Metadata | None = None
) -> Report:
    """Write the evaluation of a model as an artifact (docs/artifact.md).

    Layers with binary weights (bnnkit's own, or binarized in place by `binarize_`) on signs become
    bit-packed operators, batch norms between them and the next sign integer thresholds; everything
    else stays as torch's exporter translates it. The same model gives the same bytes.

    Args:
        model: Any torch model with one tensor input, on the CPU. It is evaluated as in eval mode,
            and not changed.
        example: A batch of inputs, uint8 images or float32, shape (N, ...); its values do not
            matter.
        path: The file, which is replaced as a whole or not at all.
        metadata: What the file shall say about itself.

    Returns:
        What is binary in the file, what is not and why, and the sizes.

    Raises:
        UsageError: The model or the example is not on the CPU, or the example is of another type.
        UnsupportedError: A part of the model cannot be exported; the message names it.
        FileError: The file cannot be written.
    """
    artifact = to_artifact(model, example, metadata=metadata)
    content = artifact.SerializeToString(deterministic=True)
    write_bytes(Path(path), content)
    return report(artifact, len(content))


def to_artifact(
    model: nn.Module, example: Tensor, *, metadata: Metadata | None = None
) -> onnx.ModelProto:
    """The artifact of a model, as `export_onnx` writes it."""
    marked = marked_graph(model, example)
    lower(marked.graph)
    marked.metadata_props.clear()
    marked.metadata_props.update(metadata_props(marked.graph, metadata or Metadata()))
    marked.ir_version = IR_VERSION
    marked.producer_name, marked.producer_version = "bnnkit", bnnkit.__version__
    marked.graph.name = "bnnkit"
    common.ClearMetadataAndDocStringPass()(marked)
    return with_functions(marked)


def with_functions(model: ir.Model) -> onnx.ModelProto:
    """The model, with the operator sets and the functions of bnnkit that it uses."""
    used = {node.op_type for node in model.graph.all_nodes() if node.domain == functions.DOMAIN}
    model.opset_imports.clear()
    model.opset_imports[""] = functions.OPSET
    if used:
        model.opset_imports[functions.DOMAIN] = functions.VERSION
    proto = ir.to_proto(model)
    proto.functions.extend(functions.function(name) for name in functions.names() if name in used)
    return proto
