"""curves.png: loss and accuracy over the epochs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bnnkit.atomic import replacing
from bnnkit.errors import MissingExtraError
from bnnkit.training.history import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRAIN, _TEST, _FINAL = "#8c97a8", "#2563eb", "#e8590c"
_INK, _GRID = "#1f2933", "#e4e7eb"


def draw_curves(
    records: Sequence[Record], path: Path, title: str, *, training: str = "training"
) -> None:
    """Draw a run as a PNG of 1500 x 660 pixels.

    Args:
        records: Those of `History`.
        path: The picture.
        title: What stands above it.
        training: What the curves of the training data are called.

    Raises:
        MissingExtraError: matplotlib is not installed.
        FileError: The picture cannot be written.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        if error.name != "matplotlib":
            raise
        raise MissingExtraError("drawing curves.png", "plot") from error
    figure = Figure(figsize=(10, 4.4), layout="constrained")  # without pyplot: always Agg
    figure.suptitle(title, x=0.01, ha="left", color=_INK, fontsize=13, fontweight="bold")
    loss, accuracy = figure.subplots(1, 2)
    _draw(loss, records, "loss", 1, training)
    _draw(accuracy, records, "accuracy", 100, training)
    loss.set_title("loss (nats)", loc="left", color=_INK, fontsize=11)
    accuracy.set_title("accuracy (%)", loc="left", color=_INK, fontsize=11)
    handles, labels = accuracy.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower left",
        ncols=len(labels),
        frameon=False,
        labelcolor=_INK,
    )
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=150, format="png")


def _draw(axes: "Axes", records: Sequence[Record], name: str, scale: float, training: str) -> None:
    shown = []
    for key, color, label in (
        (f"train_{name}", _TRAIN, training),
        (f"test_{name}", _TEST, "test, deterministic"),
    ):
        x, y = _points(records, key, scale, final=False)
        axes.plot(x, y, color=color, lw=1.8, marker="o" if len(x) < 2 else "", label=label)
        shown += y
    x, y = _points(records, f"test_{name}", scale, final=True)
    axes.plot(x, y, "D", color=_FINAL, ms=8, mec="white", zorder=5, label="finished network")
    _frame(axes, [*shown, *y], records[-1]["epoch"])


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
    chosen = [r for r in records if key in r and r.get("final", False) == final]
    return [r["epoch"] for r in chosen], [scale * r[key] for r in chosen]
