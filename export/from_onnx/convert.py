"""Converts another tool's ONNX file of a binarized network to an artifact."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx
import onnx_ir as ir
from onnx_ir.passes import PassBase

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.budget import Budget, onnx_budget
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.report import Report, report
from bnnkit.border import border
from bnnkit.errors import FileError, UnsupportedError
from bnnkit.export.assembly.assemble import assemble
from bnnkit.export.assembly.metadata import Metadata
from bnnkit.export.from_onnx.auto_pad import explicit_pads
from bnnkit.export.from_onnx.batch_constants import BatchConstants, check_batch_constants
from bnnkit.export.from_onnx.broadcast_rows import broadcast_rows
from bnnkit.export.from_onnx.differences import Differences
from bnnkit.export.from_onnx.fold_constants import fold_constants
from bnnkit.export.from_onnx.free_batch_axis import free_batch
from bnnkit.export.from_onnx.inline_branches import inline_branches
from bnnkit.export.from_onnx.mark_levels import mark_levels
from bnnkit.export.from_onnx.mark_signs import mark_signs
from bnnkit.export.from_onnx.mark_weights import mark_weights
from bnnkit.export.from_onnx.mask_signs import mask_signs
from bnnkit.export.from_onnx.masked_assignments import (
    lower_constant_assignments,
    lower_masked_assignments,
)
from bnnkit.export.from_onnx.module_paths import set_module_paths
from bnnkit.export.from_onnx.move_scales import move_scales
from bnnkit.export.from_onnx.move_shifts import move_shifts
from bnnkit.export.from_onnx.narrow_constants import narrow_constants
from bnnkit.export.from_onnx.node_names import named
from bnnkit.export.from_onnx.other_shapes import record_other_shapes
from bnnkit.export.from_onnx.prevent_fusion import prevent_fusion
from bnnkit.export.from_onnx.qonnx_quantizers import lower_quantizers
from bnnkit.export.from_onnx.quantized_layers import lower_quantized_layers
from bnnkit.export.from_onnx.read_source import (
    batch_of,
    infer_shapes,
    prepare_source,
    read_source,
)
from bnnkit.export.from_onnx.rounding_ties import rounding_ties
from bnnkit.export.from_onnx.sign_of_zero import remapped_signs
from bnnkit.export.from_onnx.split_batch_norms import check_inference, split_batch_norms
from bnnkit.export.from_onnx.value_sizes import check_value_sizes, numbers_of
from bnnkit.export.from_onnx.zero_states import leave_out_zero_states
from bnnkit.export.ir.graph import nodes
from bnnkit.export.passes.batch_first import batch_first
from bnnkit.export.passes.gather_pixels import gather_pixels
from bnnkit.export.passes.graph_pass import graph_pass, model_pass, run_pass, run_passes
from bnnkit.export.passes.layers_as_maps import layers_as_maps
from bnnkit.export.passes.lower import check_operators, layer_passes, threshold_passes
from bnnkit.export.passes.name_values import record_input_names, record_output_names
from bnnkit.files.atomic import write_bytes
from bnnkit.files.kinds import check_suffix


@dataclass(frozen=True)
class Conversion(Differences):
    """The result of a conversion: reports on the artifact, and its differences from the source.

    Attributes:
        artifact: The report on the artifact: what is binary in it, what is not and why.
        standard_operators: The number of nodes in the artifact by standard ONNX operator.
        source_bytes: The size of the source with all its weights, in bytes.
    """

    artifact: Report
    standard_operators: dict[str, int]
    source_bytes: int


def convert_onnx(source: Path | str, output: Path | str) -> Conversion:
    """Write another tool's binarized network as an artifact (docs/artifact.md).

    Signs and binary weights are recognised in QONNX (`BipolarQuant`, `Quant`) and plain graphs,
    in whatever operators they are written. Everything else stays as it is, in float32. The
    artifact computes what ONNX Runtime computes for the source, with the same rounding, except
    that a binary layer with a scale is scaled once, after its integer sum. The result lists where
    rounding of the source is lost by this, or by removing a straight-through estimator.

    Args:
        source: An ONNX file whose input is a batch of float32 or uint8. It may have several
            inputs with the same batch, also of bool, int32 or int64, such as masks. Several
            inputs and several outputs keep their names.
        output: The output file. It is replaced atomically.

    Raises:
        FileError: The source cannot be read, or the output cannot be written.
        UsageError: The source is already an artifact, or the suffix of the output names another
            format.
        UnsupportedError: Nothing in the network is binary, or a part of it cannot be converted;
            the message names the part.
    """
    with border(FileError, "converting the file"):
        return _converted(Path(source), Path(output))


def _converted(source: Path, output: Path) -> Conversion:
    check_suffix(output, "onnx")
    model = read_source(source)
    artifact, differences = from_onnx(model)
    content = artifact.to_bytes()
    write_bytes(output, content)
    return Conversion(
        artifact=report(artifact, len(content)),
        **vars(differences),
        standard_operators=dict(
            sorted(Counter(n.op_type for n in artifact.model.graph.node if n.domain == "").items())
        ),
        source_bytes=model.ByteSize(),
    )


def from_onnx(source: onnx.ModelProto) -> tuple[Artifact, Differences]:
    """The artifact of another tool's network, and its differences from the source.

    Raises:
        UsageError: As `convert_onnx`.
        UnsupportedError: As `convert_onnx`.
    """
    model = _plain(source)
    _keep_names(model.graph, source.graph)
    run_pass(model, explicit_pads)
    run_pass(model, split_batch_norms)
    rounded_levels = run_pass(model, mark_levels)
    signs = run_pass(model, mark_signs)
    run_pass(model, layers_as_maps)
    weights = run_pass(model, mark_weights)
    run_pass(model, move_shifts)
    run_pass(model, move_scales)
    run_pass(model, mask_signs)
    run_pass(model, _check_binary)
    rounded_signs = (*rounded_levels, *signs.rounded)
    is_rounded = any(part.deviation > 0 for part in (*rounded_signs, *weights.rounded))
    run_passes(model, *layer_passes())
    remapped = run_pass(model, remapped_signs, signs.remapped)
    undecided = run_pass(model, rounding_ties, is_rounded=is_rounded)
    run_passes(model, *threshold_passes(), graph_pass(prevent_fusion), graph_pass(check_operators))
    differences = Differences(
        remapped=remapped,
        constant_zeros=signs.constant_zeros,
        ties=undecided,
        rounded_signs=rounded_signs,
        rounded_weights=weights.rounded,
        weights_with_zeros=weights.with_zeros,
    )
    return assemble(model, Metadata(), "deterministic"), differences


def _keep_names(graph: ir.Graph, source: onnx.GraphProto) -> None:
    """Keep the names of several inputs and outputs, by which they are told apart."""
    if len(graph.inputs) > 1:
        record_input_names(graph, [str(value.name) for value in graph.inputs])
    if len(graph.outputs) > 1:
        record_output_names(graph, [value.name for value in source.output])


def _plain(source: onnx.ModelProto) -> ir.Model:
    """The network in standard operators, with constants folded and a free batch axis."""
    model = prepare_source(source)
    run_passes(
        model,
        graph_pass(check_inference),
        graph_pass(set_module_paths),
        graph_pass(lower_quantizers),
        graph_pass(lower_quantized_layers),
        graph_pass(lower_masked_assignments),
    )
    batch = batch_of(model)
    numbers = sum(numbers_of(value, batch.size) for value in model.graph.inputs)
    budget = onnx_budget(source, numbers)
    shapes = model_pass(infer_shapes, batch=batch.size)
    model = _without_computed_shapes(model, shapes, batch, budget)
    # Computed shapes of `Reshape` are constants when the batch axis is freed.
    free = model_pass(free_batch, batch=batch)
    return run_passes(model, graph_pass(narrow_constants), shapes, free)


def _without_computed_shapes(
    model: ir.Model, shapes: PassBase, batch: BatchConstants, budget: Budget
) -> ir.Model:
    """Infer shapes and fold constants until nothing is left that depends on shapes alone."""
    is_done = False
    while not is_done:
        model = run_passes(model, shapes)
        before = len(model.graph)
        run_pass(model, check_value_sizes, batch.size, budget)
        record_other_shapes(model, batch)
        has_shapes = run_pass(model, fold_constants, batch, budget)
        has_branches = run_pass(model, inline_branches, batch)
        # A folded constant can be what decides the next shape, such as the pads of a `Pad`.
        is_done = not has_branches and not (has_shapes and len(model.graph) < before)
    model = run_passes(model, shapes)  # the last constants may be sizes
    run_pass(model, lower_constant_assignments, batch)
    run_pass(model, leave_out_zero_states)
    run_pass(model, broadcast_rows, batch)
    run_pass(model, batch_first, batch.size, batch.axis_of_batch)
    run_pass(model, gather_pixels)
    run_pass(model, check_batch_constants, batch)
    return run_passes(model, shapes)


def _check_binary(graph: ir.Graph) -> None:
    if any(True for _ in nodes(graph, "Sign", "Quantize", "BinaryWeight", domain=DOMAIN)):
        return
    message = (
        "expected a binarized network, got one without signs and without weights that are +-1 up"
        " to a scale for each output channel"
    )
    others = ((node, value.dtype) for node in graph for value in node.outputs)
    other = next(((node, dtype) for node, dtype in others if dtype in _OTHER_REALS), None)
    if other is not None:
        message += f" in float32; {named(other[0])} computes in {other[1]}: export it in float32"
    raise UnsupportedError(message)


_OTHER_REALS: Final = (ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE)
