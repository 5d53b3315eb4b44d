"""The figure of the autoencoders: a column for each number of bits."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiment import Record

from bnnkit.plots import new_figure, save

if TYPE_CHECKING:
    from matplotlib.axes import Axes

METRICS = {
    "cosine": "expected cosine similarity",
    "improvement": "expected improvement",
    "rmse": "RMSE",
}


def draw(result: Record, path: Path) -> None:
    """Draw losses of the first seed, and the metrics at the points of the trajectory."""
    jobs = dict(sorted(result["jobs"].items(), key=lambda item: int(item[0][5:])))
    labels = list(result["config"]["estimators"])
    figure = new_figure(4.2 * len(jobs), 14, drawing="the autoencoders")
    axes = figure.subplots(4, len(jobs), squeeze=False)
    for column, (name, record) in enumerate(jobs.items()):
        axes[0, column].set_title(f"{name[5:]} bits")
        _losses(axes[0, column], record, labels, result["config"]["epochs"])
        for row, metric in enumerate(METRICS, 1):
            _metric(axes[row, column], record, labels, metric)
    axes[0, 0].set_ylabel("training loss (nats a document)")
    for row, words in enumerate(METRICS.values(), 1):
        axes[row, 0].set_ylabel(words)
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
            ys = [losses[label][0] for losses in record["loss"]]
            axes.plot(record["epochs"], ys, label=label, lw=1.2, **_style(number))
    axes.axvline(switch, color="#8c97a8", lw=0.8)
    axes.set_xlabel("epoch")


def _metric(axes: "Axes", record: Record, labels: list[str], metric: str) -> None:
    epochs = [point["epoch"] for point in record["points"]]
    for number, label in enumerate(labels):
        found = [point["accuracies"][0].get(label) for point in record["points"]]
        if None in found:
            continue
        values = [accuracy[metric] for accuracy in found]
        bars = [
            [max(v["value"] - v["low"], 0) for v in values],
            [max(v["high"] - v["value"], 0) for v in values],
        ]
        ys = [v["value"] for v in values]
        axes.errorbar(epochs, ys, yerr=bars, label=label, lw=1.2, ms=3, **_style(number))
    if metric == "improvement":
        best = [
            next(iter(p["accuracies"][0].values()))["best_improvement"] for p in record["points"]
        ]
        axes.plot(epochs, best, "--", color="#8c97a8", label="true gradient")
    if metric == "rmse":
        axes.set_yscale("log")
    axes.set_xlabel("epoch")


def _style(number: int) -> dict[str, Any]:
    return {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else ":"}
