"""Data sets that are read while they are used: torch's, map-style and iterable, and loaders."""

import os
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from bnnkit import data
from bnnkit.data.own_streams import from_torch_datasets
from bnnkit.data.streamed import StreamedDataset, joined
from bnnkit.errors import ConfigError, FileError
from bnnkit.training.batches import Batches
from bnnkit.training.config import parse_config
from bnnkit.training.run_parts import _split
from bnnkit.training.streamed_batches import StreamedBatches

DIGITS = data.load("digits")
CPU = torch.device("cpu")


class Mapped(TorchDataset[Any]):
    """Examples by position."""

    def __init__(self, x: Any, y: Any) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, position: int) -> tuple[Any, Any]:
        return torch.as_tensor(self.x[position]), self.y[position]


class Ordered(IterableDataset[Any]):
    """The same examples in their order."""

    def __init__(self, x: Any, y: Any, length: int | None = None) -> None:
        self.x, self.y, self.length = x, y, len(x) if length is None else length

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        yield from zip(self.x, self.y, strict=True)


class Shuffled(Ordered):
    """Examples in an order that is drawn before the first one is read."""

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        order = torch.randperm(len(self.x))
        return iter([(self.x[k], self.y[k]) for k in order.tolist()])


class Drawn(Mapped):
    """Inputs that are drawn when they are read."""

    def __getitem__(self, position: int) -> tuple[Any, Any]:
        numbers = [random.random(), np.random.random(), torch.rand(()).item()]  # noqa: NPY002
        return np.array(numbers), self.y[position]


def opened(kind: Any, *, n: int = 300, workers: int = 0, **more: Any) -> StreamedDataset:
    x, y = DIGITS.x_train[:n], DIGITS.y_train[:n]
    parts = {"train": kind(x, y), "test": kind(DIGITS.x_test[:50], DIGITS.y_test[:50])}
    return from_torch_datasets(
        "mine", {**parts, "classes": DIGITS.classes, **more}, workers=workers
    )


def a_loader(x: Any, y: Any) -> Any:
    return DataLoader(Mapped(x, y), batch_size=7, shuffle=True)


