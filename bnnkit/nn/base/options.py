"""Checks of the options of estimators and weight rules."""

import math

from bnnkit.errors import UsageError


def number(
    owner: str,
    option: str,
    value: float,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
) -> float:
    """The value of an option, as a float.

    Args:
        owner: The name of the estimator or rule.
        option: The name of the option.
        value: What the user gave.
        above: It must be greater than this.
        least: It must not be smaller.
        most: It must not be greater.

    Raises:
        UsageError: The value is no finite number, or out of its range.
    """
    bounds = [(above, "above"), (least, "of at least"), (most, "of at most")]
    words = " and ".join(f"{word} {bound:g}" for bound, word in bounds if bound is not None)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if (
        not is_number
        or not math.isfinite(value)
        or (above is not None and value <= above)
        or (least is not None and value < least)
        or (most is not None and value > most)
    ):
        raise UsageError(
            f"expected the option {option} of {owner} to be a number {words}".rstrip()
            + f", got {value!r}"
        )
    return float(value)


def count(owner: str, option: str, value: int) -> int:
    """The value of an option that counts something.

    Raises:
        UsageError: The value is no positive int.
    """
    if type(value) is not int or value < 1:
        raise UsageError(
            f"expected the option {option} of {owner} to be a positive int, got {value!r}"
        )
    return value
