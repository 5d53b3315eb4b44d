"""The reliability diagram: accuracy as a function of confidence.

References:
    C. Guo et al., On calibration of modern neural networks, ICML 2017, section 2.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bnnkit.evaluation.metrics import N_BINS, ece
from bnnkit.plots import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_EDGES = np.arange(N_BINS + 1) / N_BINS
_WIDTH = 0.96 / N_BINS
_BAR, _MARK, _INK, _EMPTY = "#2563eb", "#e8590c", "#1f2933", "#d3d8de"


@dataclass(frozen=True, kw_only=True, eq=False)
class Bins:
    """Examples binned by confidence, their largest probability.

    Bin b of B holds the confidences in [(b - 1) / B, b / B), and the last bin also 1.

    Attributes:
        count: The number of examples, (B,).
        confidence: Their mean confidence, (B,); 0 in an empty bin.
        accuracy: Their accuracy, (B,); 0 in an empty bin.
    """

    count: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def reliability(probabilities: NDArray[Any], labels: NDArray[Any], n_bins: int = N_BINS) -> Bins:
    """Bin examples in bins of equal width, the same as in `bnnkit.evaluation.metrics.ece`.

    Args:
        probabilities: (N, K), rows that sum to 1.
        labels: (N,), integers.
        n_bins: The number of bins, B.
    """
    confidence = probabilities.max(axis=1).astype(np.float64)
    bins = np.searchsorted(np.arange(1, n_bins) / n_bins, confidence, side="right")
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
    """Draw the diagram and a histogram of the confidences; a PNG has 900 x 1050 pixels.

    Args:
        probabilities: (N, K), rows that sum to 1.
        labels: (N,), integers.
        path: The picture: .png, .svg or .pdf.
        title: The title above the diagram.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        UsageError: If the picture's name has another ending.
        FileError: If the picture cannot be written.
    """
    figure = new_figure(6, 7, drawing="a reliability diagram")
    accuracy, count = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    bins = reliability(probabilities, labels)
    _draw_accuracy(accuracy, bins)
    _draw_count(count, bins)
    calibration = f"ECE {ece(probabilities, labels):.4f}"
    accuracy.set_title(f"{title}\n{calibration}, {len(labels):,} images", loc="left", color=_INK)
    save(figure, path)


def _draw_accuracy(axes: "Axes", bins: Bins) -> None:
    filled = bins.count > 0
    left, right = _EDGES[:-1], _EDGES[1:]
    axes.bar(
        left[filled], bins.accuracy[filled], _WIDTH, align="edge", color=_BAR, label="accuracy"
    )
    if not filled.all():
        axes.bar(
            left[~filled], 1, _WIDTH, align="edge", color="none", ec=_EMPTY, lw=0, hatch="///",
            label="no images",
        )  # fmt: skip
    axes.hlines(
        bins.confidence[filled], left[filled], right[filled], color=_MARK, lw=3,
        label="mean confidence",
    )  # fmt: skip
    axes.plot([0, 1], [0, 1], color=_INK, lw=1, ls="--", label="perfectly calibrated")
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel="accuracy")
    axes.legend(loc="upper left", facecolor="white", edgecolor="none", framealpha=1)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_count(axes: "Axes", bins: Bins) -> None:
    bars = axes.bar(_EDGES[:-1], bins.count, _WIDTH, align="edge", color=_BAR)
    axes.bar_label(bars, [f"{n:,}" if n else "" for n in bins.count], fontsize=8, color=_INK)
    axes.set(ylim=(0, 1.25 * bins.count.max()), xlabel="confidence", ylabel="images")
    axes.spines[["top", "right"]].set_visible(False)
