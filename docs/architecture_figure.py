"""Draw docs/architecture.svg: the rooms of the package on their floors, and who imports whom.

python docs/architecture_figure.py [FILE]

The rooms and their imports are those that tests/test_packaging.py checks, so the picture follows
the code. Arrows that follow from two others are left out.
"""

import sys
from pathlib import Path
from textwrap import fill

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch, Patch

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from test_packaging import ROOMS

INK = "#22303c"
BOARD, TORCH = "#d8efdc", "#dbe9f6"
WIDTH, HEIGHT, FLOOR_HEIGHT = 2.5, 0.78, 1.25
COLUMNS = {
    # Left to right: training, export, engines and runtime.
    "cli": 4.1,
    "verification": 1.5,
    "sweeps": -1.75,
    "deployment": 0.9,
    "bench": 3.9,
    "evaluation": 6.7,
    "gradients": -1.75,
    "training": 0.0,
    "engines": 3.7,
    "models": 1.2,
    "export": 3.9,
    "runtime": 6.7,
    "nn": 2.1,
    "tflite": 5.3,
    "data": -0.7,
    "images": -0.7,
    "files": 0.9,
    "zoo": 6.7,
    "artifact": 3.7,
}
"""The left edge of each room."""


def floor_of(name: str) -> int:
    """One above the highest room that the room imports; 0 where it imports none."""
    lowest = 1 + max((floor_of(other) for other in ROOMS[name].rooms), default=-1)
    return floor_of("bench") if name == "evaluation" else lowest  # both judge a file


def reached(name: str) -> set[str]:
    """All rooms that a room imports, at once or through others."""
    return ROOMS[name].rooms.union(*(reached(other) for other in ROOMS[name].rooms))


def drawn_imports(name: str) -> set[str]:
    """The rooms that a room imports and that none of its other imports reaches."""
    rooms = ROOMS[name].rooms
    return {room for room in rooms if not any(room in reached(other) for other in rooms)}


def place(name: str) -> tuple[float, float]:
    """The lower left corner of a room."""
    return COLUMNS[name], FLOOR_HEIGHT * floor_of(name)


def draw_room(axes: Axes, name: str) -> None:
    x, y = place(name)
    needs_torch = any("torch" in ROOMS[room].packages for room in {name, *reached(name)})
    style = "round,pad=0.02,rounding_size=0.08"
    colour = TORCH if needs_torch else BOARD
    axes.add_patch(FancyBboxPatch((x, y), WIDTH, HEIGHT, style, fc=colour, ec=INK, lw=1, zorder=2))
    middle = x + WIDTH / 2
    axes.text(
        middle, y + HEIGHT - 0.16, name, ha="center", va="center", weight="bold", size=9, zorder=3
    )
    words = fill(ROOMS[name].owns, 32)
    axes.text(middle, y + (HEIGHT - 0.2) / 2, words, ha="center", va="center", size=7, zorder=3)


def draw_arrow(axes: Axes, start: str, end: str) -> None:
    (x, y), (to_x, to_y) = place(start), place(end)
    tail = (x + WIDTH * (0.5 + 0.06 * (to_x - x)), y - 0.03)
    head = (to_x + WIDTH * (0.5 - 0.06 * (to_x - x)), to_y + HEIGHT + 0.03)
    arrow = {"arrowstyle": "-|>", "color": INK, "lw": 0.9, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", head, tail, arrowprops=arrow, zorder=1)


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("architecture.svg")
    plt.rcParams["svg.hashsalt"] = "bnnkit"  # the same picture is the same file
    figure, axes = plt.subplots(figsize=(11.2, 9.5), facecolor="white")
    for name in ROOMS:
        for other in drawn_imports(name):
            draw_arrow(axes, name, other)
        draw_room(axes, name)
    legend = [
        Patch(facecolor=BOARD, edgecolor=INK, label="works without torch"),
        Patch(facecolor=TORCH, edgecolor=INK, label="a part of it needs torch"),
        Line2D([], [], color=INK, marker=">", label="imports"),
    ]
    axes.legend(handles=legend, loc="upper left", fontsize=8, frameon=False)
    axes.set(xlim=(-1.85, 9.3), ylim=(-0.1, FLOOR_HEIGHT * (floor_of("cli") + 1)))
    axes.axis("off")
    metadata = {"Date": None} if path.suffix == ".svg" else {}
    figure.savefig(path, bbox_inches="tight", metadata=metadata)


if __name__ == "__main__":
    main()
