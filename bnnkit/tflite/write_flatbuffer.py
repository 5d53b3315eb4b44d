"""FlatBuffers, written by the package flatbuffers: tables, and vectors of what bnnkit needs."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_ALIGNMENT = 16
"""Of the content of constants, in bytes."""

Builder = Any  # the package has no types
Slot = tuple[str, Any]
"""Type and value; `UOffsetTRelative` refers to what is already written."""
Slots = dict[int, Slot]


def table(builder: Builder, slots: Mapping[int, Slot]) -> int:
    """Write a table; returns where it is."""
    builder.StartObject(max(slots, default=-1) + 1)
    for slot, (kind, value) in slots.items():
        # The default None has every value written out, as old readers want it.
        default = 0 if kind == "UOffsetTRelative" else None
        getattr(builder, f"Prepend{kind}Slot")(slot, value, default)
    return int(builder.EndObject())


def offset(place: int) -> Slot:
    """A reference to what is written at a place."""
    return "UOffsetTRelative", place


def text(builder: Builder, string: str) -> Slot:
    """Write a string."""
    return offset(builder.CreateString(string))


def tables(builder: Builder, items: Sequence[Any], write: Callable[[Builder, Any], int]) -> Slot:
    """Write a vector of tables, each by `write`."""
    places = [write(builder, item) for item in items]
    builder.StartVector(4, len(places), 4)
    for place in reversed(places):
        builder.PrependUOffsetTRelative(place)
    return offset(int(builder.EndVector()))


def ints(builder: Builder, numbers: Sequence[int]) -> Slot:
    """Write a vector of int32."""
    builder.StartVector(4, len(numbers), 4)
    for number in reversed(numbers):
        builder.PrependInt32(number)
    return offset(int(builder.EndVector()))


def content(builder: Builder, data: bytes) -> Slot:
    """Write a vector of bytes, aligned as constants have to be."""
    builder.StartVector(1, len(data), _ALIGNMENT)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data
    return offset(int(builder.EndVector()))
