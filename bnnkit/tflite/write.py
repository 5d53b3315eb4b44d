"""A network to the bytes of a .tflite file, by the package flatbuffers alone.

The numbers of the slots are those of tensorflow/lite/schema/schema.fbs.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import flatbuffers
import numpy as np

import bnnkit
from bnnkit.tflite.options import Options
from bnnkit.tflite.schema import IDENTIFIER, Builtin
from bnnkit.tflite.written import Network, Operator, Tensor

_VERSION = 3
_ALIGNMENT = 16
"""Of the content of constants, in bytes."""
_LAST_OLD_CODE = 126
"""Codes above it do not fit into the slot of old readers, where 127 says so."""

NO_METADATA: Final[Mapping[str, bytes]] = MappingProxyType({})

Builder = Any  # the package has no types
Slots = dict[int, tuple[str, Any]]
"""The type and the value of each slot of a table; `UOffsetTRelative` refers to what is written."""


def to_bytes(network: Network, metadata: Mapping[str, bytes] = NO_METADATA) -> bytes:
    """The content of a .tflite file; the same network gives the same bytes.

    Args:
        network: The model.
        metadata: What stands beside it, by name; interpreters do not look at it.
    """
    builder = flatbuffers.Builder(1 << 16)
    codes = sorted({operator.code for operator in network.operators}, key=str)
    constants = [b"", *dict.fromkeys(t.data for t in network.tensors if t.data)]
    places = {data: index for index, data in enumerate(constants)}
    buffers = [*constants, *metadata.values()]
    entries = list(enumerate(metadata, start=len(constants)))
    model: Slots = {
        0: ("Uint32", _VERSION),
        1: _tables(builder, codes, _operator_code),
        2: _offset(_vector(builder, [_subgraph(builder, network, codes, places)])),
        3: _offset(builder.CreateString(f"bnnkit {bnnkit.__version__}")),
        4: _tables(builder, buffers, _buffer),
        6: _tables(builder, entries, _metadata),
    }
    builder.Finish(_table(builder, model), file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _subgraph(
    builder: Builder, network: Network, codes: list[Builtin | str], places: dict[bytes, int]
) -> int:
    slots: Slots = {
        0: _tables(builder, network.tensors, lambda b, t: _tensor(b, t, places[t.data])),
        1: _ints(builder, network.inputs),
        2: _ints(builder, network.outputs),
        3: _tables(builder, network.operators, lambda b, o: _operator(b, o, codes.index(o.code))),
        4: _offset(builder.CreateString("main")),
    }
    return _table(builder, slots)


def _tensor(builder: Builder, tensor: Tensor, place: int) -> int:
    slots: Slots = {
        0: _ints(builder, tensor.shape),
        1: ("Int8", int(tensor.type)),
        2: ("Uint32", place),
        3: _offset(builder.CreateString(tensor.name)),
    }
    if tensor.scale is not None:
        slots[4] = _offset(_quantization(builder, tensor.scale))
    return _table(builder, slots)


def _quantization(builder: Builder, scale: float) -> int:
    """One scale for the whole tensor, and the zero point 0."""
    slots: Slots = {
        2: _offset(builder.CreateNumpyVector(np.array([scale], np.float32))),
        3: _offset(builder.CreateNumpyVector(np.array([0], np.int64))),
    }
    return _table(builder, slots)


def _operator_code(builder: Builder, code: Builtin | str) -> int:
    number = int(Builtin.CUSTOM if isinstance(code, str) else code)
    slots: Slots = {
        0: ("Int8", min(number, _LAST_OLD_CODE + 1)),
        2: ("Int32", 1),
        3: ("Int32", number),
    }
    if isinstance(code, str):
        slots[1] = _offset(builder.CreateString(code))
    return _table(builder, slots)


def _operator(builder: Builder, operator: Operator, code: int) -> int:
    slots: Slots = {
        0: ("Uint32", code),
        1: _ints(builder, operator.inputs),
        2: _ints(builder, operator.outputs),
    }
    if operator.options is not None:
        slots[3] = ("Uint8", operator.options.table)
        slots[4] = _offset(_options(builder, operator.options))
    if operator.custom_options:
        slots[5] = _offset(_bytes(builder, operator.custom_options))
    return _table(builder, slots)


def _options(builder: Builder, options: Options) -> int:
    return _table(builder, {slot: (kind, value) for slot, kind, value in options.fields})


def _buffer(builder: Builder, data: bytes) -> int:
    return _table(builder, {0: _offset(_bytes(builder, data))} if data else {})


def _metadata(builder: Builder, entry: tuple[int, str]) -> int:
    """A name, and the number of the buffer."""
    place, name = entry
    slots: Slots = {0: _offset(builder.CreateString(name)), 1: ("Uint32", place)}
    return _table(builder, slots)


def _table(builder: Builder, slots: Slots) -> int:
    builder.StartObject(max(slots, default=-1) + 1)
    for slot, (kind, value) in slots.items():
        # Without a default every value is written out, as old readers like it.
        default = 0 if kind == "UOffsetTRelative" else None
        getattr(builder, f"Prepend{kind}Slot")(slot, value, default)
    return int(builder.EndObject())


def _offset(place: int) -> tuple[str, int]:
    return "UOffsetTRelative", place


def _tables(
    builder: Builder, items: Sequence[Any], write: Callable[[Builder, Any], int]
) -> tuple[str, int]:
    return _offset(_vector(builder, [write(builder, item) for item in items]))


def _vector(builder: Builder, places: Sequence[int]) -> int:
    """A vector of tables that are written already."""
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return int(builder.EndVector())


def _ints(builder: Builder, numbers: Sequence[int]) -> tuple[str, int]:
    builder.StartVector(4, len(numbers), 4)
    for number in reversed(numbers):
        builder.PrependInt32(number)
    return _offset(int(builder.EndVector()))


def _bytes(builder: Builder, data: bytes) -> int:
    builder.StartVector(1, len(data), _ALIGNMENT)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    return int(builder.EndVector())
