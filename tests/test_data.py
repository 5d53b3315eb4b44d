"""Reading data sets: what is right, and one clear error for whatever is wrong."""

import gzip
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnkit import data
from bnnkit.data.dataset import Dataset, split
from bnnkit.errors import FileError, UsageError

SHARED = Path(__file__).parents[2] / "shared" / "data"
MNIST = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


def _dataset(**changes: Any) -> Dataset:
    arrays: dict[str, Any] = {
        "x_train": np.zeros((4, 2, 3, 3), np.uint8),
        "y_train": np.array([0, 1, 2, 0]),
        "x_test": np.zeros((2, 2, 3, 3), np.uint8),
        "y_test": np.array([0, 2]),
    }
    return Dataset(name="made", classes=("a", "b", "c"), **(arrays | changes))


# --- Dataset ------------------------------------------------------------------------------------


def test_zero_point_is_the_rounded_mean_of_each_channel() -> None:
    x = np.random.default_rng(0).integers(0, 256, (4, 2, 3, 3), dtype=np.uint8)
    want = tuple(round(float(x[:, channel].mean(dtype=np.float64))) for channel in range(2))
    assert _dataset(x_train=x).zero_point == want
    assert _dataset(x_train=x).input_shape == (2, 3, 3)


def test_real_inputs_have_no_zero_point() -> None:
    x = np.zeros((4, 5), np.float32)
    dataset = _dataset(x_train=x, x_test=x[:2])
    assert dataset.zero_point is None
    assert dataset.input_shape == (5,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x_train": np.zeros((4, 2, 3, 3))}, "x_train is float64"),
        ({"x_train": np.zeros((4, 9), np.uint8)}, r"x_train is uint8 \(4, 9\); expected images"),
        (
            {"x_train": np.zeros((4, 8, 9, 3), np.uint8)},
            r"x_train has shape \(4, 8, 9, 3\), .* expected \(N, C, H, W\)",
        ),
        ({"x_test": np.zeros((2, 1, 3, 3), np.uint8)}, "x_test is .* x_train"),
        ({"x_test": np.zeros((0, 2, 3, 3), np.uint8), "y_test": np.zeros(0, np.int64)}, "empty"),
        ({"y_train": np.array([0, 1, 2])}, r"y_train is int64 \(3,\); expected one label"),
        ({"y_train": np.array([0.0, 1, 2, 0])}, "y_train is float64"),
        ({"y_train": np.array([0, 1, 3, 0])}, r"y_train\[2\] is 3; expected labels from 0 to 2"),
        ({"y_test": np.array([0, -1])}, r"y_test\[1\] is -1"),
        ({"x_train": np.full((4, 2), np.nan, np.float32)}, "x_train holds 8 values .* NaN"),
        ({"x_train": np.full((4, 2), np.inf, np.float32)}, "infinite"),
    ],
)
def test_a_dataset_checks_its_arrays(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        _dataset(**changes)


@pytest.mark.parametrize("n", [2, 4, 5, 1797])
def test_split_takes_every_example_once(n: int) -> None:
    train, test = split(n)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, test])), np.arange(n))
    assert len(test) == max(1, n // 5)


def test_split_is_what_it_always_was() -> None:
    train, test = split(10)
    assert (train.tolist(), test.tolist()) == ([1, 8, 6, 0, 7, 4, 5, 9], [3, 2])


def test_split_of_one_example_is_refused() -> None:
    with pytest.raises(UsageError, match="2 examples or more, got 1"):
        split(1)


# --- digits and names ---------------------------------------------------------------------------


def test_digits_are_scaled_to_bytes() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    digits = data.load("digits")
    train, test = split(1797)
    images = datasets.load_digits().images
    np.testing.assert_array_equal(digits.x_train[:, 0], np.rint(images[train] * 255 / 16))
    np.testing.assert_array_equal(digits.y_test, datasets.load_digits().target[test])
    assert digits.x_train.shape == (1438, 1, 8, 8)
    assert digits.x_train.max() == 255


def test_digits_are_in_no_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"digits come with scikit-learn .* leave out --data-dir"):
        data.load("digits", tmp_path)


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(
        UsageError, match=r"'minst'; expected digits, mnist, cifar10, cifar100, folder, the .*npz"
    ):
        data.load("minst")


