"""The figure and the table of accuracy against latency of the zoo, from stored results."""

from pathlib import Path
from typing import Any

from bnnkit.plots import new_figure, save

FLOAT32 = "onnxruntime-fp32"
COLOURS = ("#2563eb", "#e8590c", "#16a34a", "#9333ea", "#0891b2", "#b45309", "#be185d", "#475569")
TITLES = {"cifar10": "CIFAR-10", "mnist": "MNIST"}


def draw(results: dict[str, Any], path: Path) -> None:
    """Draw a panel for each data set: accuracy over milliseconds, which are logarithmic."""
    networks = results["networks"]
    sets = sorted({network["data"] for network in networks.values()})
    figure = new_figure(6.4 * len(sets), 5, drawing="accuracy against latency")
    panels = figure.subplots(1, len(sets), squeeze=False)[0]
    for panel, name in zip(panels, sets, strict=True):
        mine = {n: one for n, one in networks.items() if one["data"] == name}
        for colour, (network, about) in zip(COLOURS, mine.items(), strict=False):
            _draw_network(panel, network, about, colour)
        panel.set(xscale="log", xlabel="milliseconds of one thread for one image, median")
        panel.set(ylabel="test accuracy, %", title=TITLES.get(name, name))
        panel.grid(color="#e5e8eb", lw=0.8, which="both")
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(fontsize=8, frameon=False, loc="best")
    save(figure, path)


def _draw_network(panel: Any, name: str, about: dict[str, Any], colour: str) -> None:
    """Draw the float32 twin hollow, bnnkit's points filled, samples joined by a line."""
    points = {
        engine: (times["cpu"] / 1e3, 100 * about["accuracy"][engine])
        for engine, times in about["latency_us"].items()
        if engine in about["accuracy"]
    }
    twin = points.pop(FLOAT32)
    panel.plot(*twin, "s", ms=9, mfc="white", mec=colour, mew=1.6, label=None if points else name)
    if not points:
        return
    x, y = points["bnnkit"]
    panel.plot([x, twin[0]], [y, twin[1]], ":", color=colour, lw=1)
    panel.plot(x, y, "o", ms=8, color=colour, label=name)
    samples = [point for engine, point in points.items() if engine != "bnnkit"]
    panel.plot([p[0] for p in samples], [p[1] for p in samples], "-D", ms=5, color=colour, lw=1.4)
    for engine, point in points.items():
        if engine != "bnnkit":
            count = engine.removeprefix("bnnkit, ")
            panel.annotate(
                count, point, xytext=(0, 7), textcoords="offset points", fontsize=8, ha="center"
            )


def markdown(results: dict[str, Any]) -> str:
    """Return a line about the machine, and the table of medians and ratios."""
    lines = [
        "| Network | What runs | CPU time, ms | 10th to 90th percentile | Wall time, ms |"
        " Float32 pass / this | 10th to 90th percentile |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, about in results["networks"].items():
        for engine, times in about["latency_us"].items():
            found = about.get("float32_over", {}).get(engine)
            cells = (
                name,
                _words(engine),
                f"{times['cpu'] / 1e3:.3f}",
                f"{times['cpu_p10'] / 1e3:.3f} to {times['cpu_p90'] / 1e3:.3f}",
                f"{times['wall'] / 1e3:.3f}",
                "" if found is None else f"{found['cpu']:.2f}",
                "" if found is None else f"{found['cpu_p10']:.2f} to {found['cpu_p90']:.2f}",
            )
            lines.append(f"| {' | '.join(cells)} |")
    context = results["context"]
    machine = (
        f"{context['cpu_model']}, {context['num_cpus']} CPUs, {context['date'][:10]}; load average"
        f" {context['load_avg'][0]:.1f} before and {context['load_avg_after'][0]:.1f} after;"
        f" onnxruntime {context['versions']['onnxruntime']}."
    )
    return "\n".join([machine, "", *lines])


def _words(engine: str) -> str:
    if engine == FLOAT32:
        return "ONNX Runtime, float32"
    samples = engine.removeprefix("bnnkit").removeprefix(", ")
    return "bnnkit, one pass" if not samples else f"bnnkit, samples: {samples}"
