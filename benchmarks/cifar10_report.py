"""Write the tables and the figure of docs/results/cifar10.md from the stored runs.

    python benchmarks/cifar10_report.py

Reads results/training.json, which `benchmarks/training.py` fills, and results/noise-scales.json.
A new run appears in the tables as soon as it is stored. Runs are grouped by their name without
-sSEED; what the batch norms of an earlier version cost is told apart by the revision EARLIER.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from markdown_block import write_block

from bnnkit.plots import new_figure, save

HERE = Path(__file__).parent
TRAINING = HERE / "results" / "training.json"
SCALES = HERE / "results" / "noise-scales.json"
PAGE = HERE.parent / "docs" / "results" / "cifar10.md"
CURVES = PAGE.with_name("cifar10-curves.png")
EARLIER = "before 2127f9d"
Run = dict[str, Any]

GROUPS = {  # name of the runs: (network, what is binary, recipe, best published, its source)
    "vgg": (
        "VGG", "weights and activations", "cifar10-vgg-distilled.yaml", 92.55,
        "VGG-Small, [ReSTE](https://github.com/DravenALG/ReSTE)",
    ),
    "vgg-small": (
        "VGG-Small", "weights and activations", "cifar10-vgg-small-distilled.yaml", 92.55,
        "[ReSTE](https://github.com/DravenALG/ReSTE)",
    ),
    "resnet18": (
        "ResNet-18", "weights and activations", "cifar10-resnet18-distilled.yaml", 93.75,
        "[BiPer](https://github.com/edmav4/BiPer)",
    ),
    "resnet18-weights": (
        "ResNet-18", "weights", "cifar10-resnet18-weights.yaml", 95.05,
        "40 samples, [VISPA](https://github.com/snownus/bnn_vi)",
    ),
    "vgg16-weights": (
        "VGG16", "weights", "cifar10-vgg16-weights.yaml", 93.25,
        "40 samples, [VISPA](https://github.com/snownus/bnn_vi)",
    ),
    "adaste-vgg16": (
        "VGG16, AdaSTE", "weights", "cifar10-adaste-vgg16.yaml", 92.4, "AdaSTE, 700 epochs",
    ),
    "adaste-resnet18": (
        "ResNet-18, AdaSTE", "weights", "cifar10-adaste-resnet18.yaml", 94.1,
        "AdaSTE, 700 epochs",
    ),
    "paper-logistic": (
        "VGG, the paper's method, logistic", "weights and activations", "cifar10-vgg.yaml", 89.6,
        "the paper, 10 samples 90.6",
    ),
    "paper-uniform": (
        "VGG, the paper's method, uniform", "weights and activations", "cifar10-vgg.yaml", 89.7,
        "the paper, 10 samples 90.5",
    ),
    "paper-triangular": (
        "VGG, the paper's method, triangular", "weights and activations", "cifar10-vgg.yaml",
        89.5, "the paper, 10 samples 90.0",
    ),
    "teacher": ("ResNet-18", "nothing", "cifar10-teacher.yaml", None, ""),
}  # fmt: skip
COLOURS = {
    "vgg": "#2563eb", "vgg-small": "#0891b2", "resnet18": "#e8590c",
    "resnet18-weights": "#16a34a", "vgg16-weights": "#9333ea", "paper-logistic": "#64748b",
}  # fmt: skip


def group(run: Run) -> str:
    """Return the name of a run without its seed."""
    return re.sub(r"(-s\d+|\d+)$", "", run["name"])


def summary_table(runs: list[Run]) -> Iterable[str]:
    """Yield a row for each network: its epochs, seeds and accuracies, and the best published."""
    yield (
        "| network | binary | recipe | epochs | runs | one pass, % | mean ± std | ten samples, % |"
        " best published, % |"
    )
    yield "| --- | --- | --- | --- | ---: | --- | --- | --- | --- |"
    for name, (network, binary, recipe, best, source) in GROUPS.items():
        mine = [run for run in runs if group(run) == name and run["revision"] != EARLIER]
        if not mine:
            continue
        accuracies = [100 * run["test_accuracy"] for run in mine]
        sampled = [run["test_accuracy_samples"] for run in mine if run["test_accuracy_samples"]]
        cells = (
            network,
            binary,
            f"[{recipe}](../../examples/configs/{recipe})",
            ", ".join(str(n) for n in sorted({run["epochs"] for run in mine})),
            str(len(mine)),
            ", ".join(f"{a:.2f}" for a in accuracies),
            f"{fmean(accuracies):.2f} ± {stdev(accuracies):.2f}" if len(mine) > 1 else "",
            ", ".join(f"{100 * a:.2f}" for a in sampled),
            "" if best is None else f"{best} ({source})",
        )
        yield f"| {' | '.join(cells)} |"


def run_table(runs: list[Run]) -> Iterable[str]:
    """Yield a row for each run."""
    yield (
        "| run | epochs | batch | seed | teachers | training, % | test, % | seconds per epoch |"
        " revision |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | --- |"
    for run in sorted(runs, key=lambda run: (run["revision"] == EARLIER, run["name"])):
        teachers = (run["config"].get("distillation") or {}).get("teachers", [])
        cells = (
            run["name"],
            str(run["epochs"]),
            str(run["config"]["batch_size"]),
            str(run["seed"]),
            str(len(teachers) or ""),
            f"{100 * run['train_accuracy']:.2f}",
            f"{100 * run['test_accuracy']:.2f}",
            f"{run['seconds_per_epoch']:.2f}",
            run["revision"],
        )
        yield f"| {' | '.join(cells)} |"


def scale_table(scales: list[Run]) -> Iterable[str]:
    """Yield a row for each network and scale of the noise."""
    yield "| run | epochs | scale | one pass, % | one sample, % | ten samples, % |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for one in scales:
        accuracies = (one["one_pass"], one["samples_1"], one["samples_10"])
        cells = (
            one["name"] + (" (earlier version)" if one["revision"] == EARLIER else ""),
            str(one["epochs"]),
            str(one["scale"]),
            *(f"{100 * a:.2f}" for a in accuracies),
        )
        yield f"| {' | '.join(cells)} |"


def count(runs: list[Run]) -> Iterable[str]:
    """Yield a sentence about the number of runs and their time."""
    new = [run for run in runs if run["revision"] != EARLIER]
    hours = sum(run["epochs"] * run["seconds_per_epoch"] for run in runs) / 3600
    yield (
        f"{len(runs)} runs, {hours:.1f} hours of training on one H100 or H200:"
        f" {len(new)} of the version that is described here, and {len(runs) - len(new)} of an"
        " earlier one, whose batch norms were re-estimated on unchanged images."
    )


def draw_curves(runs: list[Run], path: Path) -> None:
    """Draw the error on the training images and the flip rate, a first longest run of each."""
    figure = new_figure(11, 4.2, drawing="the curves")
    error, flips = figure.subplots(1, 2)
    for name, colour in COLOURS.items():
        mine = [run for run in runs if group(run) == name and run["revision"] != EARLIER]
        if not mine:
            continue
        shown = min(mine, key=lambda run: (-run["epochs"], run["seed"]))
        label = f"{shown['name']}: test {100 * shown['test_accuracy']:.2f} %"
        for axes, metric in ((error, "train_accuracy"), (flips, "flip_rate")):
            points = shown["curves"].get(metric, [])
            x = [epoch / shown["epochs"] for epoch, _ in points]
            y = [100 * ((1 - v) if metric == "train_accuracy" else v) for _, v in points]
            axes.plot(x, y, color=colour, lw=1.6, label=label)
    error.set(ylabel="error on the training images, %", yscale="log", ylim=(0.01, 100))
    flips.set(ylabel="signs that an epoch flips, %", yscale="log")
    for axes in (error, flips):
        axes.set_xlabel("share of the epochs")
        axes.grid(color="#e5e8eb", lw=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    error.legend(fontsize=8, frameon=False)
    save(figure, path)


def blocks(runs: list[Run], scales: list[Run]) -> dict[str, str]:
    """Return the text of each block of the page."""
    return {
        "count": "\n".join(count(runs)),
        "summary": "\n".join(summary_table(runs)),
        "scales": "\n".join(scale_table(scales)),
        "runs": "\n".join(run_table(runs)),
    }


def stored() -> tuple[list[Run], list[Run]]:
    """Return the stored runs on CIFAR-10, and the accuracies under several noise scales."""
    runs = [run for run in json.loads(TRAINING.read_text()) if run["data"] == "cifar10"]
    return runs, json.loads(SCALES.read_text())


def main() -> None:
    """Write the tables and the figure."""
    runs, scales = stored()
    for name, text in blocks(runs, scales).items():
        write_block(PAGE, name, text)
    draw_curves(runs, CURVES)


if __name__ == "__main__":
    main()
