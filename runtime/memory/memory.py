"""The memory of a plan for one batch size: buffers, and the records that tell kernels of them."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnnkit.runtime.kernels.records import Map
from bnnkit.runtime.kernels.records_of_convolutions import ConvolutionRecord
from bnnkit.runtime.memory.bounds import check_record
from bnnkit.runtime.memory.philox_counters import PhiloxCounters
from bnnkit.runtime.memory.reach import PlacedMap
from bnnkit.runtime.memory.values import Array, Value


class Memory:
    """Buffers by value name. Every array whose address was taken lives as long as this object.

    Attributes:
        values: Kind, shape and layout of each value.
        batch: Number of images.
        threads: Number of threads that will work on the buffers.
        counters: Counters of the noise, one row for each pair of an image and a sample.
        buffers: Arrays by value name.
    """

    def __init__(
        self,
        values: Mapping[str, Value],
        batch: int,
        threads: int,
        *,
        noise_dependent: Collection[str] = (),
        rows: int = 0,
    ) -> None:
        """Allocate buffers.

        Args:
            values: The values to store.
            batch: Number of images.
            threads: Number of threads.
            noise_dependent: Names of values that depend on the noise. Their buffers have one entry
                per row instead of one per image.
            rows: Number of rows, each one sample of the noise for one image.
        """
        self.values = values
        self.batch = batch
        self.threads = threads
        self.counters = PhiloxCounters.zeros(rows)
        self._noise_dependent = noise_dependent
        self.buffers: dict[str, Array] = {}
        for name, value in values.items():
            if value.view_of is None:
                images = rows if name in noise_dependent else batch
                self.buffers[name] = value.allocate(images)
            else:
                self.buffers[name] = value.view(self.stored(value.view_of))
        self._records: list[Array] = []
        self._arrays: dict[int, Array] = {}
        self._placed: dict[int, PlacedMap] = {}
        self._convolutions: dict[int, ConvolutionRecord] = {}
        self._maps: dict[str, int] = {}

    def first(self, rows: int) -> "Memory":
        """Return the same buffers, with fewer rows."""
        part = Memory({}, self.batch, self.threads, noise_dependent=self._noise_dependent)
        part.values, part.counters = self.values, self.counters.first(rows)
        part.buffers = {name: self._first(name, rows) for name in self.buffers}
        return part

    def _first(self, name: str, rows: int) -> Array:
        value, buffer = self.values[name], self.buffers[name]
        if name not in self._noise_dependent:
            return buffer
        # A shape has no rows, and its numbers differ with the number of rows.
        return value.allocate(rows) if value.kind == "shape" else buffer[:rows]

    @property
    def nbytes(self) -> int:
        """Size of all buffers."""
        return sum(
            buffer.nbytes
            for name, buffer in self.buffers.items()
            if self.values[name].view_of is None
        )

    def address(self, array: Array) -> int:
        """Return the address of an array and keep the array alive."""
        return self.place(array, array)

    def place(self, buffer: Array, part: Array, offset: int = 0) -> int:
        """Return an address in a buffer, which is kept alive.

        Args:
            buffer: The buffer.
            part: A part of it, at whose first element the address is.
            offset: Bytes to be added to the address.
        """
        address = int(part.ctypes.data) + offset
        self._arrays[address] = buffer
        return address

    def array_at(self, address: int) -> Array:
        """Return the array of an address from `address` or `place`."""
        return self._arrays[address]

    def map_at(self, address: int) -> PlacedMap:
        """Return the map of an address from `map` or `map_in`."""
        return self._placed[address]

    def record_at(self, address: int) -> ConvolutionRecord:
        """Return the convolution of an address from `record`."""
        return self._convolutions[address]

    def record(self, record: NamedTuple) -> int:
        """Store a kernel's record, after a check of its reach, and return its address.

        Raises:
            ArtifactError: If a kernel would read or write outside of its buffers.
        """
        check_record(self, record)
        address = self._store(record)
        if isinstance(record, ConvolutionRecord):
            self._convolutions[address] = record
        return address

    def map_in(self, buffer: Array, described: Map) -> int:
        """Store a Map that describes a part of a buffer and return its address."""
        address = self._store(described)
        self._placed[address] = PlacedMap(described, buffer)
        return address

    def _store(self, record: NamedTuple) -> int:
        stored = np.array(record, np.int64)
        address = int(stored.ctypes.data)
        self._records.append(stored)
        return address

    def map(self, name: str) -> int:
        """Return the address of a Map that describes a value."""
        if name not in self._maps:
            self._maps[name] = self._write_map(name)
        return self._maps[name]

    def stored(self, name: str) -> NDArray[Any]:
        """Return a view of a value as it is stored, without its margin."""
        return self.values[name].as_stored(self.buffers[name])

    def onnx(self, name: str) -> NDArray[Any]:
        """Return a value in ONNX's layout, a view where possible."""
        return self.values[name].to_onnx(self.buffers[name])

    def _write_map(self, name: str) -> int:
        pixels = self.stored(name)
        image, row, pixel, _ = pixels.strides
        images, rows, columns, _ = pixels.shape
        depth = self.values[name].map[0]
        described = Map(int(pixels.ctypes.data), image, row, pixel, images, rows, columns, depth)
        return self.map_in(self.buffers[name], described)
