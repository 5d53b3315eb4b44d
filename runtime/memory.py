"""The memory of a plan for one batch size: buffers, and records that tell kernels of them."""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bnnkit.runtime.draws import Draws
from bnnkit.runtime.kernels.records import Map
from bnnkit.runtime.values import Array, Value


class Memory:
    """Buffers by value name. Whatever has been given an address lives as long as this object.

    Attributes:
        values: What the buffers mean.
        batch: Images that they hold.
        threads: How many will work on them.
        draws: Of the noise; those values that depend on it have a row for each draw.
        buffers: By value name.
    """

    def __init__(
        self,
        values: Mapping[str, Value],
        batch: int,
        threads: int,
        *,
        sampled: Collection[str] = (),
        draws: int = 0,
    ) -> None:
        self.values = values
        self.batch = batch
        self.threads = threads
        self.draws = Draws.room_for(draws)
        self._sampled = sampled
        self.buffers: dict[str, Array] = {
            name: value.allocate(draws if name in sampled else batch)
            for name, value in values.items()
        }
        self._kept: list[Array] = []
        self._maps: dict[str, int] = {}

    def first(self, draws: int) -> "Memory":
        """The same buffers for fewer draws."""
        part = Memory({}, self.batch, self.threads, sampled=self._sampled)
        part.values, part.draws = self.values, self.draws.first(draws)
        part.buffers = {name: self._first(name, draws) for name in self.buffers}
        return part

    def _first(self, name: str, draws: int) -> Array:
        value, buffer = self.values[name], self.buffers[name]
        if name not in self._sampled:
            return buffer
        # A shape has no rows, and holds another number for each number of draws.
        return value.allocate(draws) if value.kind == "shape" else buffer[:draws]

    @property
    def nbytes(self) -> int:
        """Of all buffers."""
        return sum(buffer.nbytes for buffer in self.buffers.values())

    def address(self, array: Array) -> int:
        """Where an array lies; it is kept."""
        self._kept.append(array)
        return int(array.ctypes.data)

    def record(self, record: NamedTuple) -> int:
        """Write a record to memory."""
        return self.address(np.array(record, np.int64))

    def map(self, name: str) -> int:
        """The address of a value's Map."""
        if name not in self._maps:
            self._maps[name] = self._write_map(name)
        return self._maps[name]

    def stored(self, name: str) -> NDArray[Any]:
        """A value as it lies in memory, without its margin."""
        return self.values[name].as_stored(self.buffers[name])

    def onnx(self, name: str) -> NDArray[Any]:
        """A value in ONNX's layout, a view where that is possible."""
        return self.values[name].to_onnx(self.buffers[name])

    def _write_map(self, name: str) -> int:
        pixels = self.stored(name)
        image, row, pixel, _ = pixels.strides
        images, rows, columns, _ = pixels.shape
        depth = self.values[name].map[0]
        return self.record(
            Map(int(pixels.ctypes.data), image, row, pixel, images, rows, columns, depth)
        )
