"""Reads a network from the bytes of a .tflite file."""

from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, prod

from bnnkit.errors import ArtifactError, BnnkitError, UnsupportedError
from bnnkit.tflite.network import ABSENT, Network, Operator, Quantization, Tensor
from bnnkit.tflite.read_flatbuffer import Buffer, Table
from bnnkit.tflite.read_options import builtin_options, custom_options
from bnnkit.tflite.schema import IDENTIFIER, VERSION, Builtin, TensorType
from bnnkit.tflite.slots import (
    BufferSlot,
    MetadataSlot,
    ModelSlot,
    OperatorCodeSlot,
    OperatorSlot,
    QuantizationSlot,
    SubGraphSlot,
    TensorSlot,
)

MOST_OPERATORS = 10_000
_MOST_DIMENSIONS = 6
_LARGEST_ZERO_POINT = 1 << 16


def is_tflite(content: bytes) -> bool:
    """Whether a file says that it is a TFLite model."""
    return content[4:8] == IDENTIFIER


def read(content: bytes) -> Network:
    """The network in a file.

    Args:
        content: Of the file.

    Raises:
        ArtifactError: The file is damaged.
        UnsupportedError: The file has several subgraphs, or a part that bnnkit cannot read.
    """
    root = Buffer(content).root()
    if (version := root.number(ModelSlot.VERSION, "I")) != VERSION:
        raise UnsupportedError(f"expected a TFLite file of version {VERSION}, got {version}")
    codes = root.tables(ModelSlot.OPERATOR_CODES, _code)
    buffers = root.tables(ModelSlot.BUFFERS, _data)
    subgraphs = root.tables(ModelSlot.SUBGRAPHS, lambda table: table)
    if len(subgraphs) != 1:
        raise UnsupportedError(f"expected a TFLite file with one subgraph, got {len(subgraphs)}")
    graph = subgraphs[0]
    network = Network(
        tensors=tuple(graph.tables(SubGraphSlot.TENSORS, lambda table: _tensor(table, buffers))),
        operators=_operators(graph, codes),
        inputs=graph.ints(SubGraphSlot.INPUTS),
        outputs=graph.ints(SubGraphSlot.OUTPUTS),
        description=root.text(ModelSlot.DESCRIPTION),
        metadata=_metadata(root, buffers),
    )
    _check_indices(network)
    return network


def _check_indices(network: Network) -> None:
    """Check that all indices of tensors exist."""
    count = len(network.tensors)
    for index, operator in enumerate(network.operators):
        _check_range(operator.inputs, ABSENT, count, f"operator {index}")
        _check_range(operator.outputs, 0, count, f"operator {index}")
    _check_range(network.inputs, 0, count, "the inputs")
    _check_range(network.outputs, 0, count, "the outputs")


def _check_range(indices: Sequence[int], least: int, count: int, what: str) -> None:
    for index in indices:
        if not least <= index < count:
            raise ArtifactError(
                f"the TFLite file is damaged: {what} refer to tensor {index} of {count}"
            )


def _code(table: Table) -> Builtin | str:
    number = max(
        table.number(OperatorCodeSlot.DEPRECATED_BUILTIN_CODE, "b"),
        table.number(OperatorCodeSlot.BUILTIN_CODE, "i"),
    )
    if number == Builtin.CUSTOM:
        return table.text(OperatorCodeSlot.CUSTOM_CODE)
    try:
        return Builtin(number)
    except ValueError:
        return f"builtin operator {number}"


def _data(table: Table) -> bytes:
    if table.number(BufferSlot.OFFSET, "Q") > 1:
        raise UnsupportedError("the TFLite file stores constants outside its tables (over 2 GB)")
    return table.raw(BufferSlot.DATA)


def _metadata(root: Table, buffers: Sequence[bytes]) -> dict[str, bytes]:
    """Entries by name; the first one of each name, empty if its buffer does not exist."""
    entries = root.tables(
        ModelSlot.METADATA,
        lambda table: (table.text(MetadataSlot.NAME), table.number(MetadataSlot.BUFFER, "I")),
    )
    found: dict[str, bytes] = {}
    for name, place in entries:
        found.setdefault(name, buffers[place] if place < len(buffers) else b"")
    return found


