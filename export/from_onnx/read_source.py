"""Reads a source file and prepares it for the passes: one opset, known shapes, known inputs."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import onnx
import onnx_ir as ir
from onnx import version_converter
from onnx_ir.passes import common

from bnnkit.artifact.format.constants import DOMAIN, OPSET
from bnnkit.errors import FileError, UnsupportedError, UsageError
from bnnkit.export.from_onnx.batch_constants import BatchConstants
from bnnkit.export.from_onnx.external_weights import MOST_BYTES, load_external_weights
from bnnkit.export.from_onnx.repair_source import repaired
from bnnkit.export.ir.inferred_shapes import put_weights, without_weights
from bnnkit.files.kinds import ONNX, but_it_is, kind_of_path
from bnnkit.files.regular_file import open_file
from bnnkit.tflite.schema import IDENTIFIER

INPUTS: Final = (ir.DataType.FLOAT, ir.DataType.UINT8)
OTHER_INPUTS: Final = (ir.DataType.BOOL, ir.DataType.INT32, ir.DataType.INT64)
"""The types of masks, indices and lengths, which one of several inputs may have."""


def read_source(path: Path | str) -> onnx.ModelProto:
    """Reads the ONNX model in a file, with weights that are stored in other files.

    Raises:
        FileError: The file is missing, cannot be read, is larger than 2 GiB with its weights, or
            is not an ONNX file; or `load_external_weights` refuses its weights.
    """
    if Path(path).is_dir():
        kind = but_it_is(kind_of_path(path))
        raise FileError(f"cannot read {path}: {os.strerror(errno.EISDIR)}{kind}")
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise FileError(
                f"{path} has {size / 2**30:.1f} GiB: an ONNX file has less than 2 GiB, and keeps"
                " larger weights in other files"
            )
        model = onnx.load(str(path), load_external_data=False)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
    except FileError:
        raise
    except Exception as error:  # its errors have no common class
        if Path(path).read_bytes()[4:8] == IDENTIFIER:
            raise FileError(
                f"expected an ONNX file, got the TFLite file {path}: bnnkit runs it as it is"
            ) from error
        kind = kind_of_path(path)
        reason = (
            f", or a damaged one: {_first_line(error)}" if kind in ("", ONNX) else but_it_is(kind)
        )
        raise FileError(f"{path} is not an ONNX file{reason}") from error
    if not model.graph.node:
        kind = but_it_is(kind_of_path(path))
        raise FileError(f"{path} is not an ONNX file: it holds no graph{kind}")
    load_external_weights(model, Path(path))
    return model


def _checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model, valid and repaired (`repair_source.py`); other domains are not checked.

    Raises:
        FileError: ONNX's checker finds the model invalid.
    """
    try:
        if not all(isinstance(word, str) for word in _words(model.graph)):
            raise ValueError("a name is not UTF-8")
        model = repaired(model)
        onnx.checker.check_model(model)
        for tensor in model.graph.initializer:
            _check_constant(tensor)
        for node in model.graph.node:
            if node.op_type == "Constant" and len(node.attribute) != 1:
                raise ValueError(
                    f"the constant {node.output[0]!r} has {len(node.attribute)} values"
                )
    except (onnx.checker.ValidationError, ValueError, TypeError) as error:
        raise FileError(f"this is not a valid ONNX model: {_first_line(error)}") from error
    return model


def _check_constant(tensor: onnx.TensorProto) -> None:
    try:
        onnx.numpy_helper.to_array(tensor)
    except (KeyError, ValueError, TypeError) as error:
        raise ValueError(f"the constant {tensor.name!r} is damaged: {error}") from error


def _words(graph: onnx.GraphProto) -> Iterator[object]:
    """All names in a graph; a name that is not UTF-8 is given as bytes."""
    for node in graph.node:
        yield from (node.name, node.domain, node.op_type, *node.input, *node.output)
        for entry in node.metadata_props:
            yield from (entry.key, entry.value)
    for named in (*graph.initializer, *graph.input, *graph.output, *graph.value_info):
        yield named.name
        yield named.doc_string


