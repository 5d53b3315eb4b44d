"""Files of data, checkpoints, states, histories and configurations, and damage to them."""

import gzip
import io
import json
import pickle
import random
import re
import struct
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bnnkit.cli.array_files import read_array
from bnnkit.data import load
from bnnkit.data.digits import load_digits
from bnnkit.training.build_model import build_model
from bnnkit.training.checkpoint import describe, load_checkpoint, read_metadata, save_checkpoint
from bnnkit.training.config import Config, dump_config, load_config
from bnnkit.training.history import History, read_history
from bnnkit.training.state import load_state, save_state

MNIST = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
CIFAR = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")
NUMBERS = (
    "0", "-1", "1", "2147483648", "4294967295", "9223372036854775807", "1e999", "NaN", "null",
    "9" * 5000, '"x"', "[]", "true", "0x10", "2001-99-99",
)  # fmt: skip
"""What may stand in a text where a number stood."""


@dataclass(frozen=True)
class Kind:
    """A kind of file: good ones, their content in parts that are damaged, and their reader.

    Attributes:
        name: The name of the file.
        parts: The parts of each good file.
        join: Makes the file of its parts.
        read: Reads the file.
    """

    name: str
    parts: tuple[tuple[bytes, ...], ...]
    join: Callable[[Sequence[bytes]], bytes]
    read: Callable[[Path], object]


def damaged(kind: Kind, seed: int, number: int) -> bytes:
    """Return a damaged file: damage to a part, so that checksums are right, or to the whole."""
    rng = random.Random(f"{kind.name}, {seed}, {number}")
    parts = list(rng.choice(kind.parts))
    if rng.random() < 0.6:
        place = rng.randrange(len(parts))
        parts[place] = damage(parts[place], rng)
        return kind.join(parts)
    return damage(kind.join(parts), rng)


def damage(content: bytes, rng: random.Random) -> bytes:
    """Change some bytes, or numbers that are written as text."""
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        content = rng.choice((_bits, _bytes, _cut, _repeat, _number, _number, _zeros))(
            content, rng
        )
    return content


def _place(content: bytes, rng: random.Random) -> int:
    """Choose a place; one near the beginning as often as any other, for there are the headers."""
    return rng.randrange(min(len(content), rng.choice((64, 256, 1 << 30))) or 1)


