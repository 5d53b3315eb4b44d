"""Constant arrays and records of the exported C, each content once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UnsupportedError

TYPES: Final = {
    "u1": "uint8_t",
    "i2": "int16_t",
    "i4": "int32_t",
    "u4": "uint32_t",
    "u8": "uint64_t",
    "f4": "float",
}
"""C's name of each element type."""
MOST_BYTES: Final = 2**31 - 1
"""Bytes of an array, or of memory, up to which the exported C's int32 counts."""
_LINE: Final = 96


@dataclass
class Constants:
    """The constants of all passes of a network.

    Attributes:
        declarations: C declarations, in order.
        nbytes: Bytes of the arrays.
    """

    declarations: list[str] = field(default_factory=list)
    nbytes: int = 0
    _names: dict[tuple[Any, ...], str] = field(default_factory=dict)

    def array(self, numbers: NDArray[Any]) -> str:
        """Return the name of a constant array, which is declared when it is new.

        Args:
            numbers: Any shape, not empty, of one of the types in TYPES.

        Raises:
            UnsupportedError: If it is larger than MOST_BYTES.
        """
        flat = np.ascontiguousarray(numbers).reshape(-1)
        if flat.nbytes > MOST_BYTES:
            raise UnsupportedError(f"constants of more than {MOST_BYTES:,} bytes")
        kind = flat.dtype.str[1:]
        key = kind, flat.tobytes()
        if key not in self._names:
            name = self._names[key] = f"c{len(self._names)}"
            digits = _lines([_literal(number, kind) for number in flat.tolist()])
            aligned = "BNN_ALIGNED " if flat.nbytes >= 1024 else ""
            declared = f"{aligned}static const {TYPES[kind]} {name}[{flat.size}]"
            self.declarations.append(f"{declared} = {{\n{digits}\n}};")
            self.nbytes += flat.nbytes
        return self._names[key]

    def record(self, kind: str, fields: Mapping[str, object]) -> str:
        """Return the name of a constant struct, which is declared when it is new."""
        content = _braces(fields)
        key = kind, content
        if key not in self._names:
            name = self._names[key] = f"c{len(self._names)}"
            self.declarations.append(f"static const {kind} {name} = {content};")
        return self._names[key]


def _braces(fields: Mapping[str, object]) -> str:
    parts = [
        f".{name} = {_braces(value) if isinstance(value, Mapping) else value}"
        for name, value in fields.items()
    ]
    return f"{{{', '.join(parts)}}}"


def _literal(number: Any, kind: str) -> str:
    if kind == "f4":
        return float_literal(number)
    if kind in ("u8", "u4"):
        return f"{hex(number)}u" + ("ll" if kind == "u8" else "")
    return int_literal(number)


def int_literal(number: int) -> str:
    """Return an int32 in C, where -2147483648 is no int."""
    return "(-2147483647 - 1)" if number == -(2**31) else str(number)


def float_literal(number: float) -> str:
    """Return a float32 as a C99 literal with the same bits."""
    if np.isnan(number):
        return "NAN"
    if np.isinf(number):
        return "INFINITY" if number > 0 else "-INFINITY"
    return f"{float(number).hex()}f"


def _lines(words: list[str]) -> str:
    lines, line = [], ""
    for word in words:
        if len(line) + len(word) > _LINE:
            lines.append(line)
            line = ""
        line += f"{word},"
    return "\n".join([*lines, line])
