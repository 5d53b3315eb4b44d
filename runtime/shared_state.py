"""Samples of a batch of images: what does not depend on the noise is computed once and shared."""

from collections.abc import Iterator, Sequence

import numpy as np

from bnnkit.artifact.format.input_batch import Batch
from bnnkit.artifact.format.sample import Sample
from bnnkit.runtime.executable import Executable
from bnnkit.runtime.memory.memory import Memory
from bnnkit.runtime.memory.values import Array, Integers
from bnnkit.runtime.plan import Plan


class SharedState:
    """A plan in memory for a batch of images and `rows` rows. One caller at a time.

    A row is one sample of the noise for one image. Values that do not depend on the noise, above
    all the first layer, are computed once for each image and shared by its rows.

    Args:
        plan: Plan of the stochastic network.
        batch: Number of images.
        rows: Largest number of rows that are computed together.
        threads: Number of threads.
    """

    def __init__(self, plan: Plan, batch: int, rows: int, threads: int) -> None:
        self._plan = plan
        self._rows = rows
        self._memory = Memory(
            plan.values, batch, threads, noise_dependent=plan.noise_dependent, rows=rows
        )
        shared = [step for step in plan.steps if step.target not in plan.noise_dependent]
        self._shared = Executable(self._memory, shared)
        self._steps = [step for step in plan.steps if step.target in plan.noise_dependent]
        self._executables: dict[int, Executable] = {}
        self._numbers: Integers = np.zeros(batch, np.int64)

    @property
    def nbytes(self) -> int:
        """Size of the buffers."""
        return self._memory.nbytes

    def load(self, images: Batch, numbers: Integers) -> None:
        """Compute what the samples of these images share.

        Args:
            images: The inputs, (batch, ...).
            numbers: (batch,), image numbers in the generator's counters.
        """
        self._plan.load(images, self._memory)
        self._numbers = numbers
        self._shared.run()

    def compute(
        self, images: Integers, samples: Sequence[Sample], names: Sequence[str]
    ) -> dict[str, Array]:
        """Compute values of R rows.

        Args:
            images: (R,), position of each row's image in the batch.
            samples: R samples, all of one seed.
            names: Names of the values.

        Returns:
            Each value in ONNX's layout, (R, ...).
        """
        passes = [
            self._pass(images[part], samples[part], names)
            for part in _parts(len(images), self._rows)
        ]
        return self._plan.joined(passes, names)

    def _pass(
        self, images: Integers, samples: Sequence[Sample], names: Sequence[str]
    ) -> dict[str, Array]:
        executable = self._executable(len(images))
        executable.memory.counters.set(images, self._numbers[images], samples)
        executable.run()
        return {name: self._read(name, executable.memory, images) for name in names}

    def _executable(self, rows: int) -> Executable:
        """Return the noise-dependent steps, bound to the first `rows` rows of the memory."""
        if rows not in self._executables:
            self._executables[rows] = Executable(self._memory.first(rows), self._steps)
        return self._executables[rows]

    def _read(self, name: str, memory: Memory, images: Integers) -> Array:
        """Read a value; a shared value is repeated for the rows of each image."""
        value = self._plan.read(name, memory)
        is_per_row = name in self._plan.noise_dependent or name in self._plan.constants
        return value if is_per_row else value[images]


def _parts(count: int, size: int) -> Iterator[slice]:
    """Split `count` rows into parts of `size`, and the rest into powers of two.

    Powers of two keep the number of different sizes low, each of which has an Executable.
    """
    start = 0
    while start < count:
        rest = count - start
        part = size if rest >= size else 1 << (rest.bit_length() - 1)
        yield slice(start, start + part)
        start += part
