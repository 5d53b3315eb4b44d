"""CIFAR-10 from its pickles, of which nothing is run."""

import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bnnkit import data
from bnnkit.data.plain_pickle import read_plain_pickle
from bnnkit.errors import FileError

CIFAR_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def _python2_pickle(x: NDArray[np.uint8], labels: list[int]) -> bytes:
    """A batch as Python 2 and its NumPy wrote it: byte strings, and numpy.core's function."""

    def text(value: bytes) -> bytes:
        return pickle.BINSTRING + struct.pack("<i", len(value)) + value

    def number(value: int) -> bytes:
        return pickle.BININT + struct.pack("<i", value)

    dtype = (
        b"cnumpy\ndtype\n(" + text(b"u1") + number(0) + number(1) + b"tR"
        b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    )
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + number(0) + b"\x85"
        + text(b"b") + b"tR(" + number(1) + b"(" + number(len(x)) + number(x[0].size) + b"t"
        + dtype + b"\x89" + text(x.tobytes()) + b"tb"
    )  # fmt: skip
    items = text(b"data") + array + text(b"labels") + b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + items + b"u."


def _write_cifar(folder: Path, n: int = 3) -> dict[str, tuple[NDArray[np.uint8], list[int]]]:
    rng = np.random.default_rng(2)
    folder.mkdir(parents=True, exist_ok=True)
    batches = {}
    for name in CIFAR_BATCHES:
        x = rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
        batches[name] = x, [int(label) for label in rng.integers(0, 10, n)]
        (folder / name).write_bytes(_python2_pickle(*batches[name]))
    names = [f"class {k}".encode() for k in range(10)]
    (folder / "batches.meta").write_bytes(pickle.dumps({b"label_names": names}))
    return batches


@pytest.mark.parametrize("below", [".", "cifar-10-batches-py"])
def test_cifar_as_python2_wrote_it(tmp_path: Path, below: str) -> None:
    batches = _write_cifar(tmp_path / below)
    cifar = data.load("cifar10", tmp_path)
    np.testing.assert_array_equal(
        cifar.x_train, np.concatenate([batches[name][0] for name in CIFAR_BATCHES[:5]])
    )
    np.testing.assert_array_equal(cifar.x_test, batches["test_batch"][0])
    assert cifar.y_test.tolist() == batches["test_batch"][1]
    assert cifar.classes[9] == "class 9"


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("core", [b"numpy.core.multiarray", b"numpy._core.multiarray"])
def test_arrays_of_either_numpy_are_read(protocol: int, core: bytes) -> None:
    array = np.arange(12, dtype=np.int16).reshape(3, 4)
    value = {"c": array, "fortran": np.asfortranarray(array), "list": [array[0], "text", 2.5]}
    content = pickle.dumps(value, 3)
    content = content.replace(np.ndarray.__reduce__(array)[0].__module__.encode(), core)
    back = read_plain_pickle(content)
    np.testing.assert_array_equal(back["c"], array)
    np.testing.assert_array_equal(back["fortran"], array)
    np.testing.assert_array_equal(back["list"][0], array[0])
    assert back["list"][1:] == ["text", 2.5]


class _Touch:
    """A pickle of this makes a file when an ordinary unpickler reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def test_a_pickle_runs_nothing(tmp_path: Path) -> None:
    _write_cifar(tmp_path)
    (tmp_path / "test_batch").write_bytes(pickle.dumps({"data": _Touch(tmp_path / "touched")}))
    with pytest.raises(FileError, match=r"test_batch is not a batch .* names io.open"):
        data.load("cifar10", tmp_path)
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"cbuiltins\neval\n(U\x011tR.",
        b"cnumpy\nload\n(U\x01xtR.",
        b"cnumpy\nndarray\n(tR.",
        b"cnumpy\ndtype\n}U\x06reviveK\x01sb.",
        b"cnumpy\ndtype\nN}U\x06reviveK\x01s\x86b.",
    ],
    ids=["eval", "numpy.load", "ndarray()", "set dict", "set slot"],
)
def test_hostile_pickles_are_refused(content: bytes) -> None:
    with pytest.raises((pickle.UnpicklingError, TypeError, AttributeError, IndexError)):
        read_plain_pickle(content)


def test_bytes_as_python3_writes_them_for_python2() -> None:
    value: dict[str, Any] = {
        "names": [b"", b"a", bytes(range(256))],
        "x": np.arange(300, dtype=np.uint8),
    }
    for protocol in range(3):
        back = read_plain_pickle(pickle.dumps(value, protocol))
        assert back["names"] == value["names"]
        np.testing.assert_array_equal(back["x"], value["x"])


@pytest.mark.parametrize("arguments", [b"X\x01\0\0\0aX\x05\0\0\0utf-7\x86", b"K\x09\x85", b"N"])
def test_other_uses_of_bytes_are_refused(arguments: bytes) -> None:
    with pytest.raises(pickle.UnpicklingError, match="damaged bytes"):
        read_plain_pickle(b"c_codecs\nencode\n" + arguments + b"R.")


def test_a_text_that_is_encoded_often_takes_its_memory_once() -> None:
    latin = b"X\x06\0\0\0latin1"
    call = b"c_codecs\nencode\nh\0" + latin + b"\x86R"
    text = b"X\xff\xff\0\0" + b"x" * 0xFFFF + b"q\0"
    back = read_plain_pickle(b"\x80\x02](" + text + call * 1000 + b"e.")
    assert len(back) == 1001
    assert len({id(item) for item in back[1:]}) == 1


def test_arrays_of_objects_in_a_pickle_are_refused() -> None:
    content = pickle.dumps([np.array([{}, None], object)], 3)
    with pytest.raises(pickle.UnpicklingError, match="dtype O8, not of numbers"):
        read_plain_pickle(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "truncated or damaged"),
        (b"hello", "not a batch of CIFAR-10|truncated"),
        (pickle.dumps([1]), "expected a dictionary with data and labels, got list"),
        (pickle.dumps({"labels": [1]}), "'data' to be an array, .* got nothing"),
        (pickle.dumps({"data": np.zeros((1, 9), np.uint8)}, 3), r"got uint8 \(1, 9\)"),
        (pickle.dumps({"data": np.zeros((1, 3072))}, 3), "got float64"),
        (pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": 3}, 3), "got int"),
        (pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [0.5]}, 3), "got list"),
        (pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [0, 1]}, 3), "1 images"),
        (pickle.dumps({"data": np.zeros((1, 3072), np.uint8), "labels": [11]}, 3), r"is 11"),
    ],
)
def test_cifar_damaged_batch(tmp_path: Path, content: bytes, message: str) -> None:
    _write_cifar(tmp_path)
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(FileError, match=message):
        data.load("cifar10", tmp_path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.99])
def test_cifar_truncated_batch(tmp_path: Path, kept: float) -> None:
    _write_cifar(tmp_path)
    file = tmp_path / "data_batch_4"
    file.write_bytes(file.read_bytes()[: int(kept * file.stat().st_size)])
    with pytest.raises(FileError, match=r"data_batch_4 is (truncated|not a batch)"):
        data.load("cifar10", tmp_path)


def test_cifar_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"data_batch_1, .*batches.meta in .* --data-dir DIR"):
        data.load("cifar10", tmp_path)
