"""Metrics of the probabilities of K labels, each of which holds or not, whatever the others do.

Every function takes probabilities (N, K) from 0 to 1, any float dtype, and labels (N, K) of 0 and
1, integers. A label is predicted where its probability is 1/2 or more.
"""

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UsageError
from bnnkit.evaluation.metrics import check_installed

Array = NDArray[np.generic]

_SMALLEST = float(np.finfo(np.float32).tiny)


def label_accuracy(probabilities: Array, labels: Array) -> float:
    """Fraction of the N x K labels that are predicted right.

    Raises:
        UsageError: If the arrays are not probabilities and labels (for every function here).
    """
    p, y = _checked(probabilities, labels)
    return float(((p >= 0.5) == y).mean())


def exact_match(probabilities: Array, labels: Array) -> float:
    """Fraction of the examples with all K labels predicted right."""
    p, y = _checked(probabilities, labels)
    return float(((p >= 0.5) == y).all(axis=1).mean())


def label_nll(probabilities: Array, labels: Array) -> float:
    """Mean negative log likelihood of a label, in nats: the binary cross-entropy.

    Probabilities of what holds below float32's smallest normal number, 1.2e-38, count as that.
    """
    p, y = _checked(probabilities, labels)
    of_truth = np.where(y, p, 1 - p)
    return float(-np.log(np.maximum(of_truth, _SMALLEST)).mean())


def mean_average_precision(probabilities: Array, labels: Array) -> float:
    """Average precision of each label that some example has, averaged over these labels.

    The average precision is sum_n (R_n - R_(n - 1)) P_n over the thresholds n, with recall R and
    precision P, as torchmetrics computes it. NaN if no example has any label.

    Raises:
        MissingExtraError: If torchmetrics or torch is not installed.
    """
    p, y = _checked(probabilities, labels)
    present = y.any(axis=0)
    if not present.any():
        return float("nan")
    check_installed()
    import torch
    from torchmetrics.functional.classification import binary_average_precision

    found = [
        binary_average_precision(torch.from_numpy(p[:, k].copy()), torch.from_numpy(y[:, k] * 1))
        for k in np.flatnonzero(present)
    ]
    return float(torch.stack(found).double().mean())


def _checked(probabilities: Array, labels: Array) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Check the arrays: float64 (N, K) and booleans (N, K)."""
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels)
    if p.ndim != 2 or p.size == 0 or y.shape != p.shape:
        raise UsageError(
            "expected probabilities (N, K) and labels (N, K) with N > 0 and K > 0, got "
            f"{p.shape} and {y.shape}"
        )
    # NaN fails every comparison, so test that all numbers are valid.
    if not np.all((p >= 0) & (p <= 1)):
        raise UsageError("expected probabilities: numbers from 0 to 1")
    if not np.isin(y, (0, 1)).all():
        raise UsageError("expected labels of 0 and 1")
    return p, y.astype(np.bool_)
