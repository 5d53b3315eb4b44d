"""Metrics of predicted probabilities: accuracy, log loss, Brier score, calibration error.

Every function takes probabilities (N, K) with K >= 2, any float dtype and rows that sum to 1, and
labels (N,), integers from 0 to K - 1. The results are fractions or nats. They are computed with
torchmetrics where it has the metric, else with torch.
"""

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import MissingExtraError, UsageError

if TYPE_CHECKING:
    from torch import Tensor

N_BINS = 15
_SMALLEST = float(np.finfo(np.float32).tiny)
_ROW_SUM_TOLERANCE = 1e-3  # float16 probabilities of 1000 classes sum to 1 within this
_BELOW_1 = float(np.nextafter(np.float32(1), np.float32(0)))


def check_installed() -> None:
    """Check that the required packages are installed; call it before long work.

    Raises:
        MissingExtraError: If torchmetrics or torch is not installed.
    """
    try:
        import torch  # noqa: F401 - checks that it is installed
        import torchmetrics  # noqa: F401 - checks that it is installed
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "torchmetrics"):
            raise
        raise MissingExtraError("measuring accuracy and calibration", "train") from error


def accuracy(probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """Fraction of examples whose most probable class is the label; ties go to the first class.

    Raises:
        UsageError: If the arrays are not probabilities and labels (for every function here).
        MissingExtraError: If torchmetrics or torch is not installed (for every function here).
    """
    p, y = _checked(probabilities, labels)
    from torchmetrics.functional.classification import multiclass_stat_scores

    # torchmetrics' own accuracy is float32, which prints 0.9 as 0.8999999761581421.
    right = multiclass_stat_scores(p, y, num_classes=p.shape[1], average="micro")[0]
    return int(right) / len(y)


def nll(probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """Mean negative log likelihood of the labels, -log p[y], in nats.

    Probabilities below float32's smallest normal number, 1.2e-38, count as that, so one
    example adds at most 87.3 / N and the mean stays finite.
    """
    p, y = _checked(probabilities, labels)
    from torch.nn.functional import nll_loss

    return float(nll_loss(p.clamp(min=_SMALLEST).log(), y))


def brier(probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """Brier score, the mean over examples of sum_k (p_k - [y = k])^2, from 0 to 2.

    References:
        G. Brier, Verification of forecasts expressed in terms of probability, 1950.
    """
    p, y = _checked(probabilities, labels)
    from torch.nn.functional import one_hot

    return float((p - one_hot(y, p.shape[1])).square().sum(dim=1).mean())


def ece(probabilities: NDArray[Any], labels: NDArray[Any], n_bins: int = N_BINS) -> float:
    """Expected calibration error, the mean distance of confidence from accuracy, from 0 to 1.

    The confidence of an example is its largest probability. Bin b of B holds the confidences in
    [(b - 1) / B, b / B), and the last bin also 1. With n_b examples in bin b,
    ECE = sum_b n_b / N |accuracy_b - confidence_b|, in float32.

    References:
        C. Guo et al., On calibration of modern neural networks, ICML 2017, equation 3.
    """
    p, y = _checked(probabilities, labels)
    from torchmetrics.functional.classification import multiclass_calibration_error

    # torchmetrics puts a confidence of 1 in an extra bin, and treats rows with numbers above 1
    # (after rounding) as logits.
    p = p.clamp(max=_BELOW_1)
    return float(multiclass_calibration_error(p, y, num_classes=p.shape[1], n_bins=n_bins))


def _checked(probabilities: NDArray[Any], labels: NDArray[Any]) -> tuple["Tensor", "Tensor"]:
    """Check the arrays and convert them to tensors: float64 (N, K) and int64 (N,)."""
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels)
    if p.ndim != 2 or len(p) == 0 or p.shape[1] < 2 or y.shape != (len(p),):
        raise UsageError(
            "expected probabilities (N, K) and labels (N,) with N > 0 and K > 1,"
            f" got {p.shape} and {y.shape}"
        )
    # NaN fails every comparison, so test that all numbers are valid.
    if not (np.all(p >= 0) and np.all(np.abs(p.sum(axis=1) - 1) <= _ROW_SUM_TOLERANCE)):
        raise UsageError("expected probabilities: numbers from 0 whose rows sum to 1")
    if not np.issubdtype(y.dtype, np.integer):
        raise UsageError(f"expected labels that are integers, got {y.dtype}")
    if y.min() < 0 or y.max() >= p.shape[1]:
        from_one = y.min() >= 1 and y.max() == p.shape[1]
        hint = "; subtract 1 from labels that count from 1" if from_one else ""
        raise UsageError(
            f"the network has {p.shape[1]} classes: expected labels from 0 to {p.shape[1] - 1}, "
            f"got {y.min()} to {y.max()}{hint}"
        )
    check_installed()
    import torch

    return torch.tensor(p), torch.tensor(y.astype(np.int64))
