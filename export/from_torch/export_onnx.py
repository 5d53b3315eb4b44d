"""Exports a trained torch model as an artifact, an ONNX file."""

from pathlib import Path
from typing import Any, get_args

import onnx_ir as ir
from torch import Tensor, nn

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.constants import DOMAIN, Mode
from bnnkit.artifact.format.sample import check_seed
from bnnkit.artifact.report import Report, report
from bnnkit.errors import UsageError
from bnnkit.export.assembly.assemble import assemble
from bnnkit.export.assembly.metadata import Metadata
from bnnkit.export.from_torch.calibrated import calibrated
from bnnkit.export.from_torch.compare_with_torch import check_accepted, compare_with_torch
from bnnkit.export.from_torch.export_warnings import check_computed, warn_of_lost_bits
from bnnkit.export.from_torch.marked_graph import check_example, marked_graph
from bnnkit.export.from_torch.plain_arguments import Example, plain_inputs, plain_model
from bnnkit.export.ir.graph import nodes
from bnnkit.export.passes.lower import lower
from bnnkit.export.passes.lower_signs import is_noisy
from bnnkit.export.passes.noise_model import NoiseModel, noises_of
from bnnkit.files.atomic import write_bytes
from bnnkit.files.kinds import check_suffix


def export_onnx(
    model: nn.Module,
    example: Example,
    path: Path | str,
    *,
    metadata: Metadata | None = None,
    mode: Mode | None = None,
    weight_draws: int = 0,
    seed: int = 0,
    calibrate: Example | None = None,
    compare: bool = True,
    runtime: bool = True,
) -> Report:
    """Write the evaluation of a model as an artifact (docs/artifact.md).

    Layers with binary weights (bnnkit's own, or binarized in place by `binarize_`) on signs become
    bit-packed operators. Batch norms between them and the next sign become integer thresholds.
    Everything else stays as torch's exporter translates it. The same model gives the same bytes.

    Args:
        model: Any torch model with tensors as inputs, on the CPU. It is exported in evaluation
            mode, and is not changed. Of a compiled, parallel or averaged model (`torch.compile`,
            `DataParallel`, `AveragedModel`) the network inside is exported.
        example: A batch of inputs, uint8 images or float32, shape (N, ...), as a tensor or an
            array; its values do not matter. For a model with several inputs: a tuple in the order
            of the arguments of its `forward`, or a dict by their names, which are the names of
            the inputs in the file. These may also be of bool, int32 or int64, such as masks. If
            `forward` takes one dict, the example is that dict. A dict or named tuple that the
            model returns names the outputs.
        path: The output file. It is replaced atomically.
        metadata: Optional entries of the file's metadata.
        mode: "samples" stores the noise of the signs, and the file runs deterministic or sampled.
            "deterministic" leaves the noise out (z = 0). None is "samples" if any sign has noise.
        weight_draws: The number M of draws of every noisy weight to store beside its
            maximum-probability value, in mode "samples"; 0 for none.
        seed: The seed of these draws and of the calibration, from 0 to 2^64 - 1.
        calibrate: Training inputs (N, ...), of which up to 2,500 are used. The batch norms of the
            file are re-estimated on them, for the weights and the noise of the file. It is needed
            if the weights had noise in training, as in `BinaryConv2d` by default: batch norms
            learned the statistics of drawn weights, while the file has the most probable ones.
        compare: Compare the file with torch before it is written, on the first input of the
            example and on a random one, without noise. False writes it unchecked.
        runtime: Refuse a network that bnnkit's runtime cannot run. False writes it for other
            engines, with a warning.

    Returns:
        A report: what is binary in the file, what is not and why, and the sizes. Warnings name
        signs that are the same for every input, and binary layers that the file computes in float.

    Raises:
        UsageError: The model or the example is not on the CPU, the example has another type, mode
            "samples" is given for a network without noise, inputs to calibrate with have another
            form than the example, a number is out of range, or the suffix of the file names
            another format.
        UnsupportedError: A part of the model cannot be exported, or the file would not compute
            what torch computes; the message names the part. Or bnnkit's runtime cannot run it; the
            message names all reasons.
        FileError: The file cannot be written.
    """
    check_suffix(path, "onnx")
    model = plain_model(model)
    inputs = plain_inputs(example, "an example", model)
    check_example(model, inputs)
    if not isinstance(inputs, Tensor):
        check_accepted(model, inputs)  # torch's exporter would report wrong names at length
    metadata = metadata or Metadata()
    options: dict[str, Any] = {"mode": mode, "weight_draws": weight_draws, "seed": seed}
    if calibrate is not None:
        check_seed(seed)
        model, metadata = calibrated(model, calibrate, inputs, metadata, **options)
    artifact = from_torch(model, inputs, metadata=metadata, **options)
    if compare:
        check_accepted(model, inputs)
    check_computed(artifact, only_warn=not runtime)
    if compare:
        compare_with_torch(artifact, model, inputs)
    content = artifact.to_bytes()
    write_bytes(Path(path), content)
    found = report(artifact, len(content))
    warn_of_lost_bits(found)
    return found


def from_torch(
    model: nn.Module,
    example: Example,
    *,
    metadata: Metadata | None = None,
    mode: Mode | None = None,
    weight_draws: int = 0,
    seed: int = 0,
) -> Artifact:
    """The artifact of a model, as `export_onnx` writes it."""
    model = plain_model(model)
    inputs = plain_inputs(example, "an example", model)
    noise_model = NoiseModel(noises=noises_of(model), weight_draws=weight_draws, seed=seed)
    marked = marked_graph(model, inputs)
    chosen = _chosen_mode(mode, marked.graph, weight_draws)
    lower(marked, noise_model if chosen == "samples" else None)
    return assemble(marked, metadata or Metadata(), chosen)


def _chosen_mode(mode: Mode | None, graph: ir.Graph, weight_draws: int) -> Mode:
    """The mode of deployment; None chooses it by the graph.

    Raises:
        UsageError: The mode is unknown, or does not fit the graph.
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
