"""Whether nested loops over memory, and maps, stay inside their buffers (bounds.py)."""

from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import n_words
from bnnkit.errors import ArtifactError
from bnnkit.runtime.kernels.records import Map
from bnnkit.runtime.kernels.records_of_convolutions import ConvolutionRecord
from bnnkit.runtime.memory.aligned import LINE

Array = NDArray[Any]
Steps = Iterable[tuple[int, int]]
"""Count and distance in bytes of each of several nested loops."""

BYTE = 8
"""Numbers that are packed to, or unpacked from, one byte."""


class PlacedMap(NamedTuple):
    """A `Map`, and the buffer that it describes."""

    map: Map
    buffer: Array


class Addresses(Protocol):
    """What is known of the addresses in records: `Memory`."""

    def array_at(self, address: int) -> Array:
        """Return the array that an address belongs to."""

    def map_at(self, address: int) -> PlacedMap:
        """Return the map that is described at an address."""

    def record_at(self, address: int) -> ConvolutionRecord:
        """Return the convolution that is described at an address."""


def check_reach(buffer: Array, start: int, steps: Steps, size: int) -> None:
    """Check that nested loops over memory stay inside a buffer, with its margin and its slack.

    Args:
        buffer: The array, or a part of it.
        start: Address of the first access.
        steps: The loops.
        size: Bytes of one access.

    Raises:
        ArtifactError: If they do not.
    """
    reaches = [(count - 1) * distance for count, distance in steps if count > 0]
    low = start + sum(reach for reach in reaches if reach < 0)
    high = start + sum(reach for reach in reaches if reach > 0) + size
    whole = buffer
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    first = whole.ctypes.data
    # Memory that NumPy does not own, as under guard pages, has its slack behind the array.
    end = first + whole.nbytes + (0 if whole.base is None else LINE)
    if low < first or high > end:
        raise ArtifactError(
            f"a kernel would access the bytes {low - first} to {high - first} of a buffer of"
            f" {end - first}: this is a fault of bnnkit, please report it with the file"
        )


def check_map(placed: PlacedMap, size: int) -> None:
    """Check that all pixels of a map, of so many bytes each, lie in its buffer.

    Raises:
        ArtifactError: If they do not.
    """
    m = placed.map
    steps = ((m.images, m.image), (m.rows, m.row), (m.columns, m.pixel))
    check_reach(placed.buffer, m.data, steps, size)


def pixel_bytes(placed: PlacedMap, numbers: int = 1) -> int:
    """Return the bytes of a pixel, its numbers rounded up to a multiple of `numbers`."""
    depth = placed.map.depth
    if placed.buffer.dtype == np.uint64:
        return 8 * n_words(depth)
    return rounded(depth, numbers) * placed.buffer.itemsize


def rounded(count: int, multiple: int) -> int:
    """Return a count, rounded up to a multiple."""
    return -(-count // multiple) * multiple


def check_same_pixels(x: PlacedMap, y: PlacedMap) -> None:
    """Check that a kernel that walks over one map finds the same pixels in another."""
    sizes = [(m.images, m.rows, m.columns) for m in (x.map, y.map)]
    if sizes[0] != sizes[1]:
        raise ArtifactError(
            f"a kernel would combine maps of (images, rows, columns) {sizes[0]} and {sizes[1]}:"
            " this is a fault of bnnkit, please report it with the file"
        )


def check_numbers(memory: Addresses, address: int, size: int) -> None:
    """Check that an array holds so many bytes."""
    check_reach(memory.array_at(address), address, (), size)
