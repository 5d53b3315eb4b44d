"""Translates a torch model with torch's own exporter; marks show its binary parts.

bnnkit's modules emit marks, operators of the domain `bnnkit`, during the export. Torch
translates everything else.
"""

import logging
import re
import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.utils._pytree import TreeSpec

from bnnkit.artifact.format.constants import DOMAIN, OPSET
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.export.from_torch.complete_shapes import complete_shapes
from bnnkit.export.from_torch.translations import TRANSLATIONS
from bnnkit.export.ir.graph import nodes
from bnnkit.export.passes.name_values import record_input_names, record_output_names
from bnnkit.nn.evaluating import evaluating
from bnnkit.nn.latent_weights import deployed_latents
from bnnkit.nn.sampling import numbering
from bnnkit.nn.several_inputs import Tensors, arguments, each

BATCH: Final = "N"
"""The name of the free first axis."""
IMAGES_AND_REALS: Final = (torch.uint8, torch.float32)
OTHER_TYPES: Final = (torch.bool, torch.int32, torch.int64)
"""The types of masks, indices and lengths, which one of several inputs may have."""


def marked_graph(model: nn.Module, example: Tensors) -> ir.Model:
    """Translate the evaluation of a model to ONNX.

    Args:
        model: Any torch model with tensors as inputs, on the CPU. It is not changed.
        example: A batch of each input, shape (N, ...); its values do not matter.

    Raises:
        UsageError: The model or the example is not on the CPU, or the example has another type
            or shape.
        UnsupportedError: Torch cannot translate the model, or the batch axis does not stay free.
    """
    check_example(model, example)
    # Torch would treat a batch axis of size 1 as fixed.
    pair: Tensors
    if isinstance(example, Tensor):
        pair = torch.zeros((2, *example.shape[1:]), dtype=example.dtype)
    else:
        pair = {
            name: torch.zeros((2, *one.shape[1:]), dtype=one.dtype)
            for name, one in example.items()
        }
    with evaluating(model), deployed_latents(model), numbering(model), _quiet():
        marked = _translated(model, pair)
        _copy_latents(marked.graph)
    _check_batch_axis(marked.graph)
    complete_shapes(marked, BATCH)
    return marked


def check_example(model: nn.Module, example: Tensors) -> None:
    """Check types and shapes of an example, and the device of the model.

    Raises:
        UsageError: As `marked_graph`.
    """
    is_one = isinstance(example, Tensor)
    known = IMAGES_AND_REALS if is_one else (*IMAGES_AND_REALS, *OTHER_TYPES)
    for name, one in each(example).items():
        if one.dtype not in known or one.dim() < (2 if is_one else 1):
            types = ", ".join(str(dtype).removeprefix("torch.") for dtype in known[:-1])
            what = f" of {name!r}" if name else ""
            raise UsageError(
                f"expected an example batch{what} of {types} or"
                f" {str(known[-1]).removeprefix('torch.')}, shape (N, ...), got {one.dtype} of"
                f" shape {tuple(one.shape)}; images are uint8, other inputs .float() or"
                " .astype(np.float32)"
            )
    tensors = (*each(example).values(), *model.parameters(), *model.buffers())
    devices = {str(tensor.device) for tensor in tensors} - {"cpu"}
    if devices:
        found = ", ".join(sorted(devices))
        raise UsageError(f"expected a model and an example on the CPU, got {found}; call .cpu()")
    reals = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if reals and torch.float32 not in reals:  # a single one may be converted where it is used
        found = ", ".join(sorted(map(str, reals)))
        raise UsageError(f"expected a model in float32, got {found}; call .float()")


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


def _translated(model: nn.Module, example: Tensors) -> ir.Model:
    free = {0: torch.export.Dim(BATCH)}
    positional, named, shapes = _arguments(model, example, free)
    try:
        program = torch.onnx.export(
            model,
            positional,
            kwargs=named,
            dynamo=True,
            optimize=True,
            verbose=False,
            opset_version=OPSET,
            dynamic_shapes=shapes,
            custom_translation_table=TRANSLATIONS,
        )
    except torch.onnx.OnnxExporterError as error:
        raise UnsupportedError(f"torch cannot export this model: {_reason(error)}") from error
    if program is None or program.model.opset_imports.get("") != OPSET:
        raise UnsupportedError(
            f"expected operator set {OPSET} from torch's exporter; upgrade torch and onnxscript"
        )
    if program.exported_program is not None:
        _name_ends(program.model.graph, program.exported_program, example)
    return program.model


def _arguments(
    model: nn.Module, example: Tensors, free: dict[int, Any]
) -> tuple[tuple[Any, ...], dict[str, Any] | None, Any]:
    """The arguments of a call of the model, and in the same form the free axes of each."""
    if isinstance(example, Tensor):
        return (example,), None, (free,)
    positional, named = arguments(model, example)
    axes, named_axes = arguments(model, dict.fromkeys(example, free))
    return positional, named, named_axes if named else axes


def _name_ends(graph: ir.Graph, program: torch.export.ExportedProgram, example: Tensors) -> None:
    """Record the names of several inputs, and those that the model gives its outputs.

    The inputs are in the order of the arguments of the call; torch's names of them are those of
    the arguments, unless it has changed one.
    """
    if not isinstance(example, Tensor):
        found = [str(value.name) for value in graph.inputs]
        given = list(example)
        record_input_names(graph, found if set(found) == set(given) else given)
    spec = program.call_spec.out_spec
    names = None if spec is None else _names_of_outputs(spec)
    if names is not None and len(names) == len(graph.outputs):
        record_output_names(graph, names)


def _names_of_outputs(spec: TreeSpec) -> list[str] | None:
    """The keys of a dict, or the fields of a named tuple, of one tensor each."""
    if any(not child.is_leaf() for child in spec.children()):
        return None
    if spec.type in (dict, OrderedDict):
        return [str(key) for key in spec.context]
    return list(getattr(spec.context, "_fields", ())) or None


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
