"""Documents as bags of words: 20 Newsgroups, and digits as a small stand-in."""

import gzip
from pathlib import Path

import numpy as np
import torch
from experiment_config import Config
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
        documents, words = np.nonzero(images.reshape(len(images), -1) // 16)
        counts = images.reshape(len(images), -1)[documents, words] // 16
    else:
        documents, words, counts = read_entries(config.dir)
    frequencies = np.bincount(words, counts)
    kept = np.argsort(-frequencies, kind="stable")[: config.words]
    column = np.full(len(frequencies), -1)
    column[kept] = np.arange(len(kept))
    table = np.zeros((documents.max() + 1, len(kept)), np.float32)
    chosen = column[words] >= 0
    table[documents[chosen], column[words[chosen]]] = counts[chosen]
    return torch.from_numpy(table[: config.documents])


Entries = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
"""Documents and words, both from 0, and the counts of these words in these documents."""


def read_entries(folder: Path) -> Entries:
    """Read train.data: lines "document word count", documents and words numbered from 1.

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
    return documents - 1, words - 1, counts
