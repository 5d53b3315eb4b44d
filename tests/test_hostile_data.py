"""Small files that ask for much, or are no files: one line, within a second, in little memory."""

import gzip
import io
import json
import os
import pickle
import struct
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import fail

from bnnkit.cli.array_files import read_array
from bnnkit.data import DATASETS, Dataset, load
from bnnkit.data.plain_pickle import read_plain_pickle
from bnnkit.errors import BnnkitError, CheckpointError, ConfigError, FileError
from bnnkit.files.unpacked import most_unpacked
from bnnkit.runtime import load as load_model
from bnnkit.training import load_checkpoint, load_config
from bnnkit.training.config import Config, parse_config
from bnnkit.training.history import read_history
from bnnkit.training.run_folder import RunFolder

CPU_SECONDS = 2.0
DIGITS = "data: {name: digits}\nmodel: {name: convnet}\n"


@contextmanager
def one_line(error: type[BnnkitError], words: str) -> Iterator[None]:
    """Expect a short error of one line, soon."""
    start = time.process_time()
    with pytest.raises(error, match=words) as raised:
        yield
    assert time.process_time() - start < CPU_SECONDS
    message = str(raised.value)
    assert "\n" not in message
    assert len(message) < 2500


def _npy(array: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


@pytest.mark.parametrize("name", ["x.npy", "classes.npy"])
def test_an_archive_that_unpacks_to_much_more(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bnnkit.files.unpacked._GRACE_BYTES", 1 << 20)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for other in {"x.npy", "y.npy"} - {name}:
            archive.writestr(other, _npy(np.zeros((2, 1, 4, 4), np.uint8)))
        archive.writestr(name, _npy(np.zeros((3 << 20,), np.uint8)))
    with one_line(FileError, "more than .*, the limit for a compressed file of its size"):
        load("a.npz", tmp_path)


def test_the_limit_of_a_compressed_file() -> None:
    assert most_unpacked(0) == 128 << 20
    assert most_unpacked(1000) == (128 << 20) + 100_000


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000,)}", "header says"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}", "header says"),
        ("{'descr': '<U-1', 'fortran_order': False, 'shape': (3,)}", "header says"),
        ("{'descr': '|V0', 'fortran_order': False, 'shape': (1000000000,)}", "header says"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", "Python objects"),
        ("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)", "header cannot be read"),
        ("(" * 9000, "header cannot be read"),
    ],
)
def test_a_header_of_another_array(tmp_path: Path, header: str, words: str) -> None:
    (tmp_path / "a.npy").write_bytes(_header(header + "\n") + bytes(100))
    with one_line(FileError, words):
        read_array(tmp_path / "a.npy")


def test_gzip_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    huge = bytes([0, 0, 8, 3]) + struct.pack(">III", 60000, 60000, 60000)
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte.gz").write_bytes(gzip.compress(huge + bytes(1 << 20)))
    with one_line(FileError, "its header says 216000000000016 bytes"):
        load("mnist", tmp_path)


def test_gzip_over_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnnkit.files.unpacked._GRACE_BYTES", 1000)
    header = bytes([0, 0, 8, 3]) + struct.pack(">III", 2000, 28, 28)
    path = tmp_path / "train-images-idx3-ubyte.gz"
    for name in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"):
        (tmp_path / f"{name}-ubyte.gz").write_bytes(gzip.compress(header + bytes(2000 * 784)))
    most = f"{most_unpacked(path.stat().st_size):,}"
    with one_line(FileError, f"unpacks to more than {most} bytes, the limit .*: unpack it with"):
        load("mnist", tmp_path)


def test_what_a_loader_did_not_foresee_is_an_error_of_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(folder: Path | None) -> Dataset:
        raise OverflowError("a value")

    monkeypatch.setitem(DATASETS, "mnist", fails)
    with one_line(FileError, f"{tmp_path}: probably a damaged file, .* OverflowError"):
        load("mnist", tmp_path)


