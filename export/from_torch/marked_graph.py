"""Translates a torch model with torch's own exporter; marks show its binary parts.

bnnkit's modules emit marks, operators of the domain `bnnkit`, during the export. Torch
translates everything else.
"""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Final

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn

from bnnkit.artifact.format.constants import DOMAIN, OPSET
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.export.from_torch.complete_shapes import complete_shapes
from bnnkit.export.from_torch.translations import TRANSLATIONS
from bnnkit.export.ir.graph import nodes
from bnnkit.nn.evaluating import evaluating
from bnnkit.nn.latent_weights import deployed_latents
from bnnkit.nn.sampling import numbering

BATCH: Final = "N"
"""The name of the free first axis."""


def marked_graph(model: nn.Module, example: Tensor) -> ir.Model:
    """Translate the evaluation of a model to ONNX.

    Args:
        model: Any torch model with one tensor input, on the CPU. It is not changed.
        example: A batch of inputs, uint8 or float32, shape (N, ...); its values do not matter.

    Raises:
        UsageError: The model or the example is not on the CPU, or the example has another type
            or shape.
        UnsupportedError: Torch cannot translate the model, or the batch axis does not stay free.
    """
    _check(model, example)
    # Torch would treat a batch axis of size 1 as fixed.
    pair = torch.zeros((2, *example.shape[1:]), dtype=example.dtype)
    with evaluating(model), deployed_latents(model), numbering(model), _quiet():
        marked = _translated(model, pair)
        _copy_latents(marked.graph)
    _check_batch_axis(marked.graph)
    complete_shapes(marked, BATCH)
    return marked


def _check(model: nn.Module, example: Tensor) -> None:
    if example.dtype not in (torch.uint8, torch.float32) or example.dim() < 2:
        raise UsageError(
            f"expected an example batch of uint8 or float32, shape (N, ...), got {example.dtype} "
            f"of shape {tuple(example.shape)}; images are uint8, other inputs .float() or"
            " .astype(np.float32)"
        )
    devices = {str(t.device) for t in (example, *model.parameters(), *model.buffers())} - {"cpu"}
    if devices:
        found = ", ".join(sorted(devices))
        raise UsageError(f"expected a model and an example on the CPU, got {found}; call .cpu()")


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the exporter's warnings, logs and output; its exceptions say what went wrong."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _translated(model: nn.Module, example: Tensor) -> ir.Model:
    try:
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            optimize=True,
            verbose=False,
            opset_version=OPSET,
            dynamic_shapes=({0: torch.export.Dim(BATCH)},),
            custom_translation_table=TRANSLATIONS,
        )
    except torch.onnx.OnnxExporterError as error:
        raise UnsupportedError(f"torch cannot export this model: {_reason(error)}") from error
    if program is None or program.model.opset_imports.get("") != OPSET:
        raise UnsupportedError(
            f"expected operator set {OPSET} from torch's exporter; upgrade torch and onnxscript"
        )
    return program.model


def _copy_latents(graph: ir.Graph) -> None:
    """Copy the deployed latent weights, which the graph shares with the model until then."""
    for mark in nodes(graph, "BinaryWeight", domain=DOMAIN):
        latent = mark.inputs[0]
        if latent is not None and latent.const_value is not None:
            content = np.array(latent.const_value.numpy())
            latent.const_value = ir.Tensor(content, name=latent.name)


def _reason(error: BaseException) -> str:
    """The root cause from the exporter's long error, and the line in the model's code."""
    root = error
    while root.__cause__ is not None:
        root = root.__cause__
    text = str(root)
    missing = re.search(r"No ONNX function found for <OpOverload\(op='([^']+)'", text)
    reason = text.strip().split("\n")[0]
    if missing:
        reason = f"ONNX has no counterpart of the operator {missing[1]}"
    places = re.findall(r'File "([^"]+)", line (\d+), in forward', f"{error} {text}")
    place = f" ({Path(places[-1][0]).name}, line {places[-1][1]})" if places else ""
    return reason + place


def _check_batch_axis(graph: ir.Graph) -> None:
    for value in graph.outputs:
        if not value.shape or str(value.shape[0]) != BATCH:
            raise UnsupportedError(
                f"expected outputs with the batch as first axis, got shape {value.shape}"
            )
