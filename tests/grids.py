"""Grids of cases: a diagonal in the quick run, all combinations in the gate."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import pytest


def grid(names: str, *axes: Sequence[Any]) -> pytest.MarkDecorator:
    """Parametrize a test over all combinations of values.

    Those on the diagonal, which goes through each axis again where another is longer, have every
    value once at least. All others are marked exhaustive.

    Args:
        names: Of the arguments, separated by commas.
        axes: The values of each argument.
    """
    longest = max(len(axis) for axis in axes)
    diagonal = {tuple(step % len(axis) for axis in axes) for step in range(longest)}
    cases = []
    for place in product(*(range(len(axis)) for axis in axes)):
        values = (axis[index] for axis, index in zip(axes, place, strict=True))
        marks = () if place in diagonal else (pytest.mark.exhaustive,)
        cases.append(pytest.param(*values, marks=marks))
    return pytest.mark.parametrize(names, cases)
