"""curves.png: loss and accuracy over the epochs."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from bnnkit.plots import new_figure, save
from bnnkit.training.history import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRAIN, _VALIDATION, _SAMPLES = "#8c97a8", "#2563eb", "#e8590c"
_INK, _GRID = "#1f2933", "#e4e7eb"
_MOST_DOTS = 12


def draw_curves(
    records: Sequence[Record],
    path: Path,
    title: str,
    *,
    training: str = "training",
    samples: int = 0,
) -> None:
    """Draw a run, loss and accuracy or mean absolute error, as a PNG of 1500 x 660 pixels.

    Args:
        records: The records of `History`.
        path: The picture.
        title: The title of the picture.
        training: The legend of the curves of the training data.
        samples: Samples in the evaluated ensemble; 0 without an ensemble.

    Raises:
        MissingExtraError: matplotlib is not installed.
        FileError: The picture cannot be written.
    """
    figure = new_figure(10, 4.4, drawing="curves.png")
    figure.suptitle(title, x=0.01, ha="left", color=_INK, fontsize=13, fontweight="bold")
    loss, metric = figure.subplots(1, 2)
    curves = [
        _Curve("train_{}", _TRAIN, training),
        _Curve("{}_{}", _VALIDATION, "validation, deterministic"),
    ]
    if samples:
        curves.append(_Curve("{}_{}_samples", _SAMPLES, f"validation, {samples} samples"))
    _draw(loss, records, "loss", 1, curves)
    has_values = any("train_mae" in record for record in records)
    _draw(metric, records, "mae" if has_values else "accuracy", 1 if has_values else 100, curves)
    titles = ("loss", "mean absolute error") if has_values else ("loss (nats)", "accuracy (%)")
    for axes, words in zip((loss, metric), titles, strict=True):
        axes.set_title(words, loc="left", color=_INK, fontsize=11)
    handles, labels = metric.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=len(labels),
        frameon=False,
        labelcolor=_INK,
    )
    save(figure, path)


class _Curve(NamedTuple):
    """A line for training or validation, and a diamond for the finished network on the test data.

    `key` has placeholders for the part of the data and for the quantity.
    """

    key: str
    color: str
    label: str


def _draw(
    axes: "Axes", records: Sequence[Record], name: str, scale: float, curves: Sequence[_Curve]
) -> None:
    shown = []
    for curve in curves:
        key = curve.key.replace("train_{}", f"train_{name}")
        x, y = _points(records, key.format("validation", name), scale, final=False)
        marker = "o" if len(x) <= _MOST_DOTS else ""
        axes.plot(x, y, color=curve.color, lw=1.8, marker=marker, ms=4, label=curve.label)
        x, final = _points(records, key.format("test", name), scale, final=True)
        axes.plot(x, final, "D", color=curve.color, ms=8, mec="white", zorder=5)
        shown += y + final
    axes.plot([], [], "D", color=_INK, ms=8, mec="white", label="finished network, test")
    _frame(axes, shown, records[-1]["epoch"])


def _frame(axes: "Axes", shown: Sequence[float], epochs: int) -> None:
    margin = 0.06 * (max(shown) - min(shown)) or 1
    axes.set_ylim(min(shown) - margin, max(shown) + margin)
    axes.set_xlim(0, 1.02 * epochs + 0.5)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("epoch", color=_INK)
    axes.tick_params(colors=_INK, length=0)
    axes.grid(color=_GRID, lw=0.8)
    axes.set_axisbelow(True)
    axes.spines[:].set_visible(False)


def _points(
    records: Sequence[Record], key: str, scale: float, *, final: bool
) -> tuple[list[int], list[float]]:
    shown = [r for r in records if key in r and r.get("final", False) == final]
    chosen = [r for r in shown if isfinite(r[key])]
    return [r["epoch"] for r in chosen], [scale * r[key] for r in chosen]
