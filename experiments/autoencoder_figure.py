"""The figure of the autoencoders: a column for each number of bits."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiment_config import Record

from bnnkit.gradients import Accuracy, draw_panels
from bnnkit.plots import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw(result: Record, path: Path) -> None:
    """Draw losses of the first seed, and the metrics at the points of the trajectory."""
    jobs = dict(sorted(result["jobs"].items(), key=lambda item: int(item[0][5:])))
    labels = list(result["config"]["estimators"])
    figure = new_figure(4.2 * len(jobs), 14, drawing="the autoencoders")
    axes = figure.subplots(4, len(jobs), squeeze=False)
    for column, (name, record) in enumerate(jobs.items()):
        _losses(axes[0, column], record, labels, result["config"]["epochs"])
        draw_panels(_series(record, labels), list(axes[1:, column]), x_label="epoch")
        axes[3, column].set_yscale("log")  # without F' the identity is 4 times as long or more
        axes[0, column].set_title(f"{name[5:]} bits: training loss", loc="left", fontsize=11)
    axes[0, 0].set_ylabel("nats a document")
    handles: dict[Any, Any] = {}
    for panel in axes.flat:
        found, words = panel.get_legend_handles_labels()
        handles |= dict(zip(words, found, strict=True))
    figure.legend(
        list(handles.values()), list(handles), loc="outside lower left", ncols=8, frameon=False
    )
    save(figure, path)


def _losses(axes: "Axes", record: Record, labels: list[str], switch: int) -> None:
    for number, label in enumerate(labels):
        if label in record["loss"][0]:
            # The loss before training would hide the differences after it.
            ys = [losses[label][0] for losses in record["loss"][1:]]
            axes.plot(record["epochs"][1:], ys, label=label, lw=1.2, color=f"C{number}")
    axes.axvline(switch, color="#8c97a8", lw=0.8)
    axes.set_xlabel("epoch")


def _series(record: Record, labels: list[str]) -> dict[str, list[tuple[float, Accuracy]]]:
    """The accuracies of the first seed that were measured, for each estimator."""
    measured = record["points"][0]["accuracies"][0]
    return {
        label: [
            (point["epoch"], Accuracy.of_record(point["accuracies"][0][label]))
            for point in record["points"]
        ]
        for label in labels
        if label in measured
    }
