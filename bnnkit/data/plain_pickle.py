"""Unpickles plain values and arrays of numbers, and nothing else.

A pickle can name any function and have it called. `PlainUnpickler` accepts only the names with
which NumPy pickles an array, replaces them by stand-ins that store their arguments, and refuses
every other name. So no code in a file is executed, and the version of NumPy does not matter: files
written by NumPy 1 under Python 2 name numpy.core.multiarray, those of NumPy 2
numpy._core.multiarray.
"""

import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray


class PlainUnpickler(pickle.Unpickler):
    """Reads dicts, lists, tuples, strings, bytes, numbers, and arrays of integers or floats.

    Raises:
        pickle.UnpicklingError: If the pickle names anything else, or describes an impossible
            array.
    """

    def find_class(self, module_name: str, global_name: str, /) -> object:
        """Return the stand-in for a name of NumPy."""
        try:
            return _STAND_INS[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module_name}.{global_name}; only plain arrays are read"
            ) from None

    def load(self) -> Any:
        """Return the value, with stand-ins converted to arrays."""
        return _to_arrays(super().load())


class _DType:
    """The stand-in for numpy.dtype(code, align, copy); its state is (version, order, ...)."""

    def __init__(self, code: object) -> None:
        self.code = _text(code)
        self.order = "|"

    def __setstate__(self, state: tuple[object, ...]) -> None:
        self.order = _text(state[1])

    def to_numpy(self) -> np.dtype[Any]:
        if self.code[:1] not in ("u", "i", "f") or not self.code[1:].isdigit():
            raise pickle.UnpicklingError(f"it holds an array of dtype {self.code}, not of numbers")
        return np.dtype(("" if self.order == "|" else self.order) + self.code)


class _Array:
    """The stand-in for numpy.core.multiarray._reconstruct(); its state describes the array."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def to_numpy(self) -> NDArray[Any]:
        try:
            _, shape, dtype, is_fortran, content = self.state
            flat = np.frombuffer(content, dtype.to_numpy())
            return flat.reshape(shape, order="F" if is_fortran else "C")
        except (TypeError, ValueError, AttributeError) as error:
            raise pickle.UnpicklingError(f"it holds a damaged array ({error})") from error


# These stand-ins have no attributes, so that a pickle cannot modify them.
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


def _to_arrays(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _to_arrays(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_to_arrays(item) for item in value]
    return value.to_numpy() if isinstance(value, _Array) else value


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise pickle.UnpicklingError(f"it names a dtype by {type(value).__name__}, not by text")
    return value
