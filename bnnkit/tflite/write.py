"""Writes a network to the bytes of a .tflite file."""

from collections.abc import Sequence

import flatbuffers
import numpy as np

from bnnkit.tflite.network import Network, Operator, Quantization, Tensor
from bnnkit.tflite.schema import IDENTIFIER, VERSION, Builtin
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
from bnnkit.tflite.write_flatbuffer import (
    Builder,
    Slots,
    content,
    ints,
    offset,
    table,
    tables,
    text,
)
from bnnkit.tflite.write_options import custom_bytes, options_table, write_table

_LAST_OLD_CODE = 126
"""The last code that fits into the slot of old readers, where 127 stands for all codes above."""


def write(network: Network) -> bytes:
    """The content of a .tflite file; the same network gives the same bytes.

    Raises:
        UnsupportedError: An operator has options that are not in operators.py.
    """
    builder = flatbuffers.Builder(1 << 16)
    codes = sorted({operator.code for operator in network.operators}, key=str)
    constants = [b"", *dict.fromkeys(t.data for t in network.tensors if t.data)]
    buffers = [*constants, *network.metadata.values()]
    entries = list(enumerate(network.metadata, start=len(constants)))
    model: Slots = {
        ModelSlot.VERSION: ("Uint32", VERSION),
        ModelSlot.OPERATOR_CODES: tables(builder, codes, _operator_code),
        ModelSlot.SUBGRAPHS: tables(
            builder, [network], lambda b, n: _subgraph(b, n, codes, constants)
        ),
        ModelSlot.DESCRIPTION: text(builder, network.description),
        ModelSlot.BUFFERS: tables(builder, buffers, _buffer),
        ModelSlot.METADATA: tables(builder, entries, _metadata),
    }
    builder.Finish(table(builder, model), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _subgraph(
    builder: Builder, network: Network, codes: Sequence[Builtin | str], constants: list[bytes]
) -> int:
    places = {data: index for index, data in enumerate(constants)}
    slots: Slots = {
        SubGraphSlot.TENSORS: tables(
            builder, network.tensors, lambda b, t: _tensor(b, t, places[t.data])
        ),
        SubGraphSlot.INPUTS: ints(builder, network.inputs),
        SubGraphSlot.OUTPUTS: ints(builder, network.outputs),
        SubGraphSlot.OPERATORS: tables(
            builder, network.operators, lambda b, o: _operator(b, o, codes.index(o.code))
        ),
        SubGraphSlot.NAME: text(builder, "main"),
    }
    return table(builder, slots)


def _tensor(builder: Builder, tensor: Tensor, place: int) -> int:
    slots: Slots = {
        TensorSlot.SHAPE: ints(builder, tensor.shape),
        TensorSlot.TYPE: ("Int8", int(tensor.type)),
        TensorSlot.BUFFER: ("Uint32", place),
        TensorSlot.NAME: text(builder, tensor.name),
    }
    if tensor.quantization is not None:
        slots[TensorSlot.QUANTIZATION] = offset(_quantization(builder, tensor.quantization))
    return table(builder, slots)


def _quantization(builder: Builder, found: Quantization) -> int:
    scale, zero_point = np.array(found.scale, np.float32), np.array(found.zero_point, np.int64)
    slots: Slots = {
        QuantizationSlot.SCALE: offset(builder.CreateNumpyVector(scale)),
        QuantizationSlot.ZERO_POINT: offset(builder.CreateNumpyVector(zero_point)),
    }
    if found.axis:
        slots[QuantizationSlot.QUANTIZED_DIMENSION] = ("Int32", found.axis)
    return table(builder, slots)


def _operator_code(builder: Builder, code: Builtin | str) -> int:
    number = int(Builtin.CUSTOM if isinstance(code, str) else code)
    slots: Slots = {
        OperatorCodeSlot.DEPRECATED_BUILTIN_CODE: ("Int8", min(number, _LAST_OLD_CODE + 1)),
        OperatorCodeSlot.VERSION: ("Int32", 1),
        OperatorCodeSlot.BUILTIN_CODE: ("Int32", number),
    }
    if isinstance(code, str):
        slots[OperatorCodeSlot.CUSTOM_CODE] = text(builder, code)
    return table(builder, slots)


def _operator(builder: Builder, operator: Operator, code: int) -> int:
    slots: Slots = {
        OperatorSlot.OPCODE_INDEX: ("Uint32", code),
        OperatorSlot.INPUTS: ints(builder, operator.inputs),
        OperatorSlot.OUTPUTS: ints(builder, operator.outputs),
    }
    if number := options_table(operator):
        slots[OperatorSlot.OPTIONS_TYPE] = ("Uint8", number)
        slots[OperatorSlot.OPTIONS] = offset(write_table(builder, operator.options))
    if data := custom_bytes(operator):
        slots[OperatorSlot.CUSTOM_OPTIONS] = content(builder, data)
    return table(builder, slots)


def _buffer(builder: Builder, data: bytes) -> int:
    return table(builder, {BufferSlot.DATA: content(builder, data)} if data else {})


def _metadata(builder: Builder, entry: tuple[int, str]) -> int:
    """A name, and the number of the buffer."""
    place, name = entry
    slots: Slots = {
        MetadataSlot.NAME: text(builder, name),
        MetadataSlot.BUFFER: ("Uint32", place),
    }
    return table(builder, slots)
