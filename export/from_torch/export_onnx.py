"""A trained torch model to a MODEL.onnx."""

from pathlib import Path
from typing import get_args

import onnx
import onnx_ir as ir
from onnx_ir.passes import common
from torch import Tensor, nn

import bnnkit
from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format import DOMAIN, OPSET, VERSION, Mode
from bnnkit.artifact.operators import OPERATORS, functions
from bnnkit.artifact.report import Report, report
from bnnkit.atomic import write_bytes
from bnnkit.errors import UsageError
from bnnkit.export.from_torch.marked_graph import marked_graph
from bnnkit.export.graph import nodes
from bnnkit.export.metadata import Metadata, metadata_props
from bnnkit.export.passes import lower
from bnnkit.export.passes.lower_signs import is_noisy
from bnnkit.export.passes.noise_model import NoiseModel, noises_of

IR_VERSION = 10


def export_onnx(
    model: nn.Module,
    example: Tensor,
    path: Path | str,
    *,
    metadata: Metadata | None = None,
    mode: Mode | None = None,
    weight_draws: int = 0,
    seed: int = 0,
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
        mode: "samples": the noise of the signs goes into the file, which runs deterministic or
            sampled; "deterministic": z = 0. None: "samples" where a sign has a noise.
        weight_draws: M draws of every noisy weight, which go into the file beside its likelier
            value, in mode "samples"; 0 for none.
        seed: Of these draws, from 0 to 2^64 - 1.

    Returns:
        What is binary in the file, what is not and why, and the sizes.

    Raises:
        UsageError: The model or the example is not on the CPU, or the example is of another type;
            samples are asked of a network without noise; or a number is out of its range.
        UnsupportedError: A part of the model cannot be exported; the message names it.
        FileError: The file cannot be written.
    """
    artifact = from_torch(
        model, example, metadata=metadata, mode=mode, weight_draws=weight_draws, seed=seed
    )
    content = artifact.to_bytes()
    write_bytes(Path(path), content)
    return report(artifact, len(content))


def from_torch(
    model: nn.Module,
    example: Tensor,
    *,
    metadata: Metadata | None = None,
    mode: Mode | None = None,
    weight_draws: int = 0,
    seed: int = 0,
) -> Artifact:
    """The artifact of a model, as `export_onnx` writes it."""
    stochastic = NoiseModel(noises=noises_of(model), weight_draws=weight_draws, seed=seed)
    marked = marked_graph(model, example)
    chosen = _chosen_mode(mode, marked.graph, weight_draws)
    lower(marked.graph, stochastic if chosen == "samples" else None)
    return sealed(marked, metadata or Metadata(), chosen)


def sealed(model: ir.Model, metadata: Metadata, mode: Mode) -> Artifact:
    """The artifact of a lowered model: with what it says of itself, and its functions."""
    model.metadata_props.clear()
    model.metadata_props.update(metadata_props(model.graph, metadata, mode))
    model.ir_version = IR_VERSION
    model.producer_name, model.producer_version = "bnnkit", bnnkit.__version__
    model.graph.name = "bnnkit"
    common.ClearMetadataAndDocStringPass()(model)
    return Artifact(with_functions(model))


def _chosen_mode(mode: Mode | None, graph: ir.Graph, weight_draws: int) -> Mode:
    """The mode of deployment; None leaves it to the graph.

    Raises:
        UsageError: The mode is unknown, or cannot be.
    """
    if mode not in (None, *get_args(Mode)):
        raise UsageError(f"expected a mode out of {', '.join(get_args(Mode))}, got {mode!r}")
    has_noise = any(is_noisy(mark) for mark in nodes(graph, "Sign", domain=DOMAIN))
    if mode == "samples" and not has_noise:
        raise UsageError(
            "expected a network with noisy signs for mode samples, got none; export it as"
            " deterministic"
        )
    chosen = mode or ("samples" if has_noise else "deterministic")
    if weight_draws and chosen != "samples":
        raise UsageError(
            "expected mode samples for draws of the weights, got a deterministic export; ask for"
            " 0 draws"
        )
    return chosen


def with_functions(model: ir.Model) -> onnx.ModelProto:
    """The model, with the operator sets and the functions of bnnkit that it uses."""
    used = {node.op_type for node in model.graph.all_nodes() if node.domain == DOMAIN}
    used |= {needed for name in used for needed in OPERATORS[name].needs}
    model.opset_imports.clear()
    model.opset_imports[""] = OPSET
    if used:
        model.opset_imports[DOMAIN] = VERSION
    proto = ir.to_proto(model)
    proto.functions.extend(functions.function(name) for name in functions.names() if name in used)
    return proto
