"""Steps of activations with few bits: their bit planes, and the layers that read them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnnkit.artifact.format.bits import n_words
from bnnkit.errors import ArtifactError
from bnnkit.runtime.kernels import levels as level_kernels
from bnnkit.runtime.kernels import planes as kernels
from bnnkit.runtime.kernels.program import Kernel
from bnnkit.runtime.kernels.records import LevelRecord, PackLevelsRecord
from bnnkit.runtime.kernels.records_of_convolutions import PlaneRecord
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.values import Array
from bnnkit.runtime.steps.convolution import Convolution
from bnnkit.runtime.steps.step import KernelCall, kernel_call

TO_REALS: dict[int, Kernel] = {
    2: kernels.planes_2_to_reals,
    3: kernels.planes_3_to_reals,
    4: kernels.planes_4_to_reals,
}
TO_LEVELS: dict[int, Kernel] = {
    2: kernels.planes_2_to_levels,
    3: kernels.planes_3_to_levels,
    4: kernels.planes_4_to_levels,
}
TO_POOLED_LEVELS: dict[int, Kernel] = {
    2: kernels.planes_2_to_pooled_levels,
    3: kernels.planes_3_to_pooled_levels,
    4: kernels.planes_4_to_pooled_levels,
}
"""Kernels by the number of planes that they read."""


@dataclass(frozen=True, kw_only=True)
class Levels:
    """Thresholds of all levels, and the planes that they give.

    Attributes:
        thresholds: (L, C), int32 or float32, L as `kernels/levels.py` takes it.
        targets: Names of the planes, which have one layout.
        side: int32 (C,), 1 or -1, by which a maximum of sums is multiplied; None is 1.
    """

    thresholds: Array
    targets: tuple[str, ...]
    side: Array | None = None

    def bind(self, memory: Memory) -> int:
        """Return the address of the record of the kernels."""
        count, channels = self.thresholds.shape
        is_real = self.thresholds.dtype == np.float32
        # No number is below these, so the padding stays +1; and every number is below NaN.
        lowest = -np.inf if is_real else np.iinfo(np.int32).min
        table = np.full((count, 64 * n_words(channels)), lowest, self.thresholds.dtype)
        table[:, :channels] = self.thresholds
        flips = np.zeros(table.shape[1], np.int32)
        if self.side is not None:
            flips[:channels] = np.where(self.side < 0, -1, 0)
        record = LevelRecord(
            levels=count,
            thresholds=memory.address(table),
            row=table.strides[0],
            channels=channels,
            flips=memory.address(flips),
            planes=memory.address(np.array(_offsets(memory, self.targets), np.int64)),
        )
        return memory.record(record)


@dataclass(frozen=True, kw_only=True)
class PackLevels:
    """Bit planes of reals or sums.

    Attributes:
        levels: Their thresholds, of the dtype of the source; `target` is the first plane.
    """

    name: str
    source: str
    target: str
    levels: Levels

    def bind(self, memory: Memory) -> KernelCall:
        is_real = self.levels.thresholds.dtype == np.float32
        kernel = level_kernels.levels_of_reals if is_real else level_kernels.levels_of_sums
        record = PackLevelsRecord(
            memory.map(self.source), memory.map(self.target), self.levels.bind(memory)
        )
        return kernel_call(kernel, memory, record)


@dataclass(frozen=True, kw_only=True)
class PlaneConvolution:
    """A layer over bit planes: the sum of the layer over each plane, times a power of two.

    Attributes:
        convolution: The layer over the first plane. Its table holds the bases of the total.
        sources: Names of the planes, which have one layout.
        shifts: The exponent of each power of two.
        levels: Thresholds of the totals, which are then stored as planes; None stores reals.
        pools: Whether 2x2 max-pooling of the totals precedes the thresholds.
    """

    convolution: Convolution
    sources: tuple[str, ...]
    shifts: tuple[int, ...]
    levels: Levels | None = None
    pools: bool = False

    @property
    def name(self) -> str:
        """Name of the graph's node."""
        return self.convolution.name

    @property
    def target(self) -> str:
        """Name of the result, or of the first plane of it."""
        return self.convolution.target

    def bind(self, memory: Memory) -> KernelCall:
        record = self.convolution.record(memory)
        offsets = _offsets(memory, self.sources)
        for source in self.sources[1:]:  # for the check of the record's reach
            replace(self.convolution, source=source).input_fields(memory)
        kernel = TO_REALS
        if self.levels is not None:
            kernel = TO_POOLED_LEVELS if self.pools else TO_LEVELS
            rows = 2 if self.pools else 1
            sums = kernels.LANES_OF_WORDS * 4
            record = record._replace(y_vector=sums, noise=self.levels.bind(memory))
            size = rows * record.columns * kernels.GROUP * sums
            record = self.convolution.with_scratch(memory, record, size)
        planes = np.array(list(zip(offsets, self.shifts, strict=True)), np.int64)
        of_planes = PlaneRecord(
            memory.record(record), memory.address(planes), count=len(self.sources)
        )
        return kernel_call(kernel[len(self.sources)], memory, of_planes)


def _offsets(memory: Memory, names: Sequence[str]) -> list[int]:
    """Return the bytes from the first of several buffers to each.

    Raises:
        ArtifactError: If they have different layouts.
    """
    buffers = [memory.buffers[name] for name in names]
    if len({(buffer.shape, buffer.strides, buffer.dtype) for buffer in buffers}) > 1:
        raise ArtifactError(
            f"the bit planes {', '.join(names)} have different layouts: this is a fault of bnnkit,"
            " please report it with the file"
        )
    first = int(buffers[0].ctypes.data)
    return [int(buffer.ctypes.data) - first for buffer in buffers]
