"""FlexBuffers that hold a map of names to integers, as the options of LCE's operators do.

A map is read with every offset checked, and nothing else than such a map is accepted.

References:
    https://flatbuffers.dev/internals/#flexbuffers
"""

from collections.abc import Mapping

from flatbuffers import flexbuffers

from bnnkit.errors import ArtifactError

_MAP = 9
_INT, _UINT, _BOOL = 1, 2, 26
_INDIRECT_INT, _INDIRECT_UINT = 6, 7
_MOST_KEYS = 64
_LONGEST_KEY = 64
_WIDTHS = (1, 2, 4, 8)


def write_map(numbers: Mapping[str, int]) -> bytes:
    """A map as a FlexBuffer; the keys are stored in the order of the mapping."""
    builder = flexbuffers.Builder()
    with builder.Map():
        for key, value in numbers.items():
            builder.Key(key)
            builder.Int(value)
    return bytes(builder.Finish())


def read_map(data: bytes) -> dict[str, int]:
    """The map in a FlexBuffer; an empty one if there are no bytes.

    Raises:
        ArtifactError: The FlexBuffer is damaged, or is not such a map.
    """
    if not data:
        return {}
    try:
        return _Map(data).read()
    except IndexError as error:
        raise ArtifactError("the options are damaged") from error


class _Map:
    def __init__(self, data: bytes) -> None:
        self._data = data

    def read(self) -> dict[str, int]:
        end = len(self._data)
        width, kind = self._byte(end - 1), self._byte(end - 2)
        if kind >> 2 != _MAP or width not in _WIDTHS:
            raise ArtifactError("the options are not a map")
        values = self._target(end - 2 - width, width)
        width = _WIDTHS[kind & 3]
        count = self._number(values - width, width)
        if count > _MOST_KEYS:
            raise ArtifactError(f"the options are a map of {count} keys")
        keys = self._target(values - 3 * width, width)
        key_width = self._number(values - 2 * width, width)
        if key_width not in _WIDTHS:
            raise ArtifactError("the options are damaged")
        options = {}
        for i in range(count):
            name = self._key(self._target(keys + i * key_width, key_width))
            options[name] = self._value(
                values + i * width, width, self._byte(values + count * width + i)
            )
        return options

    def _value(self, position: int, width: int, kind: int) -> int:
        if kind >> 2 in (_INDIRECT_INT, _INDIRECT_UINT):
            position, width = self._target(position, width), _WIDTHS[kind & 3]
            kind = (kind >> 2) - _INDIRECT_INT + _INT << 2
        if kind >> 2 not in (_INT, _UINT, _BOOL):
            raise ArtifactError(f"the options hold a value of type {kind >> 2}, not an integer")
        return self._number(position, width, signed=kind >> 2 == _INT)

    def _target(self, position: int, width: int) -> int:
        """The position that the offset at a position refers to; offsets point backwards."""
        return position - self._number(position, width)

    def _number(self, position: int, width: int, *, signed: bool = False) -> int:
        if position < 0 or position + width > len(self._data):
            raise IndexError
        return int.from_bytes(self._data[position : position + width], "little", signed=signed)

    def _byte(self, position: int) -> int:
        return self._number(position, 1)

    def _key(self, position: int) -> str:
        if not 0 <= position < len(self._data):
            raise IndexError
        end = self._data.find(b"\0", position, position + _LONGEST_KEY)
        if end < 0:
            raise IndexError
        return self._data[position:end].decode("ascii", "replace")
