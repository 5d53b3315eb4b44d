"""Unpickle plain values and arrays of numbers, and nothing else.

A pickle may name any function and have it called. `PlainUnpickler` knows the names with which
NumPy pickles an array, gives stand-ins for them that only keep what they are given, and refuses
every other name. So no code of a file runs, and no version of NumPy matters: files written by
NumPy 1 under Python 2 name numpy.core.multiarray, those of NumPy 2 numpy._core.multiarray.
"""

import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray


class PlainUnpickler(pickle.Unpickler):
    """Reads dicts, lists, tuples, strings, bytes, numbers, and arrays of integers or floats.

    Raises:
        pickle.UnpicklingError: The pickle names anything else, or describes an impossible array.
    """

    def find_class(self, module_name: str, global_name: str, /) -> object:
        """The stand-in for a name of NumPy's."""
        try:
            return _STAND_INS[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it asks for {module_name}.{global_name}, and only plain arrays are read"
            ) from None

    def load(self) -> Any:
        """The value, with arrays in the place of the stand-ins."""
        return _revive(super().load())


class _DType:
    """What numpy.dtype(code, align, copy) leaves behind; its state is (version, order, ...)."""

    def __init__(self, code: object) -> None:
        self.code = _text(code)
        self.order = "|"

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.order = _text(state[1])

    def revive(self) -> np.dtype[Any]:
        if self.code[:1] not in ("u", "i", "f") or not self.code[1:].isdigit():
            raise pickle.UnpicklingError(f"it holds an array of dtype {self.code}, not of numbers")
        return np.dtype(("" if self.order == "|" else self.order) + self.code)


class _Array:
    """What numpy.core.multiarray._reconstruct leaves behind; its state describes the array."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def revive(self) -> NDArray[Any]:
        try:
            _, shape, dtype, is_fortran, content = self.state
            flat = np.frombuffer(content, dtype.revive())
            return flat.reshape(shape, order="F" if is_fortran else "C")
        except (TypeError, ValueError, AttributeError) as error:
            raise pickle.UnpicklingError(f"it holds a damaged array ({error})") from error


# The stand-ins are objects without attributes, so that a pickle cannot change them either.
class _Reconstruct:
    __slots__ = ()

    def __call__(self, *_: object) -> _Array:
        return _Array()


class _MakeDType:
    __slots__ = ()

    def __call__(self, code: object, *_: object) -> _DType:
        return _DType(code)


class _Ndarray:
    """An argument of `_reconstruct`; NumPy's pickles never call it."""

    __slots__ = ()


_STAND_INS = {
    ("numpy.core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy._core.multiarray", "_reconstruct"): _Reconstruct(),
    ("numpy", "ndarray"): _Ndarray(),
    ("numpy", "dtype"): _MakeDType(),
}


def _revive(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _revive(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_revive(item) for item in value]
    return value.revive() if isinstance(value, _Array) else value


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise pickle.UnpicklingError(f"it names a dtype by {type(value).__name__}, not by text")
    return value
