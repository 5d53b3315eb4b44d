"""Documents as bags of words: 20 Newsgroups, and digits as a small stand-in."""

import gzip
from pathlib import Path

import numpy as np
import torch
from experiment import Config
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from bnnkit import data
from bnnkit.errors import FileError


class DocumentsConfig(Config):
    """The documents.

    Attributes:
        name: "20news", the training documents of the processed data set ("Matlab/Octave", split by
            date), or "digits", whose pixels count as words.
        dir: The folder with train.data.gz or train.data; data/20news by default.
        words: The most frequent words are kept.
        documents: The first documents are kept; None keeps all.
    """

    name: str = Field(default="20news", pattern="^(20news|digits)$")
    dir: Path = Path("data/20news")
    words: int = Field(default=10000, ge=1)
    documents: int | None = Field(default=None, ge=1)


def load_counts(config: DocumentsConfig) -> Tensor:
    """The counts of words, float32 (documents, words), words in the order of their frequency."""
    if config.name == "digits":
        images = data.load("digits", None).x_train
        counts = images.reshape(len(images), -1).astype(np.float32) // 16
    else:
        counts = read_counts(config.dir)
    order = np.argsort(-counts.sum(0), kind="stable")[: config.words]
    return torch.from_numpy(counts[: config.documents, order].copy())


def read_counts(folder: Path) -> NDArray[np.float32]:
    """Read train.data: lines "document word count", numbered from 1.

    Raises:
        FileError: If the folder has no such file, or a line is not three positive integers.
    """
    packed, plain = folder / "train.data.gz", folder / "train.data"
    if not (packed.is_file() or plain.is_file()):
        raise FileError(f"expected train.data or train.data.gz of 20 Newsgroups in {folder}")
    text = gzip.decompress(packed.read_bytes()) if packed.is_file() else plain.read_bytes()
    try:
        rows = np.array(text.split(), dtype=np.int64).reshape(-1, 3)
    except ValueError as error:
        raise FileError(f"{folder}: train.data has lines that are not three integers") from error
    if rows.size == 0 or rows.min() < 1:
        raise FileError(f"{folder}: expected positive integers in train.data")
    documents, words, counts = rows.T
    table = np.zeros((documents.max(), words.max()), np.float32)
    table[documents - 1, words - 1] = counts
    return table
