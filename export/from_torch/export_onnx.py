"""A trained torch model to a MODEL.onnx."""

from pathlib import Path
from typing import get_args

import onnx_ir as ir
from torch import Tensor, nn

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format import DOMAIN, Mode
from bnnkit.artifact.report import Report, report
from bnnkit.atomic import write_bytes
from bnnkit.errors import UsageError
from bnnkit.export.assemble import assemble
from bnnkit.export.from_torch.marked_graph import marked_graph
from bnnkit.export.graph import nodes
from bnnkit.export.metadata import Metadata
from bnnkit.export.passes.lower import lower
from bnnkit.export.passes.lower_signs import is_noisy
from bnnkit.export.passes.noise_model import NoiseModel, noises_of


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
        weight_draws: M draws of every noisy weight, which go into the file beside its
            maximum-probability value, in mode "samples"; 0 for none.
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
    noise_model = NoiseModel(noises=noises_of(model), weight_draws=weight_draws, seed=seed)
    marked = marked_graph(model, example)
    chosen = _chosen_mode(mode, marked.graph, weight_draws)
    lower(marked, noise_model if chosen == "samples" else None)
    return assemble(marked, metadata or Metadata(), chosen)


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
