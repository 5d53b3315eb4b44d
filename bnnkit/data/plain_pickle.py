"""Reads pickles of plain values and arrays of numbers, and nothing else.

A pickle is a program for a machine with a stack; Python's own machine can be told to call any
function, to allocate any amount of memory, and to build a list that contains itself a million
times. The one here knows only the instructions that plain values and NumPy's arrays need, and
calls nothing: the names with which NumPy pickles an array stand for a description of the array,
and those with which Python 3 pickles bytes for Python 2 stand for the bytes. It takes time and
memory in proportion to the file. The version of NumPy does not matter: files written by NumPy 1
under Python 2 name numpy.core.multiarray, those of NumPy 2 numpy._core.multiarray.

Format: the docstrings of `pickletools` in Python's standard library.
"""

import codecs
import pickle
import struct
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

_RECONSTRUCT, _NDARRAY, _DTYPE, _BYTES = "_reconstruct", "ndarray", "dtype", "bytes"
_NAMES = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): _NDARRAY,
    ("numpy", "dtype"): _DTYPE,
    # How Python 3 writes bytes in protocols 0 to 2.
    ("_codecs", "encode"): _BYTES,
    ("__builtin__", "bytes"): _BYTES,
}


def read_plain_pickle(content: bytes) -> Any:
    """Read a dict, list, tuple, string, bytes, number, or an array in a dict or list.

    Byte strings of Python 2 become bytes. An array in a tuple stays a description, which no reader
    takes for data.

    Args:
        content: The file.

    Returns:
        The value. Keys of dicts are bytes or strings.

    Raises:
        pickle.UnpicklingError: If the pickle is truncated, has an instruction or a name of
            anything else, or describes an impossible array.
    """
    return _Machine(content).run()


class _Name:
    """A name in a pickle: what it stands for. It is only compared, never called."""

    def __init__(self, meaning: str) -> None:
        self.meaning = meaning


class _DType:
    """What numpy.dtype(code, align, copy) describes; its state is (version, order, ...)."""

    def __init__(self, code: object) -> None:
        self._code = _text(code)
        self._order = "|"

    def build(self, state: tuple[Any, ...]) -> None:
        self._order = _text(state[1])

    def to_numpy(self) -> np.dtype[Any]:
        if self._code[:1] not in ("u", "i", "f") or not self._code[1:].isdigit():
            raise pickle.UnpicklingError(
                f"it holds an array of dtype {self._code}, not of numbers"
            )
        return np.dtype(("" if self._order == "|" else self._order) + self._code)


class _Array:
    """What numpy.core.multiarray._reconstruct() describes; its state holds the numbers."""

    def __init__(self) -> None:
        self._state: tuple[Any, ...] = ()

    def build(self, state: tuple[Any, ...]) -> None:
        self._state = state

    @cached_property
    def array(self) -> NDArray[Any]:
        try:
            _, shape, dtype, is_fortran, content = self._state
            flat = np.frombuffer(content, dtype.to_numpy())
            return flat.reshape(shape, order="F" if is_fortran else "C")
        except (TypeError, ValueError, AttributeError) as error:
            raise pickle.UnpicklingError(f"it holds a damaged array ({error})") from error


