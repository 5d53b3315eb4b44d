"""A plot of accuracy and calibration error over latency, for several numbers of samples."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bnnkit.artifact.ensemble_config import Samples
from bnnkit.evaluation.evaluate import Evaluation
from bnnkit.plots import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LINE, _AUTO, _INK, _GRID = "#2563eb", "#e8590c", "#1f2933", "#e5e8eb"


def draw_cost(points: Sequence[Evaluation], path: Path, *, title: str) -> None:
    """Draw accuracy and calibration error over latency; a PNG has 1350 x 675 pixels.

    Args:
        points: The evaluations; a line joins those with a fixed number of samples.
        path: The picture: .png, .svg or .pdf.
        title: The title above the plots.

    Raises:
        MissingExtraError: If matplotlib is not installed.
        UsageError: If the picture's name has another ending.
        FileError: If the picture cannot be written.
    """
    figure = new_figure(9, 4.5, drawing="accuracy against cost")
    accuracy, ece = figure.subplots(1, 2)
    _draw(accuracy, [100 * point.accuracy for point in points], points, auto_below=False)
    _draw(ece, [point.ece for point in points], points, auto_below=True)
    accuracy.set_ylabel("accuracy, %")
    ece.set_ylabel("expected calibration error")
    ece.set_ylim(bottom=0)
    figure.suptitle(title, color=_INK, x=0.01, ha="left")
    save(figure, path)


def _draw(
    axes: "Axes", heights: Sequence[float], points: Sequence[Evaluation], *, auto_below: bool
) -> None:
    """Draw one curve, with labels to the right of the points, and above or below for "auto"."""
    placed = list(zip(points, heights, strict=True))
    fixed = sorted((p.mean_samples, p.microseconds, y) for p, y in placed if _is_fixed(p.samples))
    axes.plot([x for _, x, _ in fixed], [y for *_, y in fixed], "-", color=_LINE, lw=1.5, zorder=1)
    for point, y in placed:
        is_auto = point.samples == "auto"
        color = _AUTO if is_auto else _LINE
        offset = (6, -14 if auto_below else 6) if is_auto else (9, -4)
        axes.scatter(
            point.microseconds, y, s=45, zorder=2, color=color if point.samples else "white",
            edgecolor=color, marker="D" if is_auto else "o",
        )  # fmt: skip
        axes.annotate(
            _named(point.samples), (point.microseconds, y), xytext=offset,
            textcoords="offset points", color=color, fontsize=9, zorder=3,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5, "alpha": 0.8},
        )  # fmt: skip
    axes.margins(0.14)
    axes.set_xlabel("microseconds for an image")
    axes.grid(color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _is_fixed(samples: Samples) -> bool:
    return samples not in ("auto", 0)


def _named(samples: Samples) -> str:
    return "deterministic" if samples == 0 else str(samples)
