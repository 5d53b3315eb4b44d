"""Checks of a file's noise, before anything is drawn from it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from bnnkit.artifact.format.constants import (
    DOMAIN,
    LARGEST_SCALE,
    SAMPLING_INPUTS,
    SIGN_CHOICES,
    SMALLEST_SCALE,
)
from bnnkit.artifact.format.sample import TABLE_SIZE
from bnnkit.errors import ArtifactError

Array = NDArray[Any]


def check_sampling(model: onnx.ModelProto, path: str) -> None:
    """Check the noisy signs and the draws of weights of a model (docs/artifact.md, Sampling).

    Raises:
        ArtifactError: If an input that chooses random numbers is missing or has another type or
            default; a threshold, a noise scale or a table of quantiles is invalid; or two signs
            have the same number.
    """
    nodes = [node for node in model.graph.node if node.domain == DOMAIN]
    signs = [node for node in nodes if node.op_type == "StochasticSign"]
    draws = [node for node in nodes if node.op_type == "WeightDraw"]
    if signs or draws:
        try:
            fault = next(_faults(model.graph, signs, draws), None)
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}") from error
        if fault is not None:
            raise ArtifactError(f"{path} is damaged: {fault}; export it again")


def _faults(
    graph: onnx.GraphProto, signs: list[onnx.NodeProto], draws: list[onnx.NodeProto]
) -> Iterator[str]:
    constants = {tensor.name: tensor for tensor in graph.initializer}
    yield from _faults_of_inputs(graph, constants)
    tables: set[str] = set()
    layers: set[int] = set()
    for sign in signs:
        if len(sign.output) != 1:
            yield f"expected one output of the stochastic sign {sign.name!r}"
        yield from _faults_of_limits(sign, constants)
        if sign.input[3] not in tables:
            tables.add(sign.input[3])
            yield from _faults_of_table(sign.input[3], constants)
        layer = _layer(sign)
        if layer is None or layer in layers or not 0 <= layer < 2**32:
            yield f"expected a number of its own for the signs {sign.output[0]!r}, got {layer}"
        layers.add(-1 if layer is None else layer)
    numbers: set[int] = set()
    for draw in draws:
        yield from _faults_of_draws(draw, constants)
        numbers.add(len(_array(constants[draw.input[0]])) - 1)
    if len(numbers) > 1:
        yield f"expected as many draws of all weights, got {sorted(numbers)}"


def _faults_of_inputs(
    graph: onnx.GraphProto, constants: dict[str, onnx.TensorProto]
) -> Iterator[str]:
    inputs = {value.name for value in graph.input}
    for name, (element, default) in SAMPLING_INPUTS.items():
        if name not in inputs or name not in constants:
            yield f"expected an input {name!r} with a default"
            continue
        found = _array(constants[name])
        if found.shape != () or found.dtype != element or found != default:
            yield (
                f"expected the input {name!r} to be {element} with the default {default},"
                f" got {found.dtype} {found.tolist()}"
            )


def _faults_of_limits(
    sign: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> Iterator[str]:
    name = sign.output[0]
    if len(sign.input) != 8 or list(sign.input[4:]) != list(SIGN_CHOICES):
        yield f"expected the inputs {', '.join(SIGN_CHOICES)} of the signs {name!r}"
        return  # the caller reports the first fault only
    shapes = []
    for what, source in (("threshold", sign.input[1]), ("noise scale", sign.input[2])):
        numbers = _array(constants[source]) if source in constants else None
        if numbers is None or numbers.dtype != np.float32:
            yield f"expected a float32 constant as {what} of the signs {name!r}"
            return
        is_threshold = what == "threshold"
        in_range = (numbers >= SMALLEST_SCALE) & (numbers <= LARGEST_SCALE)
        wrong = ~np.isfinite(numbers) if is_threshold else ~in_range
        if wrong.any():
            meant = "finite" if is_threshold else "from 2^-64 to 2^64"
            found = numbers[wrong][0]
            yield f"expected a {what} of the signs {name!r} that is {meant}, got {found}"
        shapes.append(numbers.shape)
    if shapes[0] != shapes[1] or shapes[0] != (shapes[0][:1] + (1,) * (len(shapes[0]) - 1)):
        yield f"expected one threshold and one noise scale for each channel of {name!r}"


def _faults_of_table(name: str, constants: dict[str, onnx.TensorProto]) -> Iterator[str]:
    table = _array(constants[name]) if name in constants else None
    if table is None or table.dtype != np.float32 or table.shape != (TABLE_SIZE,):
        found = "none" if table is None else f"{table.dtype} {table.shape}"
        yield f"expected a float32 table of {TABLE_SIZE} quantiles as {name!r}, got {found}"
    elif not np.isfinite(table).all():
        yield f"expected finite quantiles in the table {name!r}"
    elif (np.diff(table) < 0).any():
        yield f"expected quantiles that do not decrease in the table {name!r}"


def _faults_of_draws(
    draw: onnx.NodeProto, constants: dict[str, onnx.TensorProto]
) -> Iterator[str]:
    name = next(iter(draw.input), "")
    rows = _array(constants[name]) if name in constants else None
    is_whole = rows is not None and rows.dtype == np.uint8 and rows.ndim == 2 and len(rows) > 1
    if not is_whole or list(draw.input[1:]) != ["sample"] or len(draw.output) != 1:
        yield f"expected packed weights and at least one draw of them as {name!r}"


def _layer(sign: onnx.NodeProto) -> int | None:
    integer = onnx.AttributeProto.INT
    return next((a.i for a in sign.attribute if a.name == "layer" and a.type == integer), None)


def _array(tensor: onnx.TensorProto) -> Array:
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, KeyError) as error:
        raise ArtifactError(f"the constant {tensor.name!r} is damaged: {error}") from error