def _tensor(table: Table, buffers: Sequence[bytes]) -> Tensor:
    name, shape = table.text(TensorSlot.NAME), table.ints(TensorSlot.SHAPE)
    place = table.number(TensorSlot.BUFFER, "I")
    if place >= len(buffers):
        raise ArtifactError(f"the tensor {name!r} is damaged: buffer {place} of {len(buffers)}")
    if any(size < 0 for size in shape) or len(shape) > _MOST_DIMENSIONS or _is_vast(shape):
        raise ArtifactError(f"the tensor {name!r} is damaged: its shape is {shape}")
    if table.has(TensorSlot.SPARSITY) or table.number(TensorSlot.IS_VARIABLE, "?"):
        raise UnsupportedError(f"the tensor {name!r} is sparse or a variable")
    try:
        kind = TensorType(table.number(TensorSlot.TYPE, "b"))
    except ValueError as error:
        raise UnsupportedError(f"the tensor {name!r} has elements of an unknown type") from error
    return Tensor(
        name=name,
        type=kind,
        shape=shape,
        data=buffers[place],
        quantization=_quantization(table.table(TensorSlot.QUANTIZATION), name, shape),
    )


def _is_vast(shape: tuple[int, ...]) -> bool:
    """Whether NumPy cannot have an array of the shape, even if it has no elements."""
    return prod(max(size, 1) for size in shape) > 1 << 48


def _quantization(table: Table | None, name: str, shape: tuple[int, ...]) -> Quantization | None:
    """What the integers of a tensor stand for; None if there is no scale."""
    scale = () if table is None else table.floats(QuantizationSlot.SCALE)
    if table is None or not scale:
        return None
    zero_point = table.ints(QuantizationSlot.ZERO_POINT, "i8") or (0,)
    axis = table.number(QuantizationSlot.QUANTIZED_DIMENSION, "i")
    channels = shape[axis] if 0 <= axis < len(shape) else 1
    has_sizes = len(scale) in (1, channels) and len(zero_point) in (1, len(scale))
    is_positive = all(isfinite(number) and number > 0 for number in scale)
    if not (has_sizes and is_positive and max(map(abs, zero_point)) <= _LARGEST_ZERO_POINT):
        raise ArtifactError(f"the quantization of the tensor {name!r} is damaged")
    return Quantization(scale=scale, zero_point=zero_point, axis=axis if len(scale) > 1 else 0)


def _operators(graph: Table, codes: Sequence[Builtin | str]) -> tuple[Operator, ...]:
    found = graph.tables(SubGraphSlot.OPERATORS, lambda table: table)
    if len(found) > MOST_OPERATORS:
        raise UnsupportedError(f"expected at most {MOST_OPERATORS} operators, got {len(found)}")
    return tuple(_operator(table, index, codes) for index, table in enumerate(found))


def _operator(table: Table, index: int, codes: Sequence[Builtin | str]) -> Operator:
    place = table.number(OperatorSlot.OPCODE_INDEX, "I")
    if place >= len(codes):
        raise ArtifactError(f"operator {index} is damaged: code {place} of {len(codes)}")
    outputs = table.ints(OperatorSlot.OUTPUTS)
    if not outputs:
        raise ArtifactError(f"operator {index} is damaged: it has no outputs")
    operator = Operator(code=codes[place], inputs=table.ints(OperatorSlot.INPUTS), outputs=outputs)
    try:
        return _with_options(operator, table)
    except BnnkitError as error:
        kind = UnsupportedError if isinstance(error, UnsupportedError) else ArtifactError
        raise kind(f"operator {index} ({operator.name}): {error}") from error


def _with_options(operator: Operator, table: Table) -> Operator:
    if isinstance(operator.code, str):
        data = table.raw(OperatorSlot.CUSTOM_OPTIONS)
        options, rest = custom_options(operator.code, data)
        return replace(operator, options=options, custom_options=rest)
    number = table.number(OperatorSlot.OPTIONS_TYPE, "B")
    options = builtin_options(operator.code, number, table.table(OperatorSlot.OPTIONS))
    return replace(operator, options=options)
