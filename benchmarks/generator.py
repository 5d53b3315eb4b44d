"""The time that the kernels' random number generator alone takes in an ensemble."""

import time
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.sample import Sample
from bnnkit.runtime.kernels.program import address_of, as_ctypes
from bnnkit.runtime.kernels.records import PIXELS, NoisyThresholdRecord, read
from bnnkit.runtime.kernels.stochastic import LANES, PARTS, draw_indices, index_buffer
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.shared_weights import SharedWeights
from bnnkit.runtime.sampler import Sampler
from bnnkit.runtime.steps.convolution import Convolution
from bnnkit.runtime.steps.stochastic import SampleSigns

RUNS = 30


class DrawRecord(NamedTuple):
    """The random numbers of a layer."""

    noise: int
    """The address of a NoisyThresholdRecord."""
    draws: int
    pixels: int
    """The number of pixels of an image's signs."""


@njit(error_model="numpy")
def _draw(pixels, n, pixel, indices):
    for channel in range(0, n.channels, PARTS * LANES):
        draw_indices(pixels, n, (pixel, 0, 0), pixel * n.blocks + channel // 8, indices)


def draw_layer(at, thread, threads):
    """Draw all indices of a layer's signs in the order of its kernel, and discard them."""
    d: Any = read(DrawRecord, at)
    n, indices = read(NoisyThresholdRecord, d.noise), index_buffer()
    for _ in range(d.draws):
        pixel = 0
        while pixel + PIXELS <= d.pixels:
            _draw(PIXELS, n, pixel, indices)
            pixel += PIXELS
        while pixel < d.pixels:
            _draw(1, n, pixel, indices)
            pixel += 1


def generator_seconds(artifact: Artifact, draws: int) -> float:
    """Measure the seconds for the random numbers of `draws` samples of an image, on one thread."""
    plan = Sampler(artifact, SharedWeights()).plan()
    memory = Memory(plan.values, 1, 1, noise_dependent=plan.noise_dependent, rows=draws)
    images = np.zeros(draws, np.int64)
    memory.counters.set(images, images, [Sample(index=index) for index in range(draws)])
    kernel = as_ctypes(address_of(draw_layer), 3)
    records = [_record(memory, step, draws) for step in plan.steps if _is_noisy(step)]
    times: list[float] = []
    for _ in range(RUNS):
        start = time.perf_counter()
        for record in records:
            kernel(record, 0, 1)
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def noisy_signs(artifact: Artifact) -> int:
    """Count the noisy signs of one sample of one image."""
    plan = Sampler(artifact, SharedWeights()).plan()
    shapes: list[NDArray[Any] | tuple[int, ...]] = [
        plan.values[step.target].shape for step in plan.steps if _is_noisy(step)
    ]
    return int(sum(np.prod(shape) for shape in shapes))


def _is_noisy(step: object) -> bool:
    return isinstance(step, (Convolution, SampleSigns)) and step.noise is not None


def _record(memory: Memory, step: Any, draws: int) -> int:
    _, rows, columns = memory.values[step.target].map
    return memory.record(DrawRecord(step.noise.bind(memory, columns), draws, rows * columns))
