"""Metrics of predicted real values: mean absolute error, root mean square error, R^2.

Every function takes predictions (N, K) and true values (N, K), any float dtype, and computes in
float64 with torchmetrics.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from bnnkit.errors import UsageError
from bnnkit.evaluation.metrics import check_installed

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[np.generic]


def mae(predictions: Array, values: Array) -> float:
    """Mean absolute error over all N x K values, in their unit.

    Raises:
        UsageError: If the arrays have other shapes or NaNs (for every function here).
        MissingExtraError: If torchmetrics or torch is not installed (for every function here).
    """
    p, y = _checked(predictions, values)
    from torchmetrics.functional.regression import mean_absolute_error

    return float(mean_absolute_error(p, y))


def rmse(predictions: Array, values: Array) -> float:
    """Root of the mean squared error over all N x K values, in their unit."""
    p, y = _checked(predictions, values)
    from torchmetrics.functional.regression import mean_squared_error

    return float(mean_squared_error(p.flatten(), y.flatten(), squared=False))


def r2(predictions: Array, values: Array) -> float:
    """Share of the variance of each value that is predicted, averaged over those that vary.

    R^2 = 1 - sum (y - p)^2 / sum (y - mean y)^2: 1 at best, 0 for the mean, negative if worse. NaN
    if no value varies.
    """
    p, y = _checked(predictions, values)
    varies = (y != y[:1]).any(dim=0)
    if not varies.any():
        return float("nan")
    from torchmetrics.functional.regression import r2_score

    return float(r2_score(p[:, varies], y[:, varies], multioutput="uniform_average"))


def _checked(predictions: Array, values: Array) -> tuple["Tensor", "Tensor"]:
    """Check the arrays and convert them to tensors, float64 (N, K)."""
    p, y = np.asarray(predictions, np.float64), np.asarray(values, np.float64)
    if p.ndim != 2 or p.size == 0 or y.shape != p.shape:
        raise UsageError(
            "expected predictions (N, K) and values (N, K) with N > 0 and K > 0, got "
            f"{p.shape} and {y.shape}"
        )
    if not (np.isfinite(p).all() and np.isfinite(y).all()):
        raise UsageError("expected finite predictions and values, got NaN or infinity")
    check_installed()
    import torch

    return torch.tensor(p), torch.tensor(y)