def prepare_source(model: onnx.ModelProto) -> ir.Model:
    """The model in bnnkit's opset, with functions inlined and constants as initializers.

    Raises:
        UsageError: The model is already an artifact.
        FileError: The model is damaged.
        UnsupportedError: The model cannot be translated to that opset, or has inputs other than
            a batch of float32 or uint8, or several with masks and indices among them.
    """
    if any(opset.domain == DOMAIN for opset in model.opset_import):
        raise UsageError("expected an ONNX file of another tool, got an artifact: run it as it is")
    model = _checked(model)
    try:
        current = version_converter.convert_version(model, OPSET)
    except Exception as error:  # its errors have no common class
        raise UnsupportedError(
            f"ONNX cannot translate this file to opset {OPSET}: {_first_line(error)}; export it"
            " with that opset"
        ) from error
    _check_attributes(current)
    _keep_metadata(model, current)
    try:
        source = ir.from_proto(current)
    except ir.serde.SerdeError as error:
        raise FileError(f"this is not a valid ONNX model: {_first_line(error)}") from error
    for tidy in (
        common.InlinePass(),
        common.RemoveInitializersFromInputsPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
    ):
        tidy(source)
    _check_inputs(source.graph)
    return source


def _check_attributes(model: onnx.ModelProto) -> None:
    """Check that the translation to bnnkit's opset left no attribute of a newer one.

    Raises:
        UnsupportedError: A node has one.
    """
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or not onnx.defs.has(node.op_type, OPSET, ""):
            continue
        schema = onnx.defs.get_schema(node.op_type, OPSET, "")
        unknown = [a.name for a in node.attribute if a.name not in schema.attributes]
        if unknown:
            raise UnsupportedError(
                f"node {node.name!r} ({node.op_type}): opset {OPSET} has no attribute"
                f" {unknown[0]!r}: export it with that opset"
            )


def _keep_metadata(model: onnx.ModelProto, current: onnx.ModelProto) -> None:
    """Restore the nodes' metadata, their torch modules, which the opset translation drops."""
    known = {node.name: node for node in model.graph.node if node.name}
    for node in current.graph.node:
        if node.name in known and not node.metadata_props:
            node.metadata_props.extend(known[node.name].metadata_props)


def infer_shapes(model: ir.Model, batch: int) -> ir.Model:
    """The model for one batch size, with all shapes that ONNX can infer.

    Raises:
        UnsupportedError: The shapes in the file are inconsistent.
    """
    for given in model.graph.inputs:
        given.shape = ir.Shape([batch, *_shape(given)[1:]])
    for value in (value for node in model.graph.all_nodes() for value in node.outputs):
        value.shape = None
    try:
        # Without the numbers of computed shapes, of which a file can have any number:
        # `fold_constants` computes them, within the file's budget.
        with without_weights(model.graph) as weights:
            proto = onnx.shape_inference.infer_shapes(ir.to_proto(model), strict_mode=True)
    except (onnx.shape_inference.InferenceError, ir.serde.SerdeError, ValueError) as error:
        raise UnsupportedError(
            f"the shapes of this network do not fit for a batch of {batch}, in place of the one it"
            f" was exported with: {_first_line(error)}; export it with a batch that nothing else"
            " depends on"
        ) from error
    inferred = ir.from_proto(proto)
    put_weights(inferred.graph, weights)
    return inferred


def batch_of(model: ir.Model) -> BatchConstants:
    """The batch size that a file was exported for; 1 if the batch is free.

    Raises:
        UnsupportedError: The inputs have different batch sizes.
    """
    sizes = {str(value.name): _shape(value)[0] for value in model.graph.inputs}
    different = {size if isinstance(size, int) else None for size in sizes.values()}
    if len(different) > 1:
        found = ", ".join(f"{name!r} has {size}" for name, size in sizes.items())
        raise UnsupportedError(
            f"expected inputs with the same batch as first axis, but {found}: export them all"
            " with a free batch"
        )
    (size,) = different
    return BatchConstants(1, True) if size is None else BatchConstants(size, False)


def _check_inputs(graph: ir.Graph) -> None:
    if not graph.inputs:
        raise UnsupportedError("expected a network with an input, got none")
    known = INPUTS if len(graph.inputs) == 1 else (*INPUTS, *OTHER_INPUTS)
    for value in graph.inputs:
        what = "an input" if len(graph.inputs) == 1 else f"an input {value.name!r}"
        if value.dtype not in known:
            types = ", ".join(dtype.numpy().name for dtype in known[:-1])
            raise UnsupportedError(
                f"expected {what} of {types} or {known[-1].numpy().name}, got {value.dtype};"
                " export it in float32"
            )
        sizes = _shape(value)[1:]
        is_row = bool(sizes) or (len(graph.inputs) > 1 and len(_shape(value)) == 1)
        if not is_row or not all(isinstance(size, int) and size > 0 for size in sizes):
            raise UnsupportedError(
                f"expected {what} of which only the batch is free, got the shape {value.shape};"
                " export it with fixed sizes"
            )


def _shape(value: ir.Value) -> tuple[Any, ...]:
    return () if value.shape is None else tuple(value.shape)


def _first_line(error: Exception) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