def _doubled_lists(levels: int) -> bytes:
    """A list of ten lists of ten lists ...: 10^levels values if it is walked."""
    lists = b"]q\x00(" + b"K\x01" * 10 + b"e"
    for level in range(levels):
        lists += b"0]q" + bytes([level + 1]) + b"(" + (b"h" + bytes([level])) * 10 + b"e"
    return b"\x80\x02}(U\x06labels" + lists + b"u."


def _batch(labels: list[int]) -> bytes:
    return pickle.dumps({"data": np.zeros((len(labels), 3072), np.uint8), "labels": labels}, 2)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (_doubled_lists(60), "'data' to be an array"),
        (b"\x80\x02}r\xff\xff\xff\x7f.", "'data' to be an array"),
        (b"\x80\x02B\xff\xff\xff\x7fabc.", "truncated or damaged"),
        (b"\x80\x04\x8e" + b"\xff" * 8 + b".", "truncated or damaged"),
        (b"\x80\x02" + b"(" * 100_000 + b".", "a value is missing"),
        (b"I" + b"9" * 5000 + b"\n.", "damaged"),
        (b"}(" + b"".join(b"L%dL\nN" % (k * (2**61 - 1)) for k in range(20_000)) + b"u.", "keys"),
        (b"\x80\x02]q\x00h\x00a.", "expected a dictionary"),
        (pickle.dumps(os.system), "it names posix.system"),
        (_batch([2**100]), "'labels' to be indices of classes, got an integer of 101 bits"),
        (_batch([-(2**63) - 1]), "got an integer of 64 bits"),
        (_batch([1 << 50_000]), "got an integer of 50001 bits"),
        (pickle.dumps({"\ud800": 1}), "'data' to be an array, .* got nothing"),
        (_batch([2**40]), "label"),
        (b"c__builtin__\neval\n(S'1'\ntR.", "it names __builtin__.eval"),
        (b"cnumpy\ndtype\n(S'u1'\ntR}b.", "damaged array"),
    ],
)
def test_a_pickle_that_asks_for_much(tmp_path: Path, content: bytes, words: str) -> None:
    for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta"):
        (tmp_path / name).write_bytes(content)
    with one_line(FileError, words):
        load("cifar10", tmp_path)


def test_pickled_text_of_every_protocol() -> None:
    value = {"a": [1, -5, 2**70, 0.5, None, True, (1, "é\n"), "x" * 300], "b": {"c": ()}}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert read_plain_pickle(pickle.dumps(value, protocol)) == value


def _laughs(levels: int) -> str:
    lines = ["epochs:", "  - &a0 [x, x, x, x, x, x, x, x, x]"]
    for level in range(levels):
        lines.append(f"  - &a{level + 1} [" + ", ".join([f"*a{level}"] * 9) + "]")
    return DIGITS + "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_laughs(2), "epochs: expected an integer"),
        (_laughs(8), "aliases repeat its values more than 10,000 times"),
        ("lr: &a [*a]", "aliases repeat its values"),
        ("".join(f"k{number}: 1\n" for number in range(4000)), "unknown key k0; .* 3997 more"),
        ("".join(f"k{number}: 1\n" for number in range(30_000)), "at most 65,536 characters"),
        ("lr: [" + "1," * 30_000 + "]", "more than 10,000 values"),
        ("seed: " + "9" * 5000, "a value cannot be read"),
        ("seed: 0x" + "f" * 5000, "seed: expected .*, got an integer of 20000 bits"),
        ("lr: 2001-99-99", "a value cannot be read"),
        ("lr: !!bool x", "a value cannot be read"),
        ("lr: !!timestamp x", "a value cannot be read"),
        ("lr: !!python/object/apply:os.system [ls]", "could not determine a constructor"),
        ("lr: " + "[" * 2000 + "]" * 2000, "nested more than 20 deep"),
        ("x: &x {name: convnet}\nmodel: {<<: *x}\n", "unknown key x"),
        ("<<: 1", "expected a mapping"),
        ("? [1]\n: 2", r"expected text as a key, got \[1\]$"),
        ("lr: 1\x1b[31m", "is not valid YAML"),
    ],
)
def test_a_configuration_that_asks_for_much(text: str, words: str) -> None:
    with one_line(ConfigError, words):
        parse_config(text)


