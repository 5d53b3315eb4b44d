"""Reads the options of an operator into named fields."""

from typing import Any, Final

from bnnkit.errors import ArtifactError
from bnnkit.tflite.fields import Field, Options, Scalar, fields_of, member_of
from bnnkit.tflite.lce_options import from_map
from bnnkit.tflite.operators import BUILTINS, CUSTOM, CustomOperator, UnknownOptions
from bnnkit.tflite.read_flatbuffer import Table
from bnnkit.tflite.schema import Builtin

_CODES: Final[dict[Scalar, str]] = {
    "Bool": "?",
    "Float32": "f",
    "Int8": "b",
    "Int32": "i",
    "Int64": "q",
}
"""Codes of the types in the module struct."""


def builtin_options(code: Builtin, number: int, table: Table | None) -> Options | None:
    """The options of a builtin operator; its defaults if the file has none.

    Args:
        code: The operator.
        number: Number of the table in the union BuiltinOptions.
        table: The table; None if the file leaves it out.

    Returns:
        None for an operator without options.

    Raises:
        ArtifactError: The options are those of another operator.
        UnsupportedError: A field has an unknown value.
    """
    if code not in BUILTINS:
        return None if table is None else UnknownOptions(number=number)
    expected = BUILTINS[code]
    if expected.kind is None:
        return None
    if table is None:
        return expected.kind()
    if number != expected.number:
        raise ArtifactError(f"expected options of type {expected.number}, got type {number}")
    declared = fields_of(expected.kind)
    return expected.kind(**{name: _value(table, name, one) for name, one in declared.items()})


def custom_options(name: str, data: bytes) -> tuple[Options | None, bytes]:
    """The options of a custom operator, and the bytes of options that bnnkit does not know.

    Raises:
        ArtifactError: The options are damaged, or one is missing.
        UnsupportedError: An option is unknown, or has an unknown value.
    """
    kind = CUSTOM.get(name, CustomOperator()).kind
    return (None, data) if kind is None else (from_map(kind, data), b"")


def _value(table: Table, name: str, declared: Field) -> Any:
    if declared.scalar == "Int32Vector":
        return table.ints(declared.slot)
    number = table.number(declared.slot, _CODES[declared.scalar], declared.default)
    return number if declared.values is None else member_of(declared.values, number, name)
