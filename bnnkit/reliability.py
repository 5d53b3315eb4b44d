"""The reliability diagram: how often a network is right when it is so sure.

References:
    C. Guo et al., On calibration of modern neural networks, ICML 2017, section 2.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.atomic import replacing
from bnnkit.errors import MissingExtraError
from bnnkit.metrics import N_BINS, ece

_BAR, _MARK, _INK = "#2563eb", "#e8590c", "#1f2933"


@dataclass(frozen=True, kw_only=True, eq=False)
class Bins:
    """Examples by confidence, the largest probability; bin b of B holds ((b - 1) / B, b / B].

    Each (B,): the number of examples, and their mean confidence and accuracy, 0 where there are
    none.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def reliability(probabilities: NDArray[Any], labels: NDArray[Any], n_bins: int = N_BINS) -> Bins:
    """Confidence and accuracy in bins of equal width, those of `bnnkit.metrics.ece`.

    Args:
        probabilities: (N, K), rows that sum to 1.
        labels: (N,), integers.
        n_bins: B.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    bins = np.searchsorted(np.arange(1, n_bins) / n_bins, confidence, side="left")
    count = np.bincount(bins, minlength=n_bins)
    shared = np.maximum(count, 1)
    is_right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    return Bins(
        count=count,
        confidence=np.bincount(bins, confidence, n_bins) / shared,
        accuracy=np.bincount(bins, is_right, n_bins) / shared,
    )


def draw_reliability(
    probabilities: NDArray[Any], labels: NDArray[Any], path: Path, *, title: str
) -> None:
    """Draw the diagram as a PNG of 900 x 900 pixels.

    Args:
        probabilities: (N, K), rows that sum to 1.
        labels: (N,), integers.
        path: The picture.
        title: What stands above it.

    Raises:
        MissingExtraError: matplotlib is not installed.
        FileError: The picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise MissingExtraError("drawing a reliability diagram", "plot") from error
    figure = Figure(figsize=(6, 6), layout="constrained")  # without pyplot: always Agg
    axes = figure.subplots()
    bins = reliability(probabilities, labels)
    filled = bins.count > 0
    edges = np.arange(N_BINS + 1) / N_BINS
    left, right = edges[:-1][filled], edges[1:][filled]
    axes.bar(
        left, bins.accuracy[filled], 0.96 / N_BINS, align="edge", color=_BAR, label="accuracy"
    )
    axes.hlines(bins.confidence[filled], left, right, color=_MARK, lw=3, label="mean confidence")
    axes.plot([0, 1], [0, 1], color=_INK, lw=1, ls="--", label="perfectly calibrated")
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="accuracy")
    calibration = f"ECE {ece(probabilities, labels):.4f}"
    axes.set_title(f"{title}\n{calibration}, {len(labels):,} images", loc="left", color=_INK)
    axes.legend(loc="upper left", frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")
