"""A figure of the three metrics of several estimators, along a training or over sizes."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bnnkit.gradients.accuracy import Accuracy, Interval
from bnnkit.plots import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Series = Mapping[str, Sequence[tuple[float, Accuracy]]]
"""For each estimator, pairs of a place on the x axis and the accuracy there."""

_INK, _GRID, _BEST = "#1f2933", "#e4e7eb", "#8c97a8"
_COLORS = 10
_PANELS: dict[str, Callable[[Accuracy], Interval]] = {
    "expected cosine similarity": lambda accuracy: accuracy.cosine,
    "expected improvement": lambda accuracy: accuracy.improvement,
    "root mean squared error": lambda accuracy: accuracy.rmse,
}


def draw_accuracies(series: Series, path: Path, *, title: str, x_label: str) -> None:
    """Draw expected cosine similarity, expected improvement and RMSE with their intervals.

    A dashed line shows the best improvement, that of the true gradient.

    Args:
        series: The accuracies.
        path: The picture: .png, .svg or .pdf.
        title: The title above the panels.
        x_label: What the places on the x axis are, for example "epoch".

    Raises:
        MissingExtraError: If matplotlib is not installed.
        UsageError: If the picture's name has another ending.
        FileError: If the picture cannot be written.
    """
    figure = new_figure(13, 4.4, drawing="accuracies of estimators")
    figure.suptitle(title, x=0.01, ha="left", color=_INK, fontsize=13, fontweight="bold")
    panels = list(figure.subplots(1, 3))
    draw_panels(series, panels, x_label=x_label)
    handles, labels = panels[1].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower left", ncols=6, frameon=False, labelcolor=_INK
    )
    save(figure, path)


def draw_panels(series: Series, panels: Sequence["Axes"], *, x_label: str) -> None:
    """Draw the three metrics into three axes, as in `draw_accuracies`."""
    for axes, (name, metric) in zip(panels, _PANELS.items(), strict=True):
        for number, (estimator, points) in enumerate(series.items()):
            _draw(axes, estimator, number, points, metric)
        axes.set_title(name, loc="left", color=_INK, fontsize=11)
        axes.set_xlabel(x_label, color=_INK)
        axes.grid(color=_GRID, lw=0.8)
        axes.spines[:].set_visible(False)
    best = sorted({(x, a.best_improvement) for points in series.values() for x, a in points})
    panels[1].plot(*zip(*best, strict=True), color=_BEST, ls="--", label="true gradient")
    panels[0].axhline(0, color=_BEST, lw=0.8)


def _draw(
    axes: "Axes",
    estimator: str,
    number: int,
    points: Sequence[tuple[float, Accuracy]],
    metric: Callable[[Accuracy], Interval],
) -> None:
    found = [metric(accuracy) for _, accuracy in points]
    below = [interval.value - interval.low for interval in found]
    above = [interval.high - interval.value for interval in found]
    axes.errorbar(
        [x for x, _ in points],
        [interval.value for interval in found],
        yerr=[[max(d, 0) for d in below], [max(d, 0) for d in above]],
        color=f"C{number % _COLORS}",
        linestyle="-" if number < _COLORS else ":",
        marker="o",
        ms=3,
        lw=1.4,
        capsize=2,
        label=estimator,
    )