def test_data_needs_no_torch() -> None:
    program = (
        "import sys, bnnkit.data, bnnkit.evaluation.metrics; sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=Path(__file__).parents[1])


# --- MNIST --------------------------------------------------------------------------------------


def _idx(array: NDArray[np.uint8]) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def _write_mnist(folder: Path, n_train: int = 7, n_test: int = 3) -> dict[str, NDArray[np.uint8]]:
    rng = np.random.default_rng(1)
    arrays = {}
    for part, n in (("train", n_train), ("t10k", n_test)):
        arrays[f"{part}-images-idx3"] = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{part}-labels-idx1"] = rng.integers(0, 10, n, dtype=np.uint8)
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        (folder / f"{name}-ubyte").write_bytes(_idx(array))
    return arrays


@pytest.mark.parametrize("below", [".", "MNIST/raw"])
def test_mnist_raw_and_gzip_are_equal(tmp_path: Path, below: str) -> None:
    arrays = _write_mnist(tmp_path / below)
    raw = data.load("mnist", tmp_path)
    for name in MNIST:
        file = tmp_path / below / f"{name}-ubyte"
        file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    zipped = data.load("mnist", tmp_path)
    for key, name in zip(("x_train", "y_train", "x_test", "y_test"), MNIST, strict=True):
        want = arrays[name][:, None] if arrays[name].ndim == 3 else arrays[name]
        np.testing.assert_array_equal(getattr(raw, key), want)
        np.testing.assert_array_equal(getattr(zipped, key), want)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not an IDX file of bytes with 1 axes: expected it to begin with 00000801, got"),
        (_idx(np.zeros((7, 1), np.uint8)), "got 00000802"),
        (_idx(np.zeros(7, np.uint8))[:-1], r"truncated .* says 15 bytes for shape \(7,\), got 14"),
        (_idx(np.zeros(7, np.uint8)) + b"\0", "says 15 bytes .* got 16"),
        (_idx(np.zeros(6, np.uint8)), r"y_train is int64 \(6,\); expected one label an example"),
        (_idx(np.full(7, 10, np.uint8)), r"y_train\[0\] is 10; expected labels from 0 to 9"),
    ],
)
def test_mnist_damaged_labels(tmp_path: Path, content: bytes, message: str) -> None:
    _write_mnist(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").write_bytes(content)
    with pytest.raises(FileError, match=message):
        data.load("mnist", tmp_path)


@pytest.mark.parametrize(
    "damage", [lambda b: b[:-9], lambda b: b"PK" + b, lambda b: b[:20] + b[21:]]
)
def test_mnist_damaged_gzip(tmp_path: Path, damage: Any) -> None:
    _write_mnist(tmp_path)
    file = tmp_path / "t10k-images-idx3-ubyte"
    content = gzip.compress(file.read_bytes())
    file.unlink()
    file.with_name(f"{file.name}.gz").write_bytes(damage(content))
    with pytest.raises(FileError, match=r"t10k-images-idx3-ubyte.gz is truncated or no gzip file"):
        data.load("mnist", tmp_path)


def test_mnist_missing_file_says_what_and_where(tmp_path: Path) -> None:
    _write_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileError) as caught:
        data.load("mnist", tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    assert all(f"{name}-ubyte[.gz]" in message for name in MNIST)
    assert f"in {tmp_path} or" in message
    assert "--data-dir DIR" in message


def test_mnist_itself() -> None:
    if not (SHARED / "mnist").is_dir():
        pytest.skip("no MNIST files here")
    mnist = data.load("mnist", SHARED / "mnist")
    assert mnist.x_train.shape == (60000, 1, 28, 28)
    assert np.bincount(mnist.y_test).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert mnist.zero_point == (33,)  # 0.1307 * 255


# --- npz ----------------------------------------------------------------------------------------


def test_npz_with_x_and_y(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(20, 6)), rng.integers(0, 4, 20).astype(np.uint8)
    np.savez(tmp_path / "made.npz", x=x, y=y)
    made = data.load("made.npz", tmp_path)
    train, test = split(20)
    np.testing.assert_array_equal(made.x_train, x[train].astype(np.float32))
    np.testing.assert_array_equal(made.y_test, y[test])
    assert (made.name, made.zero_point) == ("made", None)


def test_npz_in_two_parts_with_gray_images_and_names(tmp_path: Path) -> None:
    x = np.random.default_rng(4).integers(0, 256, (6, 5, 4), dtype=np.uint8)
    y = np.array([0, 1, 1, 0, 1, 0], np.int32)
    file = tmp_path / "gray.npz"
    np.savez(file, x_train=x[:4], y_train=y[:4], x_test=x[4:], y_test=y[4:], classes=["no", "yes"])
    gray = data.load(str(file))
    np.testing.assert_array_equal(gray.x_test, x[4:, None])
    assert gray.classes == ("no", "yes")


X, Y = np.zeros((5, 3), np.float32), np.array([0, 1, 0, 1, 0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"a": X}, "expected the arrays x and y, or x_train, .*; got a"),
        ({"x": X, "y": Y[:4]}, r"x has shape \(5, 3\) and y \(4,\); expected as many labels"),
        ({"x": X, "y": np.array(3)}, "expected as many labels"),
        ({"x": X, "y": Y.astype(str)}, r"is <U21 \(4,\); expected the classes' indices"),
        ({"x": X, "y": np.stack([Y, Y + 1], 1)}, r"of shape \(4, 2\) holds 2; expected 0 or 1"),
        ({"x": X, "y": Y[:, None], "classes": ["a", "b"]}, "classes names 2 labels"),
        ({"x": X, "y": Y / np.float32(0.5) * np.nan}, "y_train holds 4 values .* NaN"),
        ({"x": X, "y": np.zeros((5, 2, 2))}, r"is float64 \(4, 2, 2\); expected"),
        ({"x": X, "y": Y - 1}, "is -1; expected labels from 0"),
        ({"x": X, "y": Y * 9_000_000_000}, "largest label is 9000000000, of 4 training examples"),
        ({"x": X, "y": Y * 100_000}, "from 0 to at most 99999"),
        ({"x": X, "y": Y + 3, "classes": ["a", "b"]}, "expected labels from 0 to 1"),
        ({"x": X, "y": Y + 1, "classes": ["a", "b"]}, "subtract 1 from labels that count from 1"),
        ({"x": X, "y": Y, "classes": [1, 2]}, "classes is int64"),
        ({"x": X * np.nan, "y": Y}, "NaN or infinite"),
        ({"x": np.full((5, 3), 1e300), "y": Y}, "NaN or infinite"),
        ({"x": X.astype(np.int64), "y": Y}, "is int64 .* expected images"),
        ({"x": np.array([{}] * 5, object), "y": Y}, "it holds Python objects"),
        ({"x": X, "y": np.array([None] * 5, object)}, "it holds Python objects"),
    ],
)
def test_npz_that_is_no_data_set(tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(FileError, match=message):
        data.load("bad.npz", tmp_path)


@pytest.mark.parametrize("kept", [0, 3, 100, 500])
def test_npz_truncated(tmp_path: Path, kept: int) -> None:
    file = tmp_path / "short.npz"
    np.savez(file, x=X, y=Y)
    file.write_bytes(file.read_bytes()[:kept])
    with pytest.raises(FileError, match=r"cannot be read as an .npz file"):
        data.load("short.npz", tmp_path)


def test_npz_damaged_inside(tmp_path: Path) -> None:
    file = tmp_path / "flipped.npz"
    np.savez_compressed(file, x=np.random.default_rng(5).normal(size=(50, 30)), y=np.arange(50))
    content = bytearray(file.read_bytes())
    content[2000:2100] = bytes(100)
    file.write_bytes(content)
    with pytest.raises(FileError, match="it is damaged"):
        data.load("flipped.npz", tmp_path)


def test_npz_missing_or_no_npz(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot read .*none.npz: No such file"):
        data.load("none.npz", tmp_path)
    with open(tmp_path / "single.npz", "wb") as file:
        np.save(file, X)
    with pytest.raises(FileError, match=r"it is a \.npy array"):
        data.load("single.npz", tmp_path)
