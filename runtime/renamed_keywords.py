"""Accept the former names of keyword arguments for one release."""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


def renamed_keywords(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function accept former keywords, with a DeprecationWarning.

    Args:
        names: The present keyword for each former one. Type checkers see the present ones only.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function, updated=())
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for former in names.keys() & kwargs.keys():
                _rename(kwargs, former, names[former])
            return function(*args, **kwargs)

        return call

    return decorate


def _rename(kwargs: dict[str, Any], former: str, present: str) -> None:
    if present in kwargs:
        raise TypeError(f"got both {present} and {former}, its former name: give {present} only")
    warnings.warn(f"{former} is now {present}", DeprecationWarning, stacklevel=3)
    kwargs[present] = kwargs.pop(former)
