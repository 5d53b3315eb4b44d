"""The bytes of a .tflite file to a network.

The numbers of the slots are those of tensorflow/lite/schema/schema.fbs.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import prod

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.tflite.about import about
from bnnkit.tflite.flatbuffer import Buffer, Table
from bnnkit.tflite.network import ABSENT, Network, Operator, Quantization, Tensor
from bnnkit.tflite.schema import IDENTIFIER, Builtin, TensorType

_VERSION = 3
MOST_OPERATORS = 10_000
_MOST_DIMENSIONS = 6


def is_tflite(content: bytes) -> bool:
    """Whether a file says that it is a TFLite model."""
    return content[4:8] == IDENTIFIER


def read(content: bytes) -> Network:
    """The network in a file.

    Args:
        content: Of the file.

    Raises:
        ArtifactError: It is damaged.
        UnsupportedError: It has several subgraphs, or tensors of another kind.
    """
    root = Buffer(content).root()
    if (version := root.number(0, "I")) != _VERSION:
        raise UnsupportedError(f"expected a TFLite file of version {_VERSION}, got {version}")
    codes = root.tables(1, _code)
    buffers = root.tables(4, _data)
    subgraphs = root.tables(2, lambda table: table)
    if len(subgraphs) != 1:
        raise UnsupportedError(f"expected a TFLite file with one subgraph, got {len(subgraphs)}")
    network = _network(subgraphs[0], codes, buffers, root.text(3))
    return replace(network, metadata=about(root, buffers))


def _network(
    graph: Table,
    codes: list[Builtin | str],
    buffers: list[NDArray[np.uint8] | None],
    description: str,
) -> Network:
    tensors = tuple(graph.tables(0, lambda table: _tensor(table, buffers)))
    found = graph.tables(3, lambda table: table)
    if len(found) > MOST_OPERATORS:
        raise UnsupportedError(f"expected at most {MOST_OPERATORS} operators, got {len(found)}")
    operators = tuple(_operator(table, index, codes) for index, table in enumerate(found))
    inputs, outputs = graph.ints(1), graph.ints(2)
    for operator in operators:
        _check_indices(operator.inputs, len(tensors), f"operator {operator.index}", ABSENT)
        _check_indices(operator.outputs, len(tensors), f"operator {operator.index}")
    _check_indices(inputs, len(tensors), "the inputs")
    _check_indices(outputs, len(tensors), "the outputs")
    return Network(
        tensors=tensors,
        operators=operators,
        inputs=inputs,
        outputs=outputs,
        description=description,
    )


def _check_indices(indices: Sequence[int], count: int, what: str, least: int = 0) -> None:
    for index in indices:
        if not least <= index < count:
            raise ArtifactError(
                f"the TFLite file is damaged: {what} refer to tensor {index} of {count}"
            )


def _code(table: Table) -> Builtin | str:
    number = max(table.number(0, "b"), table.number(3, "i"))
    if number == Builtin.CUSTOM:
        return table.text(1)
    try:
        return Builtin(number)
    except ValueError:
        return f"builtin operator {number}"


def _data(table: Table) -> NDArray[np.uint8] | None:
    if table.number(1, "Q") > 1:
        raise UnsupportedError("the TFLite file keeps constants behind its tables (over 2 GB)")
    data = table.array(0, "u1")
    return data if data.size else None


def _tensor(table: Table, buffers: list[NDArray[np.uint8] | None]) -> Tensor:
    name, shape, place = table.text(3), table.ints(0), table.number(2, "I")
    if place >= len(buffers):
        raise ArtifactError(f"the tensor {name!r} is damaged: buffer {place} of {len(buffers)}")
    if any(size < 0 for size in shape) or len(shape) > _MOST_DIMENSIONS or _is_vast(shape):
        raise ArtifactError(f"the tensor {name!r} is damaged: its shape is {shape}")
    if table.has(6) or table.number(5, "?"):
        raise UnsupportedError(f"the tensor {name!r} is sparse or a variable")
    try:
        kind = TensorType(table.number(1, "b"))
    except ValueError as error:
        raise UnsupportedError(f"the tensor {name!r} has elements of an unknown type") from error
    return Tensor(
        name=name,
        type=kind,
        shape=shape,
        data=buffers[place],
        quantization=_quantization(table.table(4), name, shape),
    )


def _is_vast(shape: tuple[int, ...]) -> bool:
    """Whether NumPy cannot have an array of the shape, even where it has no elements."""
    return prod(max(size, 1) for size in shape) > 1 << 48


def _quantization(table: Table | None, name: str, shape: tuple[int, ...]) -> Quantization | None:
    if table is None:
        return None
    scale, zero_point, axis = table.array(2, "f4"), table.array(3, "i8"), table.number(6, "i")
    if scale.size == 0:
        return None
    channels = shape[axis] if 0 <= axis < len(shape) else 1
    if zero_point.size == 0:
        zero_point = np.zeros(1, np.int64)
    if scale.size not in (1, channels) or zero_point.size not in (1, scale.size):
        raise ArtifactError(f"the quantization of the tensor {name!r} is damaged")
    if not (np.isfinite(scale) & (scale > 0)).all() or (np.abs(zero_point) > 1 << 16).any():
        raise ArtifactError(f"the quantization of the tensor {name!r} is damaged")
    return Quantization(
        scale=scale.astype(np.float32), zero_point=zero_point.astype(np.int64), axis=axis
    )


def _operator(table: Table, index: int, codes: list[Builtin | str]) -> Operator:
    code = table.number(0, "I")
    if code >= len(codes):
        raise ArtifactError(f"operator {index} is damaged: code {code} of {len(codes)}")
    outputs = table.ints(2)
    if not outputs:
        raise ArtifactError(f"operator {index} is damaged: it has no outputs")
    return Operator(
        index=index,
        code=codes[code],
        inputs=table.ints(1),
        outputs=outputs,
        options_type=table.number(3, "B"),
        options=table.table(4),
        custom_options=table.raw(5),
    )
