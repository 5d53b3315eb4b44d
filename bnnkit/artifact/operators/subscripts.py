"""The equation of an Einsum: a letter for each axis of its operands and of its result."""

from collections.abc import Mapping
from typing import Any


def subscripts(attributes: Mapping[str, Any], operands: int) -> tuple[list[str], str]:
    """Return the letters of each operand and of the result; "..." stands for other axes.

    An equation without an arrow gives the letters that occur once, in the alphabet's order.

    Raises:
        ValueError: If the equation has another number of operands.
    """
    equation = attributes["equation"]
    text = (equation.decode() if isinstance(equation, bytes) else equation).replace(" ", "")
    left, arrow, result = text.partition("->")
    terms = left.split(",")
    if len(terms) != operands:
        raise ValueError(f"expected an equation of {operands} operands, got {text!r}")
    if not arrow:
        letters = left.replace(",", "").replace("...", "")
        once = sorted(letter for letter in set(letters) if letters.count(letter) == 1)
        result = "..." * ("..." in left) + "".join(once)
    return terms, result


def axes_of_term(term: str, rank: int) -> list[str]:
    """Return a name for each axis of an operand: its letter, or "...-1" for the last of "..."."""
    before, dots, after = term.partition("...")
    others = rank - len(before) - len(after)
    return [*before, *(f"...{i}" for i in range(-others, 0) if dots), *after]
