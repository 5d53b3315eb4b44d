"""A data set that is read while it is used, because it need not fit into memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.data.examples import ArrayExamples
from bnnkit.data.targets import TargetKind
from bnnkit.errors import ConfigError
from bnnkit.images.preprocessing import Preprocessing

if TYPE_CHECKING:
    from bnnkit.data.reading import Reader

Array = NDArray[Any]
Batch = tuple[Array, Array]

ZERO_POINT_IMAGES: Final = 10_000
"""The largest number of training images whose mean is the zero point."""
BATCH_BYTES: Final = 32 << 20
"""The largest size of the inputs of a batch that is not one of training."""
_BATCH: Final = 250


@dataclass(frozen=True, eq=False)
class StreamedExamples:
    """N examples that worker processes read in batches; at most a few batches are in memory.

    Random numbers that the reading of an example draws depend on `seed`, the epoch and the example
    only, not on the workers.

    Attributes:
        reader: What reads them.
        indices: The positions of the examples in the reader's, int64 (N,), if they are a part of
            them; None for all. A stream has no parts.
        workers: The number of processes that read; 0 reads in this one.
    """

    reader: "Reader"
    indices: NDArray[np.int64] | None = None
    workers: int = 0

    def __len__(self) -> int:
        return len(self.reader) if self.indices is None else len(self.indices)

    @property
    def is_stream(self) -> bool:
        """Whether the examples can only be read in their order."""
        return self.reader.is_stream

    @property
    def example_bytes(self) -> int:
        """The bytes of one input in memory."""
        form = self.reader.form
        assert form is not None  # it was found out before
        return max(1, prod(form.shape) * np.dtype(form.dtype).itemsize)

    def at_once(self, size: int) -> int:
        """Return the number of examples in a batch: `size`, or as many as have `BATCH_BYTES`."""
        return min(size, max(1, BATCH_BYTES // self.example_bytes))

    def batches(self, size: int, start: int = 0, stop: int | None = None) -> Iterator[Batch]:
        """Yield the examples from `start` to `stop` in order, as many at a time as `at_once`."""
        size = self.at_once(size)
        stop = len(self) if stop is None else min(stop, len(self))
        if start >= stop:
            return
        if self.is_stream:
            yield from self.reader.stream(size, workers=self.workers, start=start, stop=stop)
            return
        positions = np.arange(start, stop) if self.indices is None else self.indices[start:stop]
        parts = [positions[first : first + size] for first in range(0, len(positions), size)]
        yield from self.reader.at(parts, workers=self.workers)

    def chosen_by(self, batches: Sequence[Array], *, seed: int, epoch: int) -> Iterator[Batch]:
        """Yield batches of the examples at these positions, for an epoch of training."""
        if self.indices is not None:
            batches = [self.indices[batch] for batch in batches]
        return self.reader.at(batches, workers=self.workers, seed=(seed, epoch))

    def in_order(
        self, size: int, *, seed: int, epoch: int, buffer: int, most: int
    ) -> Iterator[Batch]:
        """Yield whole batches of a stream, for an epoch of training.

        Args:
            size: Examples in a batch; what is left at the end is left out.
            seed: The seed of the run.
            epoch: The number of the epoch.
            buffer: The number of examples among which the next one is drawn at random.
            most: The largest number of batches.
        """
        stop = min(most, len(self) // size) * size
        return self.reader.stream(
            size, workers=self.workers, stop=stop, seed=(seed, epoch), buffer=buffer
        )

    def some(self, most: int, seed: int) -> Batch:
        """Read at most `most` examples, chosen at random; of a stream the first ones."""
        if self.is_stream:
            return joined(self.batches(_BATCH, 0, most))
        order = np.random.default_rng(seed).permutation(len(self))[:most]
        return joined(self.part(order).batches(_BATCH))

    def part(self, positions: Array) -> "StreamedExamples":
        """Return the examples at these positions, int64 (M,)."""
        inside = positions if self.indices is None else self.indices[positions]
        return StreamedExamples(self.reader, inside, self.workers)


AnyExamples = ArrayExamples | StreamedExamples


@dataclass(frozen=True, kw_only=True, eq=False)
class StreamedDataset:
    """Labelled examples for training and for testing, as `Dataset`, that are read while used.

    Attributes:
        name: The name of the data set.
        train: The examples for training.
        test: The examples for testing.
        validation: Examples for validation; None if they are to be held out of `train`.
        classes: The names of the classes, labels or values, K.
        input_shape: The shape of one input: (C, H, W), (C, T) or (F,).
        input_dtype: "uint8" or "float32".
        targets: "classes", "labels" or "values".
        preprocessing: As in `Dataset`.
    """

    name: str
    train: StreamedExamples
    test: StreamedExamples
    validation: StreamedExamples | None = None
    classes: tuple[str, ...]
    input_shape: tuple[int, ...]
    input_dtype: str
    targets: TargetKind
    preprocessing: Preprocessing | None = None

    @cached_property
    def zero_point(self) -> tuple[int, ...] | None:
        """The rounded mean of training images in each channel, as in `Dataset`.

        Of more than `ZERO_POINT_IMAGES` images, so many are read, evenly spaced; of a stream the
        first ones.
        """
        if self.input_dtype != "uint8":
            return None
        sums, pixels = np.zeros(self.input_shape[0], np.int64), 0
        for images, _ in self.for_statistics():
            sums += images.sum(axis=(0, 2, 3), dtype=np.int64)
            pixels += images.size // images.shape[1]
        return tuple(int(value) for value in np.rint(sums / pixels))

    def for_statistics(self) -> Iterator[Batch]:
        """Yield the training examples, of more than `ZERO_POINT_IMAGES` so many, as above."""
        n = len(self.train)
        if self.train.is_stream or n <= ZERO_POINT_IMAGES:
            return self.train.batches(_BATCH, 0, ZERO_POINT_IMAGES)
        spaced = np.linspace(0, n - 1, ZERO_POINT_IMAGES).astype(np.int64)
        return self.train.part(spaced).batches(_BATCH)

    def check_can_hold_out(self, share: float) -> None:
        """Check that a share of the training examples can be held out for validation.

        Raises:
            ConfigError: If it cannot, because they are a stream.
        """
        if share and self.train.is_stream and self.validation is None:
            raise ConfigError(
                f"validation {share}: the training data of {self.name} are a stream, of which no "
                "examples can be held out; return others as `validation`, or set validation=0"
            )


def joined(batches: Iterator[Batch]) -> Batch:
    """Concatenate batches, one or more."""
    inputs, targets = zip(*batches, strict=True)
    return np.concatenate(inputs), np.concatenate(targets)
