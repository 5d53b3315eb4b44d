"""Options of builtin operators that several of them share."""

from bnnkit.errors import ArtifactError
from bnnkit.tflite.flatbuffer import Table
from bnnkit.tflite.network import Operator


class Options:
    """The options of an operator: a table of the union BuiltinOptions, or the defaults.

    Args:
        operator: Whose.
        table: The number of the table in the union.

    Raises:
        ArtifactError: The operator has the options of another.
    """

    def __init__(self, operator: Operator, table: int) -> None:
        if operator.options is not None and operator.options_type != table:
            raise ArtifactError(
                f"expected options of type {table}, got type {operator.options_type}"
            )
        self._table: Table | None = operator.options

    def byte(self, slot: int) -> int:
        """An enumeration, or a truth value."""
        return int(self._table.number(slot, "b")) if self._table else 0

    def whole(self, slot: int, default: int = 0) -> int:
        """A whole number."""
        return int(self._table.number(slot, "i", default)) if self._table else default

    def real(self, slot: int) -> float:
        """A real number."""
        return float(self._table.number(slot, "f")) if self._table else 0.0


def fused_activation(operator: Operator, table: int, slot: int = 0) -> int:
    """The activation in the options of an operator."""
    return Options(operator, table).byte(slot)