class _Machine:
    """The machine: a stack of values, the places of marks in it, and a memory by number."""

    def __init__(self, content: bytes) -> None:
        self._content, self._at = content, 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memory: dict[int, Any] = {}
        self._encoded: dict[int, tuple[str, bytes]] = {}  # by id of the text, which stays alive
        self._lists: list[list[Any]] = []
        self._dicts: list[dict[Any, Any]] = []

    def run(self) -> Any:
        """Run the program until it stops; return the value on top, with arrays made."""
        while (instruction := self.take(1)) != b".":
            step = _STEPS.get(instruction)
            if step is None:
                raise pickle.UnpicklingError(
                    f"it has the instruction {instruction!r}; only plain arrays are read"
                )
            try:
                step(self)
            except (ValueError, struct.error) as error:
                raise pickle.UnpicklingError(f"it is damaged ({error})") from error
        # Each container once: a walk through the value may meet one more often than the file.
        for items in self._lists:
            items[:] = map(_as_array, items)
        for content in self._dicts:
            content.update({key: _as_array(item) for key, item in content.items()})
        return _as_array(self.pop())

    def take(self, count: int) -> bytes:
        """Take the next bytes of the program."""
        start, self._at = self._at, self._at + count
        if count < 0 or self._at > len(self._content):
            raise pickle.UnpicklingError("it is truncated or damaged")
        return self._content[start : self._at]

    def number(self, layout: str) -> Any:
        """Take a number, in a layout of `struct`."""
        return struct.unpack(layout, self.take(struct.calcsize(layout)))[0]

    def line(self) -> bytes:
        """Take the rest of the line."""
        end = self._content.find(b"\n", self._at)
        return self.take(end + 1 - self._at)[:-1]

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def pop(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise pickle.UnpicklingError("it is damaged: a value is missing")
        return self._stack.pop()

    def mark(self) -> None:
        self._marks.append(len(self._stack))

    def pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise pickle.UnpicklingError("it is damaged: a mark is missing")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    def pop_several(self, count: int) -> tuple[Any, ...]:
        return tuple(reversed([self.pop() for _ in range(count)]))

    def top(self, kind: type[Any]) -> Any:
        """Return the value on top of the stack, which must be of a kind."""
        value = self.pop()
        if not isinstance(value, kind):
            raise pickle.UnpicklingError(f"it is damaged: expected a {kind.__name__}")
        self.push(value)
        return value

    def store(self, number: int) -> None:
        value = self.pop()
        self.push(value)
        self._memory[number] = value

    def store_next(self) -> None:
        self.store(len(self._memory))

    def recall(self, number: int) -> None:
        if number not in self._memory:
            raise pickle.UnpicklingError("it is damaged: it recalls a value that is not there")
        self.push(self._memory[number])

    def push_list(self, values: list[Any]) -> None:
        self._lists.append(values)
        self.push(values)

    def push_dict(self) -> None:
        self._dicts.append({})
        self.push(self._dicts[-1])

    def extend(self, values: list[Any]) -> None:
        self.top(list).extend(values)

    def set_items(self, values: list[Any]) -> None:
        """Set pairs of keys and values; keys of other kinds could be made to collide."""
        if len(values) % 2 or not all(isinstance(key, bytes | str) for key in values[::2]):
            raise pickle.UnpicklingError("it has a dict with keys that are not text")
        self.top(dict).update(zip(values[::2], values[1::2], strict=True))

    def make_dict(self) -> None:
        values = self.pop_to_mark()
        self.push_dict()
        self.set_items(values)

    def name(self, module: str, name: str) -> None:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(f"it names {module}.{name}; only plain arrays are read")
        self.push(_Name(_NAMES[module, name]))

    def name_on_stack(self) -> None:
        module, name = self.pop_several(2)
        self.name(_text(module), _text(name))

    def reduce(self) -> None:
        """Describe the array or dtype that a call of NumPy's would make."""
        name, arguments = self.pop_several(2)
        meaning = name.meaning if isinstance(name, _Name) else ""
        if meaning == _RECONSTRUCT:
            self.push(_Array())
        elif meaning == _DTYPE and isinstance(arguments, tuple) and arguments:
            self.push(_DType(arguments[0]))
        elif meaning == _BYTES:
            self.push(self.encoded(arguments))
        else:
            raise pickle.UnpicklingError("it calls something; only plain arrays are read")

    def encoded(self, arguments: object) -> bytes:
        """Return the bytes that _codecs.encode(text, "latin1") or bytes() describes.

        Each text is encoded once, so that a file cannot ask for one long text again and again.
        """
        match arguments:
            case ():
                return b""
            case (str(text), "latin1"):
                if id(text) not in self._encoded:
                    self._encoded[id(text)] = text, text.encode("latin1")
                return self._encoded[id(text)][1]
            case _:
                raise pickle.UnpicklingError("it holds damaged bytes")

    def build(self) -> None:
        state = self.pop()
        if not isinstance(state, tuple) or len(state) < 2:
            raise pickle.UnpicklingError("it holds a damaged array")
        target = self.pop()
        if not isinstance(target, _Array | _DType):
            raise pickle.UnpicklingError("it changes something; only plain arrays are read")
        target.build(state)
        self.push(target)


def _as_array(value: Any) -> Any:
    return value.array if isinstance(value, _Array) else value


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin1")
    if not isinstance(value, str):
        raise pickle.UnpicklingError(f"it names a dtype by {type(value).__name__}, not by text")
    return value


def _integer_line(line: bytes) -> object:
    """Read a number of protocol 0; 00 and 01 are the booleans."""
    if line in (b"00", b"01"):
        return line == b"01"
    return int(line.removesuffix(b"L"))


def _quoted(line: bytes) -> bytes:
    return bytes(codecs.escape_decode(line.strip(b"\r")[1:-1])[0])


def _unicode(content: bytes) -> str:
    return content.decode("utf-8", "surrogatepass")


def _long(content: bytes) -> int:
    return int.from_bytes(content, "little", signed=True)


_Step = Callable[[_Machine], None]


def _constant(value: object) -> _Step:
    return lambda machine: machine.push(value)


def _fixed(layout: str) -> _Step:
    return lambda machine: machine.push(machine.number(layout))


def _counted(layout: str, read: Callable[[bytes], object] = bytes) -> _Step:
    return lambda machine: machine.push(read(machine.take(machine.number(layout))))


def _line(read: Callable[[bytes], object]) -> _Step:
    return lambda machine: machine.push(read(machine.line()))


def _name_in_lines(machine: _Machine) -> None:
    machine.name(machine.line().decode(), machine.line().decode())


_STEPS: dict[bytes, _Step] = {
    b"\x80": lambda machine: machine.number("<B"),  # PROTO
    b"\x95": lambda machine: machine.number("<Q"),  # FRAME
    b"N": _constant(None),
    b"\x88": _constant(True),
    b"\x89": _constant(False),
    b"I": _line(_integer_line),
    b"L": _line(_integer_line),
    b"J": _fixed("<i"),
    b"K": _fixed("<B"),
    b"M": _fixed("<H"),
    b"\x8a": _counted("<B", _long),
    b"\x8b": _counted("<i", _long),
    b"F": _line(float),
    b"G": _fixed(">d"),
    b"S": _line(_quoted),
    b"T": _counted("<i"),
    b"U": _counted("<B"),
    b"B": _counted("<I"),
    b"C": _counted("<B"),
    b"\x8e": _counted("<Q"),
    b"V": _line(lambda line: line.decode("raw-unicode-escape")),
    b"X": _counted("<I", _unicode),
    b"\x8c": _counted("<B", _unicode),
    b"\x8d": _counted("<Q", _unicode),
    b"(": _Machine.mark,
    b"0": lambda machine: machine.pop(),
    b")": _constant(()),
    b"t": lambda machine: machine.push(tuple(machine.pop_to_mark())),
    b"\x85": lambda machine: machine.push(machine.pop_several(1)),
    b"\x86": lambda machine: machine.push(machine.pop_several(2)),
    b"\x87": lambda machine: machine.push(machine.pop_several(3)),
    b"]": lambda machine: machine.push_list([]),
    b"l": lambda machine: machine.push_list(machine.pop_to_mark()),
    b"a": lambda machine: machine.extend([machine.pop()]),
    b"e": lambda machine: machine.extend(machine.pop_to_mark()),
    b"}": _Machine.push_dict,
    b"d": _Machine.make_dict,
    b"s": lambda machine: machine.set_items(list(machine.pop_several(2))),
    b"u": lambda machine: machine.set_items(machine.pop_to_mark()),
    b"p": lambda machine: machine.store(int(machine.line())),
    b"q": lambda machine: machine.store(machine.number("<B")),
    b"r": lambda machine: machine.store(machine.number("<I")),
    b"\x94": _Machine.store_next,
    b"g": lambda machine: machine.recall(int(machine.line())),
    b"h": lambda machine: machine.recall(machine.number("<B")),
    b"j": lambda machine: machine.recall(machine.number("<I")),
    b"c": _name_in_lines,
    b"\x93": _Machine.name_on_stack,
    b"R": _Machine.reduce,
    b"b": _Machine.build,
}
"""What each instruction of a pickle does, of those that plain values and arrays need."""
