"""Teachers: their logits of all views, stored once, and the loss that is made of them."""

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from rich.console import Console
from torch.nn import functional

from bnnkit import data
from bnnkit.data import Dataset
from bnnkit.errors import CheckpointError, ConfigError, FileError
from bnnkit.training import load_checkpoint, train
from bnnkit.training import view_logits as stored
from bnnkit.training.augment import N_VIEWS, UNCHANGED, Views
from bnnkit.training.batches import Batch
from bnnkit.training.config import Config, parse_config
from bnnkit.training.history import read_history
from bnnkit.training.losses import CrossEntropy, Distillation
from bnnkit.training.view_logits import view_logits

CPU = torch.device("cpu")
QUIET = Console(quiet=True)
TEXT = "{model: {name: convnet, width: 4}, epochs: 2, batch_size: 50, device: cpu}"


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set of images."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 250)
    x = rng.integers(0, 256, (250, 1, 8, 8), dtype=np.uint8)
    x[np.arange(250), 0, 2 * y, 3] = 255
    path = tmp_path_factory.mktemp("data") / "dots.npz"
    np.savez(path, x=x, y=y)
    return path


def _config(images: Path, *overrides: str) -> Config:
    return parse_config(TEXT, [f"data.name={images}", *overrides])


@pytest.fixture(scope="module")
def teacher(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("teacher")
    train(_config(images, "store_logits=true", "augment=crop-flip-uniform"), out, console=QUIET)
    return out


def _dataset(images: Path) -> Dataset:
    return data.load(str(images))


def _logits_slowly(teacher: Path, dataset: Dataset, view: int) -> NDArray[np.float32]:
    n = len(dataset.x_train)
    shown = Views(torch.from_numpy(dataset.x_train), dataset.zero_point)(
        torch.arange(n), torch.full((n,), view)
    )
    with torch.no_grad():
        logits: NDArray[np.float32] = load_checkpoint(teacher).model(shown).numpy()
    return logits


def test_logits_of_all_views_are_stored_with_the_run(
    images: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (teacher / "logits-views.safetensors").is_file()
    monkeypatch.setattr(stored, "compute_view_logits", None)  # would fail if it were called
    dataset = _dataset(images)
    logits = view_logits(teacher, dataset, augmented=True, device=CPU)
    assert (logits.dtype, logits.shape) == (torch.float16, (N_VIEWS, len(dataset.x_train), 3))
    for view in (0, UNCHANGED, 100, 161):
        want = _logits_slowly(teacher, dataset, view)
        np.testing.assert_allclose(logits[view].numpy(), want, rtol=2e-3, atol=2e-3)


def test_logits_of_the_images_alone(images: Path, teacher: Path) -> None:
    dataset = _dataset(images)
    logits = view_logits(teacher, dataset, augmented=False, device=CPU)
    assert len(logits) == 1
    want = _logits_slowly(teacher, dataset, UNCHANGED)
    np.testing.assert_allclose(logits[0].numpy(), want, rtol=2e-3, atol=2e-3)


def test_a_stored_file_of_others_or_a_damaged_one_is_written_again(
    images: Path, teacher: Path
) -> None:
    dataset = _dataset(images)
    # A copy: the tensors of a file are read when they are used.
    wanted = view_logits(teacher, dataset, augmented=False, device=CPU).clone()
    file = teacher / "logits-images.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    assert torch.equal(view_logits(teacher, dataset, augmented=False, device=CPU), wanted)
    dataset.x_train[0] += 1
    changed = view_logits(teacher, dataset, augmented=False, device=CPU)
    assert not torch.equal(changed[0, 0], wanted[0, 0])
    assert torch.equal(changed[0, 1:], wanted[0, 1:])


def test_one_computes_and_the_others_wait(
    images: Path, teacher: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (teacher / "logits-images.safetensors").unlink(missing_ok=True)
    dataset, calls, compute = _dataset(images), [], stored.compute_view_logits

    def counting(*args: object, **options: bool) -> torch.Tensor:
        calls.append(args)
        return compute(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(stored, "compute_view_logits", counting)
    threads = [
        threading.Thread(
            target=view_logits, args=(teacher, dataset), kwargs={"augmented": False, "device": CPU}
        )
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


def test_a_lock_that_cannot_be_had(teacher: Path, images: Path, tmp_path: Path) -> None:
    copy = tmp_path / "checkpoint.safetensors"
    copy.write_bytes((teacher / copy.name).read_bytes())
    (tmp_path / "logits-images.lock").mkdir()
    with pytest.raises(FileError, match=r"cannot lock .*logits-images\.lock"):
        view_logits(tmp_path, _dataset(images), augmented=False, device=CPU)


def _batch(view: list[int], index: list[int], y: list[int]) -> Batch:
    return Batch(torch.zeros(len(y), 1), torch.tensor(y), torch.tensor(index), torch.tensor(view))


@pytest.mark.parametrize("weight", [1.0, 0.25])
def test_the_loss_is_the_divergence_from_the_teachers_of_the_same_view(weight: float) -> None:
    targets = torch.randn(N_VIEWS, 20, 5).half()
    view, index, y = [0, 161, 7], [19, 3, 4], [4, 0, 2]
    logits = torch.randn(3, 5)
    want = 0.0
    for row, v, i, label in zip(logits.double(), view, index, y, strict=True):
        p = torch.softmax(targets[v, i].double() / 3, 0)
        q = torch.softmax(row / 3, 0)
        divergence = (p * (p.log() - q.log())).sum().item()
        labels = functional.cross_entropy(row[None], torch.tensor([label])).item()
        want += (weight * 9 * divergence + (1 - weight) * labels) / 3
    loss = Distillation(targets, 3.0, weight, CrossEntropy())
    assert loss(logits, _batch(view, index, y)).item() == pytest.approx(want, rel=1e-4)


def test_without_augmentation_all_views_are_one() -> None:
    targets = torch.randn(1, 4, 5)
    loss = Distillation(targets, 1.0, 1.0, CrossEntropy())
    batch = _batch([UNCHANGED] * 4, [0, 1, 2, 3], [0] * 4)
    assert loss(targets[0], batch).item() == pytest.approx(0, abs=1e-6)


def test_a_student_learns_from_teachers(images: Path, teacher: Path, tmp_path: Path) -> None:
    overrides = [
        f"distillation={{teachers: [{teacher}], temperature: 2}}",
        "augment=crop-flip-uniform",
        "epochs=12",
        "lr=0.03",
    ]
    train(_config(images, *overrides), tmp_path / "run", console=QUIET)
    first, *_, last, _ = read_history(tmp_path / "run" / "metrics.jsonl")
    assert 0 < last["train_loss"] < first["train_loss"] / 1.5


def test_what_cannot_teach(images: Path, teacher: Path, tmp_path: Path) -> None:
    twice = f"distillation={{teachers: [{teacher}, {teacher}]}}"
    with pytest.raises(ConfigError, match="a teacher is named twice"):
        train(_config(images, twice), tmp_path / "run", console=QUIET)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        train(_config(images, "distillation={teachers: [none]}"), tmp_path / "no", console=QUIET)
    digits = parse_config(TEXT, [f"distillation={{teachers: [{teacher}]}}"])
    with pytest.raises(
        ConfigError, match=r"is for inputs uint8 \(1, 8, 8\) and 3 classes, digits"
    ):
        train(digits, tmp_path / "digits", console=QUIET)