def _bits(content: bytes, rng: random.Random) -> bytes:
    place, changed = _place(content, rng), bytearray(content)
    if changed:
        changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _bytes(content: bytes, rng: random.Random) -> bytes:
    place = _place(content, rng)
    new = rng.choice((rng.randbytes(rng.randint(1, 9)), b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0"))
    return content[:place] + new + content[place + len(new) :]


def _zeros(content: bytes, rng: random.Random) -> bytes:
    place, count = _place(content, rng), rng.choice((1, 8, 100))
    return content[:place] + bytes(count) + content[place + count :]


def _cut(content: bytes, rng: random.Random) -> bytes:
    place = _place(content, rng)
    return rng.choice((content[:place], content[place:], content[:place] + content[place + 3 :]))


def _repeat(content: bytes, rng: random.Random) -> bytes:
    place, count = _place(content, rng), rng.choice((1, 5, 50))
    return content[:place] + content[place : place + count] * rng.randint(2, 40) + content[place:]


def _number(content: bytes, rng: random.Random) -> bytes:
    places = [found.span() for found in re.finditer(rb"\d+(\.\d+)?", content[: 1 << 16])]
    if not places:
        return content
    start, end = rng.choice(places)
    return content[:start] + rng.choice(NUMBERS).encode() + content[end:]


def _npy(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _zipped(names: Sequence[str], method: int) -> Callable[[Sequence[bytes]], bytes]:
    def join(parts: Sequence[bytes]) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, part in zip(names, parts, strict=True):
                archive.writestr(f"{name}.npy", part)
        return file.getvalue()

    return join


def _idx(array: NDArray[Any]) -> bytes:
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def _safetensors(path: Path) -> tuple[bytes, bytes, bytes]:
    """Split a file: the text in its metadata, the rest of its header, and the numbers."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8 : 8 + size])
    text = header.pop("__metadata__")["bnnkit"]
    return text.encode(), json.dumps(header).encode(), content[8 + size :]


def _joined_safetensors(parts: Sequence[bytes]) -> bytes:
    text, header, numbers = parts
    about = json.dumps({"bnnkit": text.decode("utf-8", "replace")}).encode()
    header = header.replace(b"{", b'{"__metadata__": ' + about + b", ", 1)
    return struct.pack("<Q", len(header)) + header + numbers


def kinds(folder: Path) -> dict[str, Kind]:
    """Write the good files that readers need beside a damaged one; return all kinds.

    Args:
        folder: An empty folder, in which the damaged files are written under `Kind.name`.
    """
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (12, 1, 8, 8), dtype=np.uint8)
    labels = np.arange(12) % 3
    whole = _npy(images), _npy(labels), _npy(np.array(["a", "b", "c"]))
    split = tuple(_npy(x) for x in (images.astype(np.float64), labels, images / 3, labels))
    parts = ("x_train", "y_train", "x_test", "y_test")
    every = {
        "npz": Kind(
            "a.npz", (whole,), _zipped(("x", "y", "classes"), zipfile.ZIP_STORED), _read_npz
        ),
        "npz, deflated": Kind("b.npz", (split,), _zipped(parts, zipfile.ZIP_DEFLATED), _read_npz),
        "npy": Kind(
            "a.npy",
            ((_npy(images),), (_npy(np.asfortranarray(images / 3)),), (_npy(labels),)),
            b"".join,
            read_array,
        ),
    }
    return every | _image_sets(folder) | _of_training(folder)


def _read_npz(path: Path) -> object:
    return load(str(path))


def _image_sets(folder: Path) -> dict[str, Kind]:
    rng = np.random.default_rng(1)
    small = {name: rng.integers(0, 10, 3, dtype=np.uint8) for name in MNIST}
    small |= {name: rng.integers(0, 256, (3, 9, 9), dtype=np.uint8) for name in MNIST[::2]}
    for place, pack in (("mnist", bytes), ("mnist-gz", gzip.compress)):
        (folder / place).mkdir()
        for name, array in small.items():
            suffix = ".gz" if place.endswith("gz") else ""
            (folder / place / f"{name}-ubyte{suffix}").write_bytes(pack(_idx(array)))
    (folder / "cifar").mkdir()
    batch = {"data": rng.integers(0, 256, (2, 3072), dtype=np.uint8), "labels": [1, 2]}
    large = {"data": batch["data"], "labels": [1, 2**100], "\ud800": 0}
    batches = tuple((pickle.dumps(batch, protocol),) for protocol in (2, 3, 4))
    for name in CIFAR:
        (folder / "cifar" / name).write_bytes(batches[1][0])
    meta = pickle.dumps({b"label_names": [b"%d" % number for number in range(10)]})
    (folder / "cifar" / "batches.meta").write_bytes(meta)
    mnist = ((_idx(small[MNIST[0]]),),)
    return {
        "mnist": Kind(
            f"mnist/{MNIST[0]}-ubyte", mnist, b"".join, lambda p: load("mnist", p.parent)
        ),
        "mnist, gzip": Kind(
            f"mnist-gz/{MNIST[0]}-ubyte.gz",
            mnist,
            lambda parts: gzip.compress(parts[0]),
            lambda p: load("mnist", p.parent),
        ),
        "cifar": Kind(
            "cifar/data_batch_3",
            (*batches, (pickle.dumps(large, 2),)),
            b"".join,
            lambda p: load("cifar10", p.parent),
        ),
        "cifar, classes": Kind(
            "cifar/batches.meta", ((meta,),), b"".join, lambda p: load("cifar10", p.parent)
        ),
    }


def _of_training(folder: Path) -> dict[str, Kind]:
    model = torch.nn.Sequential(torch.nn.Linear(3, 2))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    save_state(folder / "state.safetensors", 3, model, [optimizer], {})
    config = Config.model_validate({"model": {"name": "mlp", "width": 8}})
    digits = load_digits()
    network = build_model(config.model, digits)
    save_checkpoint(folder / "c.safetensors", network, config, describe(digits, 0.5))
    checkpoint = (_safetensors(folder / "c.safetensors"),)
    state = (_safetensors(folder / "state.safetensors"),)
    records = [
        json.dumps({"epoch": e, "train_loss": 1 / e, "train_accuracy": 0.5}) for e in (1, 2, 3)
    ]
    lines = ("\n".join(records) + "\n").encode()
    yaml = (
        (dump_config(config).encode(),),
        (b"data: {name: digits}\nmodel: &m {name: convnet, width: 8}\nlatent: {lr: 0.1}\n",),
    )

    def read_whole_history(path: Path) -> object:
        History(path).restart_after(2)
        return read_history(path)

    return {
        "config": Kind("a.yaml", yaml, b"".join, load_config),
        "checkpoint": Kind("c.safetensors", checkpoint, _joined_safetensors, load_checkpoint),
        "metadata": Kind("m.safetensors", checkpoint, _joined_safetensors, read_metadata),
        "state": Kind(
            "state.safetensors",
            state,
            _joined_safetensors,
            lambda path: load_state(path, model, [optimizer]),
        ),
        "history": Kind("metrics.jsonl", ((lines,),), b"".join, read_whole_history),
    }
