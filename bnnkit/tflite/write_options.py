"""Writes the options of an operator, given by named fields."""

from typing import Any

from bnnkit.errors import UnsupportedError
from bnnkit.tflite.fields import Options, fields_of
from bnnkit.tflite.flexbuffer import write_map
from bnnkit.tflite.lce_options import LceOptions, to_map
from bnnkit.tflite.network import Operator
from bnnkit.tflite.operators import BUILTINS, BuiltinOperator, UnknownOptions, options_kind
from bnnkit.tflite.write_flatbuffer import Builder, Slots, ints, table


def options_table(operator: Operator) -> int:
    """Number of the table of an operator's options in the union BuiltinOptions; 0 for none.

    Raises:
        UnsupportedError: The operator is not in operators.py, but has options.
        TypeError: The options are those of another operator.
    """
    if isinstance(operator.options, UnknownOptions):
        raise UnsupportedError(
            f"the options of {operator.name} are unknown, so they cannot be written"
        )
    kind = options_kind(operator.code)
    if operator.options is not None and type(operator.options) is not kind:
        raise TypeError(f"{operator.name} cannot have {type(operator.options).__name__}")
    if isinstance(operator.code, str):
        return 0
    return BUILTINS.get(operator.code, BuiltinOperator()).number


def write_table(builder: Builder, options: Options | None) -> int:
    """Write the options of a builtin operator; returns where they are."""
    if options is None:
        return table(builder, {})
    slots: Slots = {}
    for name, declared in fields_of(type(options)).items():
        value: Any = getattr(options, name)
        if not declared.always and value == declared.default:
            continue
        is_vector = declared.scalar == "Int32Vector"
        slots[declared.slot] = ints(builder, value) if is_vector else (declared.scalar, value)
    return table(builder, slots)


def custom_bytes(operator: Operator) -> bytes:
    """The bytes of a custom operator's options; empty if it has none."""
    if isinstance(operator.options, LceOptions):
        return write_map(to_map(operator.options))
    return operator.custom_options
