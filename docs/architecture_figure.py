"""Draw docs/architecture.svg: the way of the data, and who owns which part.

python docs/architecture_figure.py [FILE]
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch

INK, PAPER = "#22303c", "#ffffff"
COLOURS = {"train": "#dbe9f6", "export": "#fbe6cf", "runtime": "#d8efdc", "file": "#f3f3f3"}
BOXES = {
    # name: (x, y, width, height, colour, title, lines)
    "nn": (
        0.2,
        3.6,
        2.6,
        1.1,
        "train",
        "bnnkit.nn, bnnkit.models",
        "noises, Sign, latent weights\nAlgorithms 1 and 2",
    ),
    "training": (
        0.2,
        2.0,
        2.6,
        1.1,
        "train",
        "bnnkit.training, bnnkit.data",
        "config, loop, resume, metrics\ncheckpoint.safetensors",
    ),
    "export": (
        3.7,
        2.8,
        2.6,
        1.1,
        "export",
        "bnnkit.export",
        "marks; passes: fold,\nthreshold, pack; report",
    ),
    "onnx": (
        7.0,
        2.8,
        2.2,
        1.1,
        "file",
        "MODEL.onnx",
        "the artifact, format 1\n(docs/artifact.md)",
    ),
    "runtime": (
        10.1,
        4.1,
        2.8,
        1.1,
        "runtime",
        "bnnkit.runtime",
        "lowering, plan, popcount kernels\nno torch",
    ),
    "ort": (10.1, 2.8, 2.8, 0.9, "file", "stock ONNX Runtime", "bodies in standard operators"),
    "reference": (
        10.1,
        1.2,
        2.8,
        1.1,
        "runtime",
        "bnnkit.artifact.reference",
        "slow and plain:\nsays what is right",
    ),
    "verify": (
        4.6,
        0.5,
        4.2,
        0.9,
        "train",
        "bnnkit verify",
        "torch, ONNX Runtime, runtime against the reference",
    ),
}
ARROWS = [
    ("nn", "export", "torch.onnx.export"),
    ("training", "export", ""),
    ("export", "onnx", ""),
    ("onnx", "runtime", ""),
    ("onnx", "ort", ""),
    ("onnx", "reference", ""),
]


def draw_box(axes: Axes, name: str) -> None:
    x, y, width, height, colour, title, lines = BOXES[name]
    style = "round,pad=0.02,rounding_size=0.12"
    axes.add_patch(
        FancyBboxPatch(
            (x, y), width, height, style, facecolor=COLOURS[colour], edgecolor=INK, lw=1
        )
    )
    centre = x + width / 2
    axes.text(
        centre,
        y + height - 0.24,
        title,
        ha="center",
        va="center",
        weight="bold",
        size=9,
        color=INK,
    )
    axes.text(centre, y + (height - 0.34) / 2, lines, ha="center", va="center", size=8, color=INK)


def draw_arrow(axes: Axes, start: str, end: str, label: str) -> None:
    x, y, width, height = BOXES[start][:4]
    to_x, to_y, _, to_height = BOXES[end][:4]
    tail, head = (x + width + 0.04, y + height / 2), (to_x - 0.05, to_y + to_height / 2)
    axes.annotate("", head, tail, arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1.2})
    if label:
        middle = ((tail[0] + head[0]) / 2 + 0.5, (tail[1] + head[1]) / 2 + 0.4)
        axes.text(*middle, label, ha="center", size=7.5, style="italic", color=INK)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("architecture.svg")
    plt.rcParams["svg.hashsalt"] = "bnnkit"  # the same picture is the same file
    figure, axes = plt.subplots(figsize=(14, 5.6), facecolor=PAPER)
    for name in BOXES:
        draw_box(axes, name)
    for arrow in ARROWS:
        draw_arrow(axes, *arrow)
    for owner in ("training", "reference"):  # what verify compares
        x, y, width, height = BOXES[owner][:4]
        side = BOXES["verify"][0] if x < 5 else BOXES["verify"][0] + BOXES["verify"][2]
        tail = (x + width, y + 0.2) if x < 5 else (x, y + height / 2)
        axes.annotate(
            "",
            (side, 0.95),
            tail,
            arrowprops={"arrowstyle": "-|>", "color": INK, "lw": 1, "linestyle": "dashed"},
        )
    axes.set(xlim=(0, 13.1), ylim=(0.3, 5.4))
    axes.axis("off")
    figure.savefig(
        path, bbox_inches="tight", metadata={"Date": None} if path.suffix == ".svg" else {}
    )


if __name__ == "__main__":
    main()
