"""How the fields of an operator's options are declared: slot, scalar type, values and default.

A subclass of `Options` declares its fields with the functions below. The reader and the writer
both work from these declarations (`fields_of`).
"""

from dataclasses import dataclass, field, fields
from enum import IntEnum
from typing import Any, Literal, TypeVar, cast

from bnnkit.errors import UnsupportedError

Scalar = Literal["Bool", "Float32", "Int8", "Int32", "Int64", "Int32Vector"]
"""Types as the package flatbuffers names them, and a vector of Int32."""

E = TypeVar("E", bound=IntEnum)

_KEY = "field"


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of an operator, by name. Subclasses add the fields."""


@dataclass(frozen=True, kw_only=True)
class Field:
    """Declaration of one field in a table of the union BuiltinOptions.

    Attributes:
        slot: Number of the field in its table.
        scalar: Its type.
        default: Its value if the file does not state it.
        values: The enumeration that its value belongs to, if it does to one.
        always: Whether the writer states the field even if it has its default, so that a reader
            need not know the default. Other fields are left out then.
    """

    slot: int
    scalar: Scalar
    default: Any
    values: type[IntEnum] | None = None
    always: bool = False


def fields_of(kind: type[Options]) -> dict[str, Field]:
    """The declared fields of a kind of options, by name, in the order of their slots."""
    return {entry.name: entry.metadata[_KEY] for entry in fields(kind)}


def member_of(values: type[int], number: int, name: str) -> int:
    """A number as a member of an enumeration; unchanged if `values` is int.

    Args:
        values: The enumeration, or int.
        number: As a file states it.
        name: Of the field, for the message.

    Raises:
        UnsupportedError: The enumeration has no such number.
    """
    try:
        return values(number)
    except ValueError as error:
        raise UnsupportedError(f"unknown {name} {number}") from error


def enumeration(slot: int, default: E, *, always: bool = False) -> E:
    """Declares an enumeration, stored as Int8."""
    declared = Field(
        slot=slot, scalar="Int8", default=default, values=type(default), always=always
    )
    return cast("E", _declared(declared))


def int32(slot: int, default: int = 0, *, always: bool = False) -> int:
    """Declares an integer of 32 bits."""
    declared = Field(slot=slot, scalar="Int32", default=default, always=always)
    return cast("int", _declared(declared))


def int64(slot: int, *, always: bool = False) -> int:
    """Declares an integer of 64 bits, 0 by default."""
    return cast("int", _declared(Field(slot=slot, scalar="Int64", default=0, always=always)))


def float32(slot: int, *, always: bool = False) -> float:
    """Declares a real number, 0 by default."""
    return cast("float", _declared(Field(slot=slot, scalar="Float32", default=0.0, always=always)))


def boolean(slot: int, default: bool = False, *, always: bool = False) -> bool:
    """Declares a bool."""
    declared = Field(slot=slot, scalar="Bool", default=default, always=always)
    return cast("bool", _declared(declared))


def int32_vector(slot: int) -> tuple[int, ...]:
    """Declares a vector of integers of 32 bits, empty by default."""
    declared = Field(slot=slot, scalar="Int32Vector", default=())
    return cast("tuple[int, ...]", _declared(declared))


def _declared(declared: Field) -> object:
    return field(default=declared.default, metadata={_KEY: declared})
