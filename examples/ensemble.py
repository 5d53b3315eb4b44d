"""Calibrate and size an ensemble: scale of the noise, temperature, number of samples, early stop.

python examples/ensemble.py [-o FOLDER] [--epochs N]

Trains a network without noise on scikit-learn's digits, exports it twice, with noise of scale 1
and with a scale and a temperature that held-out images choose, and measures both on the test
images for each number of samples.
Draws accuracy, nll and ece over the number of samples in FOLDER/ensemble.png.
"""

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

CONFIG = Path(__file__).parent / "configs" / "digits-convnet.yaml"
COUNTS = "0,1,2,4,8,16,32,auto"
EXPORTS: dict[str, list[str]] = {
    "scale 1": ["--noise-scale", "1"],
    "chosen": ["--noise-scale", "auto", "--choose-by", "nll", "--temperature", "auto"],
}
METRICS = {"accuracy": "accuracy", "nll": "nll, nats", "ece": "calibration error (ece)"}
Row = dict[str, Any]


def bnnkit(*words: object) -> str:
    """Run a command of bnnkit and return what it prints."""
    command = ["bnnkit", *map(str, words)]
    print("$", *command)
    run = subprocess.run(
        [sys.executable, "-m", *command], check=True, stdout=subprocess.PIPE, text=True
    )
    return run.stdout


def fewest_samples(rows: list[Row], tolerance: float) -> int:
    """The smallest number of samples whose nll is near that of the largest number."""
    fixed = [row for row in rows if row["samples"] != "auto"]
    limit = fixed[-1]["nll"] * (1 + tolerance)
    return next(int(row["samples"]) for row in fixed if row["nll"] <= limit)


def print_rows(name: str, rows: list[Row]) -> None:
    print(f"\n{name}\n  samples  on average  accuracy    nll    ece")
    for row in rows:
        print(
            f"  {row['samples']!s:>7}  {row['mean_samples']:>10.2f}  {row['accuracy']:>8.4f}"
            f"  {row['nll']:.3f}  {row['ece']:.3f}"
        )


def draw(curves: dict[str, list[Row]], path: Path) -> None:
    figure, places = plt.subplots(1, 3, figsize=(10, 3), layout="constrained")
    for axes, (metric, label) in zip(places, METRICS.items(), strict=True):
        for name, rows in curves.items():
            fixed = [row for row in rows if row["samples"] != "auto"]
            (line,) = axes.plot(
                range(len(fixed)), [row[metric] for row in fixed], "o-", label=name, markersize=3
            )
            (auto,) = (row for row in rows if row["samples"] == "auto")
            axes.axhline(auto[metric], color=line.get_color(), linestyle=":", linewidth=1)
        axes.set_xticks(range(len(fixed)), [str(row["samples"]) for row in fixed])
        axes.set(xlabel="samples (dotted: auto)", ylabel=label)
    places[0].legend()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description="Size an ensemble on scikit-learn's digits.")
    parser.add_argument("-o", "--out", type=Path, default=Path("ensemble"))
    parser.add_argument("--epochs", type=int, default=40)
    chosen = parser.parse_args()
    out: Path = chosen.out
    out.mkdir(parents=True, exist_ok=True)

    # Held-out images choose the scale and the temperature; test images choose nothing.
    settings = ["validation=0.3", f"epochs={chosen.epochs}", "model.estimator=deterministic-st"]
    bnnkit("train", CONFIG, *settings, "seed=0", "--out", out / "run")
    curves: dict[str, list[Row]] = {}
    for name, options in EXPORTS.items():
        file = out / f"{name.replace(' ', '-')}.onnx"
        report = bnnkit("export", out / "run", "-o", file, "--calibrate", "digits", *options)
        print(*re.findall(r"^ +[\d.]+ +[\d.]+%.*|^logits .*$", report, re.M), sep="\n")
        found = bnnkit("eval", file, "--data", "digits", "--samples", COUNTS, "--json")
        curves[name] = json.loads(found)
    for name, rows in curves.items():
        print_rows(name, rows)
    draw(curves, out / "ensemble.png")
    print(f"\nsamples within 2 % of the nll of 32: {fewest_samples(curves['chosen'], 0.02)}")
    print(f"wrote {out / 'ensemble.png'}")


if __name__ == "__main__":
    main()
