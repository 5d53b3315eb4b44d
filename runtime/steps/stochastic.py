"""Steps of stochastic signs, and the repetition of shared values for each sample."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import n_words
from bnnkit.artifact.format.cached_property import cached_property
from bnnkit.artifact.format.constants import LARGEST_SCALE, SMALLEST_SCALE
from bnnkit.errors import ArtifactError
from bnnkit.runtime.kernels import sampling as kernels
from bnnkit.runtime.kernels.records import NoisyThresholdRecord, SamplingRecord
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.quantiles import Quantiles
from bnnkit.runtime.steps.step import KernelCall, NumpyCall, kernel_call

Floats = NDArray[np.float32]
_RELATIVE_ERROR = 2.0**-21
"""Bound on the rounding error of t + r z, relative to |t| + r |z|."""
_ABSOLUTE_ERROR = 2.0**-126
"""Bound on its rounding error where the result is subnormal."""


@dataclass(frozen=True, kw_only=True)
class StochasticThreshold:
    """Thresholds and noise of stochastic signs: +1 where x >= t + r z.

    Attributes:
        thresholds: t, float32 (C,), finite.
        scales: r, float32 (C,), from 2^-64 to 2^64.
        quantiles: Quantiles of z.
        layer: Number of the stochastic sign in the network, a word of the generator's counter.

    Raises:
        ArtifactError: If a threshold is not finite or a scale is out of range.
    """

    thresholds: Floats
    scales: Floats
    quantiles: Quantiles
    layer: int

    def __post_init__(self) -> None:
        if not np.isfinite(self.thresholds).all():
            raise ArtifactError("expected finite thresholds of a stochastic sign")
        if not ((self.scales >= SMALLEST_SCALE) & (self.scales <= LARGEST_SCALE)).all():
            raise ArtifactError("expected noise scales from 2^-64 to 2^64 of a stochastic sign")

    @property
    def channels(self) -> int:
        """Number of channels C."""
        return len(self.thresholds)

    def bind(self, memory: Memory, columns: int) -> int:
        """Write a NoisyThresholdRecord for rows of `columns` signs and return its address."""
        record = NoisyThresholdRecord(
            counters=memory.address(memory.counters.words),
            keys=memory.address(memory.counters.keys),
            table=memory.address(self.quantiles.table),
            lines=memory.address(self.quantiles.lines),
            thresholds=memory.address(self._padded(self.thresholds, -np.inf)),
            scales=memory.address(self._padded(self.scales, 0)),
            slacks=memory.address(self._padded(self._slacks, 0)),
            layer=self.layer,
            channels=self.channels,
            blocks=8 * n_words(self.channels),
            columns=columns,
        )
        return memory.record(record)

    @cached_property
    def _slacks(self) -> Floats:
        largest = np.abs(self.quantiles.table).max()
        with np.errstate(over="ignore"):
            size = np.abs(self.thresholds) + self.scales * largest
            return np.asarray(size * _RELATIVE_ERROR + _ABSOLUTE_ERROR, np.float32)

    def _padded(self, numbers: Floats, padding: float) -> Floats:
        """Pad per-channel numbers to whole words; thresholds of -inf give +1, a clear bit."""
        table = np.full(64 * n_words(self.channels), padding, np.float32)
        table[: self.channels] = numbers
        return table


@dataclass(frozen=True, kw_only=True)
class SampleSigns:
    """Stochastic signs of a map of reals or sums.

    Attributes:
        noise: Thresholds and noise.
        is_shared: Whether the source does not depend on the noise, so that it has one entry per
            image instead of one per row.
    """

    name: str
    source: str
    target: str
    noise: StochasticThreshold
    is_shared: bool

    def bind(self, memory: Memory) -> KernelCall:
        images = memory.counters.images
        sources = images if self.is_shared else np.arange(len(images))
        _, _, columns = memory.values[self.target].map
        record = SamplingRecord(
            x=memory.map(self.source),
            y=memory.map(self.target),
            sources=memory.address(sources),
            noise=self.noise.bind(memory, columns),
        )
        is_sums = memory.values[self.source].kind == "sums"
        return kernel_call(
            kernels.sample_sums if is_sums else kernels.sample_reals, memory, record
        )


@dataclass(frozen=True, kw_only=True)
class Repeat:
    """A value that was computed once per image, repeated for each of its samples."""

    name: str
    source: str
    target: str

    def bind(self, memory: Memory) -> NumpyCall:
        x, y = memory.stored(self.source), memory.stored(self.target)
        images = memory.counters.images
        return lambda: np.copyto(y, x[images])
