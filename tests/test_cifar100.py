"""CIFAR-100 from its pickles, with the fine labels."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from bnnkit import data
from bnnkit.errors import FileError


def _batch(n: int, seed: int) -> dict[bytes, object]:
    rng = np.random.default_rng(seed)
    return {
        b"data": rng.integers(0, 256, (n, 3072), dtype=np.uint8),
        b"fine_labels": [int(label) for label in rng.integers(0, 100, n)],
        b"coarse_labels": [int(label) for label in rng.integers(0, 20, n)],
        b"filenames": [b"a.png"] * n,
        b"batch_label": b"a batch",
    }


def _write(folder: Path) -> dict[str, dict[bytes, object]]:
    folder.mkdir(parents=True, exist_ok=True)
    batches = {"train": _batch(5, 1), "test": _batch(3, 2)}
    names = {b"fine_label_names": [b"fine %d" % k for k in range(100)]}
    names[b"coarse_label_names"] = [b"coarse %d" % k for k in range(20)]
    for name, content in (*batches.items(), ("meta", names)):
        (folder / name).write_bytes(pickle.dumps(content, 2))
    return batches


@pytest.mark.parametrize("below", [".", "cifar-100-python"])
def test_fine_labels_and_their_names(tmp_path: Path, below: str) -> None:
    batches = _write(tmp_path / below)
    found = data.load("cifar100", tmp_path)
    np.testing.assert_array_equal(
        found.x_train.reshape(5, -1), np.asarray(batches["train"][b"data"])
    )
    np.testing.assert_array_equal(
        found.x_test.reshape(3, -1), np.asarray(batches["test"][b"data"])
    )
    assert found.x_train.shape == (5, 3, 32, 32)
    assert found.y_train.tolist() == batches["train"][b"fine_labels"]
    assert found.y_test.tolist() == batches["test"][b"fine_labels"]
    assert (len(found.classes), found.classes[99]) == (100, "fine 99")
    assert found.x_test.flags.writeable


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({b"fine_labels": None}, r"test: expected its 'fine_labels' to be a list.*got nothing"),
        ({b"fine_labels": [1, 2]}, "got 3 images and 2 labels"),
        ({b"fine_labels": [1, 2, 100]}, r"y_test\[2\] is 100; expected labels from 0 to 99"),
        ({b"data": b"x"}, r"'data' to be an array, uint8 \(N, 3072\), got bytes"),
    ],
)
def test_a_damaged_batch(tmp_path: Path, change: dict[bytes, object], message: str) -> None:
    _write(tmp_path)
    (tmp_path / "test").write_bytes(pickle.dumps(_batch(3, 2) | change, 2))
    with pytest.raises(FileError, match=message):
        data.load("cifar100", tmp_path)


def test_a_truncated_file_and_a_missing_one(tmp_path: Path) -> None:
    _write(tmp_path)
    content = (tmp_path / "train").read_bytes()
    (tmp_path / "train").write_bytes(content[: len(content) // 2])
    with pytest.raises(FileError, match=r"train is not a batch of .*CIFAR-100: it is truncated"):
        data.load("cifar100", tmp_path)
    (tmp_path / "meta").unlink()
    with pytest.raises(FileError, match=r"cifar100: expected the files train, test, meta in"):
        data.load("cifar100", tmp_path)
