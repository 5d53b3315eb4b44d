"""Reading the examples of a torch data set in worker processes, by torch's DataLoader.

Each request of a batch goes to a worker, which reads its examples, stacks and checks them.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from bnnkit.data.dataset import as_inputs, check_inputs
from bnnkit.data.global_generators import kept_generators, seed_generators
from bnnkit.data.targets import TargetKind, as_targets, check_targets, kind_of
from bnnkit.data.worker_errors import Failure, failures
from bnnkit.errors import ConfigError, FileError, UsageError, brief

Array = NDArray[Any]
Batch = tuple[Array, Array]
Collate = Callable[[list[Any]], Any]
Seed = tuple[int, ...]
_MOST_WORKERS: Final = 8


@dataclass(frozen=True, kw_only=True)
class Form:
    """What all examples of a data set have in common.

    Attributes:
        shape: The shape of an input.
        dtype: The dtype of inputs, "uint8" or "float32".
        targets: The kind of the targets.
        n_outputs: The number of classes, labels or values.
    """

    shape: tuple[int, ...]
    dtype: str
    targets: TargetKind
    n_outputs: int


@dataclass(frozen=True)
class Reader:
    """Reads batches of a data set.

    Attributes:
        dataset: A map-style data set, with `__getitem__` and `__len__`; or an iterable one, with
            `__iter__` and `__len__`, which may have a method `set_epoch`. Examples are pairs of an
            input and its target.
        name: What the data set is called in errors.
        collate: Makes a batch, a pair of inputs and targets, of a list of examples; None stacks
            them.
        form: What the examples must have in common; None while it is being found out.
    """

    dataset: Any
    name: str
    collate: Collate | None = None
    form: Form | None = None

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def is_stream(self) -> bool:
        """Whether the examples can only be read in their order."""
        is_iterable = isinstance(self.dataset, IterableDataset)
        return is_iterable or not hasattr(self.dataset, "__getitem__")

    def at(
        self, batches: Sequence[Array], *, workers: int = 0, seed: Seed = (0, 0)
    ) -> Iterator[Batch]:
        """Yield batches of the examples at these positions.

        Args:
            batches: The positions of each batch, int64 (B,).
            workers: The number of processes.
            seed: What the random numbers of examples depend on, beside their position.

        Raises:
            ConfigError, FileError: If an example cannot be read, or has another form.
        """
        requests = [[int(position) for position in batch] for batch in batches]
        source = _AtPositions(self, seed)
        return self._loaded(source, workers=min(workers, len(requests)), sampler=requests)

    def stream(
        self,
        size: int,
        *,
        workers: int = 0,
        start: int = 0,
        stop: int | None = None,
        seed: Seed = (0, 0),
        buffer: int = 0,
    ) -> Iterator[Batch]:
        """Yield the examples of a stream from `start` to `stop`, `size` at a time.

        One worker at most reads, because each would read the whole stream.

        Args:
            size: Examples in a batch.
            workers: The number of processes; more than one count as one.
            start: The first example.
            stop: The example after the last; by default the length of the data set.
            seed: What the random numbers of examples depend on, beside their position; its last
                number is the epoch.
            buffer: The number of examples among which the next one is drawn; 0 keeps the order.

        Raises:
            ConfigError, FileError: As for `at`; or if the stream is shorter than its length.
        """
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(seed[-1])
        last = len(self) if stop is None else stop
        source = _Stream(self, size, start, last, seed, buffer)
        return self._loaded(source, workers=min(workers, 1))

    def _loaded(self, source: Any, *, workers: int, **options: Any) -> Iterator[Batch]:
        loader = DataLoader(
            source,
            batch_size=None,
            num_workers=workers,
            collate_fn=_as_it_is,
            # It would draw the seeds of workers from the generator that training uses.
            generator=torch.Generator().manual_seed(0),
            **options,
        )
        batches = iter(loader)
        while True:
            try:
                found = next(batches, None)
            except RuntimeError as error:
                if "DataLoader worker" not in str(error):
                    raise
                raise FileError(
                    f"{self.name}: a process that reads examples has ended "
                    f"({str(error).splitlines()[0]}); if memory is short, use fewer data.workers"
                ) from error
            if found is None:
                return
            if isinstance(found, Failure):
                raise found.kind(found.text)
            yield found[0].numpy(), found[1].numpy()

    def batch(self, examples: list[Any]) -> Batch:
        """Make a batch of examples, and check it.

        Raises:
            UsageError: If the examples are not pairs, or have another form.
        """
        collated = _stacked(examples) if self.collate is None else self.collate(examples)
        raw_inputs, raw_targets = _pair(collated, "a batch (inputs, targets)")
        inputs = as_inputs(np.asarray(raw_inputs))
        targets = as_targets(np.asarray(raw_targets), "targets")
        check_inputs(inputs, "inputs")
        if self.form is not None:
            self._check(inputs, targets, self.form)
        return inputs, targets

    def _check(self, inputs: Array, targets: Array, form: Form) -> None:
        found = (inputs.shape[1:], str(inputs.dtype), kind_of(targets))
        expected = (form.shape, form.dtype, form.targets)
        if found != expected:
            raise UsageError(
                f"expected inputs {expected[1]} {expected[0]} and {expected[2]} as targets, as in "
                f"the first example, got {found[1]} {found[0]} and {found[2]}"
            )
        check_targets(targets, "targets", len(inputs), form.n_outputs)


Loaded = tuple[Tensor, Tensor] | Failure


@dataclass(frozen=True)
class _AtPositions:
    """A map-style data set for the DataLoader, from the positions of a batch to the batch."""

    reader: Reader
    seed: Seed

    def __len__(self) -> int:
        return len(self.reader)

    def __getitem__(self, positions: list[int]) -> Loaded:
        place = f"{self.reader.name}, examples {_span(positions)}"
        with failures(place) as failed, kept_generators():
            return _as_tensors(self.reader.batch([self._example(at) for at in positions]))
        return failed[0]

    def _example(self, position: int) -> Any:
        seed_generators(*self.seed, position)
        return self.reader.dataset[position]


class _Stream(IterableDataset[Loaded]):
    """An iterable data set for the DataLoader, of batches; arguments as in `Reader.stream`."""

    def __init__(
        self, reader: Reader, size: int, start: int, stop: int, seed: Seed, buffer: int
    ) -> None:
        self._reader, self._size, self._seed, self._buffer = reader, size, seed, buffer
        self._start, self._stop = start, stop

    def __iter__(self) -> Iterator[Loaded]:
        examples = self._shuffled(islice(self._examples(), self._start, self._stop))
        for first in range(self._start, self._stop, self._size):
            last = min(first + self._size, self._stop)
            found = self._batch(examples, first, last)
            yield found
            if isinstance(found, Failure):
                return

    def _batch(self, examples: Iterator[Any], first: int, last: int) -> Loaded:
        place = f"{self._reader.name}, examples {first} to {last - 1}"
        with failures(place) as failed, kept_generators():
            read = list(islice(examples, last - first))
            if len(read) < last - first:
                raise ConfigError(
                    f"{self._reader.name} ended after {first + len(read)} examples; its length "
                    f"is {len(self._reader)}"
                )
            return _as_tensors(self._reader.batch(read))
        return failed[0]

    def _examples(self) -> Iterator[Any]:
        """Yield examples, each read with random numbers of its own."""
        seed_generators(*self._seed, len(self._reader))  # `__iter__` may draw the order
        examples, position = iter(self._reader.dataset), 0
        end = object()
        while True:
            seed_generators(*self._seed, position)
            example = next(examples, end)
            if example is end:
                return
            yield example
            position += 1

    def _shuffled(self, examples: Iterable[Any]) -> Iterator[Any]:
        if not self._buffer:
            yield from examples
            return
        generator = np.random.default_rng(self._seed)
        held: list[Any] = []
        for example in examples:
            if len(held) < self._buffer:
                held.append(example)
                continue
            place = generator.integers(self._buffer)
            yield held[place]
            held[place] = example
        for place in generator.permutation(len(held)):
            yield held[place]


def default_workers() -> int:
    """Return the number of processes that read examples, if none is given: one for each CPU."""
    is_known = hasattr(os, "sched_getaffinity")
    cpus = len(os.sched_getaffinity(0)) if is_known else os.cpu_count() or 1
    return min(cpus, _MOST_WORKERS)


def form_of(reader: Reader, classes: Sequence[str] | None) -> tuple[Form, tuple[str, ...]]:
    """Find out what the examples have in common, from the first one.

    Args:
        reader: A reader without a form.
        classes: The names of the classes, labels or values, if they are known.

    Returns:
        The form, and the names; of labels and values they are 0, 1, ... by default.

    Raises:
        ConfigError, FileError: If it cannot be read.
        ConfigError: If the number of classes is not known.
    """
    batches = reader.stream(1, stop=1) if reader.is_stream else reader.at([np.zeros(1, np.int64)])
    inputs, targets = next(batches)
    kind = kind_of(targets)
    assert kind is not None  # `as_targets` gives no others
    if kind == "classes" and classes is None:
        raise ConfigError(
            f"{reader.name}: expected the names of the classes, as `classes` in the dict or as an "
            "attribute of the data set"
        )
    names = [str(k) for k in range(targets.shape[-1])] if classes is None else classes
    if kind != "classes" and len(names) != targets.shape[1]:
        raise ConfigError(
            f"{reader.name}: targets have {targets.shape[1]} {kind}, classes names {len(names)}"
        )
    form = Form(
        shape=inputs.shape[1:], dtype=str(inputs.dtype), targets=kind, n_outputs=len(names)
    )
    return form, tuple(str(name) for name in names)


def _as_it_is(batch: Any) -> Any:
    return batch


def _as_tensors(batch: Batch) -> tuple[Tensor, Tensor]:
    """Return tensors, which processes share without a copy."""
    inputs, targets = (torch.from_numpy(np.ascontiguousarray(part)) for part in batch)
    return inputs, targets


def _stacked(examples: list[Any]) -> Batch:
    pairs = [_pair(example, "an example (input, target)") for example in examples]
    inputs, targets = ([np.asarray(one) for one in part] for part in zip(*pairs, strict=True))
    for part in (inputs, targets):
        if len({one.shape for one in part}) > 1:
            raise UsageError(
                f"expected one shape, got {part[0].shape} and "
                f"{next(one.shape for one in part if one.shape != part[0].shape)}"
            )
    return np.stack(inputs), np.stack(targets)


def _pair(value: Any, what: str) -> tuple[Any, Any]:
    if not isinstance(value, tuple | list) or len(value) != 2:
        raise UsageError(f"expected {what}, got {brief(value)}")
    return value[0], value[1]


def _span(positions: Sequence[int]) -> str:
    return str(positions[0]) if len(positions) == 1 else f"{min(positions)} to {max(positions)}"
