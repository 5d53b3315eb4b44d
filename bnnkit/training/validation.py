"""The examples that are held out of training."""

import numpy as np
from numpy.typing import NDArray


def hold_out(n_examples: int, share: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Which training examples are trained on, and which are for validation: always the same.

    The order is that of raw PCG64 words, whose stream NumPy fixes for ever.

    Args:
        n_examples: Training examples of the data set.
        share: Of them that is held out, rounded down.

    Returns:
        Indices of the examples to train on and of those to validate on, int64, ascending.
    """
    words = np.random.PCG64(1).random_raw(n_examples)
    order = np.argsort(words, kind="stable").astype(np.int64)
    n_held_out = int(n_examples * share)
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])