@pytest.mark.parametrize("kind", [Mapped, Ordered, a_loader])
def test_examples_are_read_in_their_order(kind: Any) -> None:
    found = opened(kind)
    assert (found.input_shape, found.input_dtype, found.targets) == ((1, 8, 8), "uint8", "classes")
    assert (len(found.train), len(found.test), found.classes) == (300, 50, DIGITS.classes)
    for start, stop in ((0, None), (37, 101), (290, 400), (300, None)):
        batches = list(found.train.batches(64, start, stop))
        whole = DIGITS.x_train[:300][start:stop]
        sizes = [len(x) for x, _ in batches]
        assert sizes == [64] * (len(whole) // 64) + [len(whole) % 64] * (len(whole) % 64 > 0)
        if batches:
            x, y = joined(iter(batches))
            np.testing.assert_array_equal(x, whole)
            np.testing.assert_array_equal(y, DIGITS.y_train[:300][start:stop])
    want = data.Dataset(
        name="", x_train=DIGITS.x_train[:300], y_train=DIGITS.y_train[:300],
        x_test=DIGITS.x_test, y_test=DIGITS.y_test, classes=DIGITS.classes,
    )  # fmt: skip
    assert found.zero_point == want.zero_point
    chosen, same = found.train.some(20, seed=3), want.train.some(20, seed=3)
    if not found.train.is_stream:
        np.testing.assert_array_equal(chosen[0], same[0])
    assert len(chosen[0]) == 20


def test_a_loader_collates_its_own_batches() -> None:
    def collate(examples: list[Any]) -> Any:
        x, y = zip(*examples, strict=True)
        return torch.stack(x).float() / 255, torch.tensor(y)

    loader = DataLoader(Mapped(DIGITS.x_train, DIGITS.y_train), collate_fn=collate, num_workers=0)
    parts = {"train": loader, "test": loader, "classes": DIGITS.classes}
    found = from_torch_datasets("mine", parts)
    x, _ = next(found.train.batches(5))
    assert (found.input_dtype, found.zero_point, found.train.workers) == ("float32", None, 0)
    np.testing.assert_array_equal(x, DIGITS.x_train[:5].astype(np.float32) / 255)


def test_names_are_those_of_the_data_set_and_numbers_of_labels_and_values() -> None:
    train = Mapped(DIGITS.x_train, DIGITS.y_train)
    train.classes = list("abcdefghij")  # type: ignore[attr-defined]
    assert from_torch_datasets("m", {"train": train, "test": train}).classes[1] == "b"
    sequences = torch.randn(8, 3, 5)
    for y, kind in ((torch.ones(8, 2, dtype=torch.bool), "labels"), (torch.randn(8, 2), "values")):
        part = TensorDataset(sequences, y)
        found = from_torch_datasets("m", {"train": part, "test": part})
        assert (found.targets, found.classes, found.input_shape) == (kind, ("0", "1"), (3, 5))


def test_random_numbers_depend_on_seed_epoch_and_position_only() -> None:
    found = opened(Drawn, n=40)
    torch.manual_seed(7)
    want = torch.rand(3)
    torch.manual_seed(7)
    order = [np.arange(20), np.arange(20, 40)]
    first = joined(found.train.chosen_by(order, seed=1, epoch=2))[0]
    assert torch.equal(torch.rand(3), want), "the caller's generator goes on"
    again = joined(found.train.chosen_by([np.arange(39, -1, -1)], seed=1, epoch=2))[0]
    np.testing.assert_array_equal(first, again[::-1])
    for seed, epoch in ((2, 2), (1, 3)):
        other = joined(found.train.chosen_by(order, seed=seed, epoch=epoch))[0]
        assert (first != other).all()
    assert len(np.unique(first)) == first.size


def test_an_order_that_the_data_set_draws_depends_on_seed_and_epoch_only() -> None:
    train = opened(Shuffled, n=40).train

    def read(seed: int, epoch: int) -> Any:
        torch.rand(3)  # the state of the caller's generator is another one each time
        return joined(train.in_order(20, seed=seed, epoch=epoch, buffer=0, most=2))[1]

    first = read(1, 2)
    np.testing.assert_array_equal(first, read(1, 2))
    assert not np.array_equal(first, read(1, 3))
    assert not np.array_equal(first, read(2, 2))


@pytest.mark.slow
def test_workers_read_the_same() -> None:
    for kind in (Drawn, Ordered, Shuffled):
        alone, helped = opened(kind, n=40), opened(kind, n=40, workers=2)
        for want, found in zip(alone.train.batches(16), helped.train.batches(16), strict=True):
            np.testing.assert_array_equal(want[0], found[0])
            np.testing.assert_array_equal(want[1], found[1])


@pytest.mark.parametrize("buffer", [0, 1, 10, 1000])
def test_a_stream_is_shuffled_in_a_buffer(buffer: int) -> None:
    train = opened(Ordered, n=300).train

    def read(epoch: int) -> Any:
        batches = train.in_order(64, seed=0, epoch=epoch, buffer=buffer, most=9)
        return joined(batches)[0].reshape(256, -1)

    first = read(1)
    whole = DIGITS.x_train[:256].reshape(256, -1)
    np.testing.assert_array_equal(np.unique(first, axis=0), np.unique(whole, axis=0))
    np.testing.assert_array_equal(first, read(1))
    assert (first == whole).all() == (buffer <= 1)
    assert (first == read(2)).all() == (buffer <= 1)


TEXT = "{batch_size: 32, seed: 3, augment: crop-flip, cutout: 3, mixup: 0.3, model: {name: mlp}}"


@pytest.mark.parametrize("processes", [1, 2])
def test_batches_are_those_of_data_in_memory(processes: int) -> None:
    config = parse_config(TEXT)
    found = opened(Mapped)
    whole = data.Dataset(
        name="", x_train=DIGITS.x_train[:300], y_train=DIGITS.y_train[:300],
        x_test=DIGITS.x_test, y_test=DIGITS.y_test, classes=DIGITS.classes,
    )  # fmt: skip
    examples = np.random.default_rng(0).permutation(300)[:200]
    place: Any = {"rank": processes - 1, "processes": processes}
    want = Batches(config, whole, torch.from_numpy(examples), CPU, **place)
    have = StreamedBatches(config, found, found.train.part(examples), CPU, **place)
    assert want.n_steps == have.n_steps == 6
    for epoch in (1, 2):
        for batches in (want, have):
            torch.manual_seed(epoch)
            batches.start_epoch(epoch)
        for step in range(6):
            have.fetch()
            a, b = (batches.at(torch.tensor([step])) for batches in (want, have))
            for name in ("x", "y", "share", "unmixed"):
                assert torch.equal(getattr(a, name), getattr(b, name)), (epoch, step, name)
    torch.manual_seed(5)
    expected = list(want.calibration_batches(3, 4))
    torch.manual_seed(5)
    assert all(map(torch.equal, expected, have.calibration_batches(3, 4)))


def test_a_stream_is_not_split() -> None:
    found = opened(Ordered)
    with pytest.raises(ConfigError, match=r"training data of mine are a stream.*validation=0"):
        found.check_can_hold_out(0.1)
    found.check_can_hold_out(0)
    own = opened(Ordered, validation=Ordered(DIGITS.x_test[50:80], DIGITS.y_test[50:80]))
    own.check_can_hold_out(0.1)
    fabric: Any = type("Fabric", (), {"global_rank": 0, "world_size": 1, "device": CPU})
    batches, validation = _split(parse_config("batch_size: 32"), own, fabric)
    assert (batches.n_steps, len(validation)) == (9, 30)
    batches, validation = _split(parse_config("batch_size: 32"), opened(Mapped), fabric)
    assert (batches.n_steps, len(validation)) == (270 // 32, 30)


X, Y = DIGITS.x_train[:20], DIGITS.y_train[:20]


class Failing(Mapped):
    def __getitem__(self, position: int) -> tuple[Any, Any]:
        if position == 13:
            raise OSError("the disk is gone")
        if position == 14:
            return np.zeros((1, 9, 8), np.uint8), 0
        if position == 15:
            return self.x[0], 10
        return super().__getitem__(position)


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    ("positions", "message"),
    [
        ([12, 13], "mine, train, examples 12 to 13: OSError: the disk is gone; data.workers=0"),
        ([12, 14], r"expected one shape, got \(1, 8, 8\) and \(1, 9, 8\)"),
        ([14], r"expected inputs uint8 \(1, 8, 8\) and classes as targets.*got uint8 \(1, 9, 8\)"),
        ([15], r"targets\[0\] is 10; expected labels from 0 to 9"),
    ],
)
def test_an_example_that_cannot_be_used_is_named(
    workers: int, positions: list[int], message: str
) -> None:
    found = opened(Failing, workers=workers)
    with pytest.raises(ConfigError, match=message) as caught:
        list(found.train.chosen_by([np.array(positions)], seed=0, epoch=1))
    assert "\n" not in str(caught.value)


def test_a_stream_that_ends_early_is_named() -> None:
    found = opened(lambda x, y: Ordered(x, y, length=310))
    with pytest.raises(ConfigError, match=r"mine, train ended after 300 examples; its length is"):
        list(found.train.batches(31))


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": Mapped(X, Y)}, "under train, test and, optionally, validation, .* got train"),
        ({"train": Mapped(X, Y), "test": Mapped(X, Y), "more": 1}, "got train, test, more"),
        ({"train": Mapped(X, Y), "test": 3}, "mine, test: expected a torch data set, got 3"),
        ({"train": iter([]), "test": Mapped(X, Y)}, "with a length.*give it a method __len__"),
        ({"train": Mapped(X[:0], Y), "test": Mapped(X, Y)}, "mine, train: the data set is empty"),
        ({"train": Mapped(X, Y), "test": Mapped(X, Y)}, "expected the names of the classes"),
        ({"train": Mapped(X, X / 255), "test": Mapped(X, Y)}, "targets is float64"),
        ({"train": [X[0]], "test": Mapped(X, Y)}, r"expected an example \(input, target\), got"),
        ({"train": [(X[0, 0].astype(int), 1)], "test": [1]}, r"inputs is int64 \(1, 8, 8\)"),
        ({"train": [(np.zeros((9, 9, 3), np.uint8), 1)], "test": [1]}, "images .N, H, W, C."),
        ({"train": [(X[0], np.ones(3, bool))], "test": [1], "classes": "ab"}, "3 labels, classes"),
    ],
)
def test_what_is_no_data_set_is_refused(parts: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_torch_datasets("mine", parts)


def test_arrays_are_needed_where_they_are_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {"train": Mapped(X, Y), "test": Mapped(X, Y), "classes": DIGITS.classes}
    monkeypatch.setattr("bnnkit.data.own_dataset.call_own", lambda *_: parts)
    assert isinstance(data.open_data("mine:load"), StreamedDataset)
    with pytest.raises(ConfigError, match="mine:load is read while it is used; expected arrays"):
        data.load("mine:load")


@pytest.mark.slow
def test_a_worker_that_dies_is_an_error() -> None:
    class Dying(Mapped):
        def __getitem__(self, position: int) -> tuple[Any, Any]:
            if position:
                os._exit(1)
            return super().__getitem__(position)

    found = opened(Dying, workers=1)
    with pytest.raises(FileError, match=r"a process that reads examples has ended .DataLoader"):
        list(found.train.batches(5))
