"""The figure of latencies in README.md."""

from pathlib import Path
from typing import Any

import matplotlib
from table import TITLES

matplotlib.use("Agg")


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw bars of median milliseconds with the ratio to bnnkit, one panel per network."""
    from matplotlib import pyplot

    medians: dict[str, dict[str, float]] = {}
    for entry in results["benchmarks"]:
        if entry["aggregate_name"] == "median":
            network, engine, *_ = entry["run_name"].split("/")
            medians.setdefault(network, {})[engine] = entry["real_time"] / 1e3
    size = 1.2 + 0.32 * max(map(len, medians.values()))
    figure, panels = pyplot.subplots(1, len(medians), figsize=(5.5 * len(medians), size))
    for panel, (network, times) in zip(panels, medians.items(), strict=True):
        _panel(panel, times)
        panel.set_title(TITLES[network])
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def _panel(panel: Any, times: dict[str, float]) -> None:
    ordered = dict(sorted(times.items(), key=lambda pair: pair[1], reverse=True))
    colours = ["#1f77b4" if engine == "bnnkit" else "#b8c4ce" for engine in ordered]
    bars = panel.barh(list(ordered), list(ordered.values()), color=colours)
    labels = [f"{ms:.2f} ms   x {ms / times['bnnkit']:.1f}" for ms in ordered.values()]
    panel.bar_label(bars, labels, padding=4, fontsize=8)
    panel.set_xlim(0, max(times.values()) * 1.4)
    panel.set_xlabel("milliseconds for one image on one thread, median")
    panel.spines[["top", "right"]].set_visible(False)
