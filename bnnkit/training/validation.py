"""Hold examples out of training for validation."""

import numpy as np
from numpy.typing import NDArray

from bnnkit.data import AnyDataset, StreamedDataset


def hold_out(n_examples: int, share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split the training examples into those to train on and those for validation.

    The split is the same in every run: it sorts raw PCG64 words, a stream that NumPy keeps stable.

    Args:
        n_examples: Number of training examples in the data set.
        share: Share of them that is held out; their number is rounded down.

    Returns:
        Indices of the examples to train on and of those to validate on, int64, ascending.
    """
    words = np.random.PCG64(1).random_raw(n_examples)
    order = np.argsort(words, kind="stable").astype(np.int64)
    n_held_out = int(n_examples * share)
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


def n_trained_on(dataset: AnyDataset, share: float) -> int:
    """Return the number of examples to train on if this share is held out."""
    if has_validation(dataset):
        return len(dataset.train)
    return len(hold_out(len(dataset.train), share)[0])


def has_validation(dataset: AnyDataset) -> bool:
    """Return whether a data set has examples for validation, so that none are held out."""
    return isinstance(dataset, StreamedDataset) and dataset.validation is not None
