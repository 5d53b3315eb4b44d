"""Checks of the options of estimators and weight rules."""

import math
from numbers import Integral, Real

from bnnkit.errors import UsageError, brief


def number(
    owner: str,
    option: str,
    value: float,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
) -> float:
    """Check an option and return it as a float.

    Args:
        owner: The name of the estimator or rule.
        option: The name of the option.
        value: The value from the user.
        above: The value must be greater than this.
        at_least: The smallest value that is allowed.
        at_most: The largest value that is allowed.

    Raises:
        UsageError: If the value is not a finite number, or out of range.
    """
    bounds = [(above, "above"), (at_least, "of at least"), (at_most, "of at most")]
    words = " and ".join(f"{word} {bound:g}" for bound, word in bounds if bound is not None)
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if (
        not is_number
        or not math.isfinite(value)
        or (above is not None and value <= above)
        or (at_least is not None and value < at_least)
        or (at_most is not None and value > at_most)
    ):
        raise UsageError(
            f"expected the option {option} of {owner} to be a number {words}".rstrip()
            + f", got {brief(value)}"
        )
    return float(value)


def count(owner: str, option: str, value: int) -> int:
    """Check an option that is a positive int and return it.

    Raises:
        UsageError: If the value is not a positive int.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise UsageError(
            f"expected the option {option} of {owner} to be a positive int, got {brief(value)}"
        )
    return int(value)
