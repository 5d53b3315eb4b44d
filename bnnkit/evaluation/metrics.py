"""How good predicted probabilities are: accuracy, log loss, Brier score, calibration error.

Everywhere: probabilities (N, K), K at least 2, any float dtype, rows that sum to 1; labels (N,),
integers from 0 to K - 1. The results are fractions or nats. torchmetrics computes what it has,
torch the rest.
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
    """Refuse to measure, before long work, where the packages are missing.

    Raises:
        MissingExtraError: torchmetrics or torch is not installed.
    """
    try:
        import torch  # noqa: F401 - only whether it is there
        import torchmetrics  # noqa: F401 - likewise
    except ModuleNotFoundError as error:
        if error.name not in ("torch", "torchmetrics"):
            raise
        raise MissingExtraError("measuring accuracy and calibration", "train") from error


def accuracy(probabilities: NDArray[Any], labels: NDArray[Any]) -> float:
    """Fraction of examples whose most probable class is the label; of equal ones the first counts.

    Raises:
        UsageError: The arrays are not probabilities and labels, as for every function here.
        MissingExtraError: torchmetrics or torch is not installed, as for every function here.
    """
    p, y = _checked(probabilities, labels)
    from torchmetrics.functional.classification import multiclass_stat_scores

    # Its accuracy is float32, of which a fraction such as 0.9 cannot be printed.
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
    """Expected calibration error: how far confidence is from accuracy, from 0 to 1.

    The confidence of an example is its largest probability. Bin b of B holds the confidences in
    [(b - 1) / B, b / B), the last one 1 too; with n_b examples in it, ECE = sum_b n_b / N
    |accuracy_b - confidence_b|, in float32.

    References:
        C. Guo et al., On calibration of modern neural networks, ICML 2017, equation 3.
    """
    p, y = _checked(probabilities, labels)
    from torchmetrics.functional.classification import multiclass_calibration_error

    # torchmetrics has a bin of its own for a confidence of 1, and takes numbers above 1, where a
    # row was rounded up, for logits.
    p = p.clamp(max=_BELOW_1)
    return float(multiclass_calibration_error(p, y, num_classes=p.shape[1], n_bins=n_bins))


def _checked(probabilities: NDArray[Any], labels: NDArray[Any]) -> tuple["Tensor", "Tensor"]:
    """The arrays as tensors: float64 (N, K) and int64 (N,)."""
    p, y = np.asarray(probabilities, np.float64), np.asarray(labels)
    if p.ndim != 2 or len(p) == 0 or p.shape[1] < 2 or y.shape != (len(p),):
        raise UsageError(
            "expected probabilities (N, K) and labels (N,) with N > 0 and K > 1,"
            f" got {p.shape} and {y.shape}"
        )
    # NaN fails every comparison, so the question is whether all is well.
    if not (np.all(p >= 0) and np.all(np.abs(p.sum(axis=1) - 1) <= _ROW_SUM_TOLERANCE)):
        raise UsageError("expected probabilities: numbers from 0 whose rows sum to 1")
    if not np.issubdtype(y.dtype, np.integer) or y.min() < 0 or y.max() >= p.shape[1]:
        raise UsageError(f"expected labels that are integers from 0 to {p.shape[1] - 1}")
    check_installed()
    import torch

    return torch.tensor(p), torch.tensor(y.astype(np.int64))
