"""Checks of the arguments of layers and functions."""

from collections.abc import Iterable, Mapping
from math import isfinite
from numbers import Integral, Real
from typing import Any

from bnnkit.errors import UsageError, brief

_LARGEST = 2**31 - 1


def integer(name: str, value: Any, *, at_least: int = 1) -> int:
    """Check an integer, of Python or NumPy, and return it as an int.

    Raises:
        UsageError: If it is not an integer, below the limit, or above 2^31 - 1.
    """
    is_integer = isinstance(value, Integral) and not isinstance(value, bool)
    if is_integer and value > _LARGEST:
        raise UsageError(f"expected {name} to be an int of at most {_LARGEST}, got {brief(value)}")
    if not is_integer or value < at_least:
        raise UsageError(
            f"expected {name} to be an int of at least {at_least}, got {brief(value)}"
        )
    return int(value)


def flag(name: str, value: Any) -> bool:
    """Check that a value is True or False.

    Raises:
        UsageError: If it is not; a string such as "no" would count as True.
    """
    if not isinstance(value, bool):
        raise UsageError(f"expected {name} to be True or False, got {brief(value)}")
    return value


def real(name: str, value: Any, *, at_least: float = 0.0) -> float:
    """Check a finite number and return it as a float.

    Raises:
        UsageError: If it is not a finite number, or below the limit.
    """
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not isfinite(value) or value < at_least:
        raise UsageError(
            f"expected {name} to be a finite number of at least {at_least:g}, got {brief(value)}"
        )
    return float(value)


def choice(name: str, value: Any, choices: Iterable[str]) -> str:
    """Check that a value is one of several words.

    Raises:
        UsageError: If it is not; the message lists the words.
    """
    words = tuple(choices)
    if not isinstance(value, str) or value not in words:
        raise UsageError(f"expected {name} out of {', '.join(words)}, got {brief(value)}")
    return value


def strings(name: str, values: Any) -> list[str]:
    """Check a list, or another iterable, of strings.

    Raises:
        UsageError: If it is one string, no iterable, or has another element.
    """
    if isinstance(values, str):
        raise UsageError(
            f"expected a list of names, got the string {values!r}; write [{values!r}]"
        )
    found = list(values) if isinstance(values, Iterable) and not is_scalar(values) else [values]
    if not all(isinstance(value, str) for value in found):
        raise UsageError(f"expected {name} to be a list of strings, got {values!r}")
    return found


def is_scalar(value: Any) -> bool:
    """Return whether a value says that it can be iterated and has no axis, such as tensor(2)."""
    return getattr(value, "ndim", None) == 0


def options(name: str, value: Any) -> dict[str, Any]:
    """Check options by their names; None is none.

    Raises:
        UsageError: If it is not a mapping from strings.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise UsageError(
            f"expected {name} to be a mapping from names to values, got {brief(value)}"
        )
    return dict(value)