def test_aliases_and_merge_keys_are_taken() -> None:
    merged = "model: {name: mlp, width: &w 8, depth: *w}\n"
    assert parse_config(merged).model.options == {"width": 8, "depth": 8}
    merged = "distillation: {teachers: [a], temperature: 2}\nlatent: {<<: {lr: 0.5}, lr: 0.25}\n"
    found = parse_config(merged).latent
    assert found is not None
    assert found.lr == 0.25


def _with_about(checkpoint: Path, path: Path, change: Callable[[dict[str, object]], None]) -> Path:
    """A checkpoint with other metadata."""
    content = checkpoint.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    about = json.loads(header["__metadata__"]["bnnkit"])
    change(about)
    header["__metadata__"]["bnnkit"] = json.dumps(about)
    new = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(new)) + new + content[8 + size :])
    return path


def _options(**options: object) -> str:
    return json.dumps({"data": {"name": "digits"}, "model": options})


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"config": _laughs(8)}, "aliases repeat"),
        ({"config": _options(name="convnet", width=10**5)}, "a network larger than the file"),
        ({"config": _options(name="convnet", width=2**63)}, "an int of at most 2147483647"),
        ({"config": _options(name="mlp", width=1, depth=10**9)}, "more parts than the file has"),
        ({"config": _options(name="convnet", input_shape=[1])}, "comes from the data"),
        ({"input_shape": [1, 1000, 1000]}, "a network larger than the file"),
        ({"input_shape": [1, 2**31, 8]}, "expected an input shape of positive sizes and at most"),
        ({"input_shape": [1, 0, 8]}, "expected an input shape of positive sizes"),
        ({"accuracy": 10**400}, "its metadata is damaged"),
        ({"config": ["a"]}, "is not a checkpoint"),
        ({"format": {"a": "b" * 10**6}}, "reads format 1"),
    ],
)
def test_a_checkpoint_that_asks_for_much(
    digits_run: Path, tmp_path: Path, about: dict[str, object], words: str
) -> None:
    path = _with_about(
        digits_run / "checkpoint.safetensors",
        tmp_path / "c.safetensors",
        lambda d: d.update(about),
    )
    with one_line(CheckpointError, words):
        load_checkpoint(path)


@pytest.mark.parametrize(
    "line", ["[1]", "{}", '{"epoch": true}', '{"epoch": 1, "train_loss": "a"}', "[" * 10**5, "x"]
)
def test_a_damaged_line_in_a_history(tmp_path: Path, line: str) -> None:
    path, good = tmp_path / "metrics.jsonl", '{"epoch": 1, "train_loss": 0.5}'
    path.write_text(f"{good}\n{line}")
    assert len(read_history(path)) == 1, "a line that was cut off is left out"
    path.write_text(f"{good}\n{line}\n{good}\n")
    with one_line(FileError, "line 2 is not the record of an epoch"):
        read_history(path)


def test_pipes_and_devices_are_no_files(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path, kind in ((pipe, "a pipe"), (Path("/dev/zero"), "a device")):
        words = f"cannot read .*{path}: it is not a regular file, but {kind}"
        for read in (read_array, load_model, load_config, read_history):
            with one_line(FileError, words):
                read(path)
        assert kind in fail("convert", path, "-o", tmp_path / "m.onnx")
        assert kind in fail("run", path, path, "-o", tmp_path / "o.npy")
        assert kind in fail("train", path, "--out", tmp_path / "run")
        assert fail("info", path)
    os.mkfifo(tmp_path / "a.npz")
    with one_line(FileError, "a pipe"):
        load("a.npz", tmp_path)
    os.mkfifo(tmp_path / "config.yaml")
    assert not RunFolder(tmp_path).config.is_file()
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        load_checkpoint(pipe)


def test_numbers_of_numpy_in_a_configuration() -> None:
    values: dict[str, Any] = {"epochs": np.int64(3), "seed": np.uint64(5), "lr": np.float32(0.5)}
    config = Config(**values)
    assert (config.epochs, config.seed, config.lr) == (3, 5, 0.5)
    assert type(config.epochs) is int
