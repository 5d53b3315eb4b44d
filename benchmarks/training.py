"""Store finished runs of `bnnkit train`: accuracy, curves, epochs and seconds per epoch.

python benchmarks/training.py RUN [RUN ...] [--device NAME] [--revision TEXT] [--out FILE]

Each RUN is the folder of a finished run, with metrics.jsonl and config.yaml, or a path PREFIX with
PREFIX.metrics.jsonl and PREFIX.config.yaml. The runs are added to results/training.json, where a
run of the same name, seed, epochs and revision is replaced. An entry holds the configuration, so
that `bnnkit train CONFIG.yaml KEY=VALUE ...` repeats the run, and curves of at most 40 points.
`benchmarks/cifar10_report.py` makes docs/results/cifar10.md of them.
"""

import argparse
import json
from pathlib import Path
from statistics import fmean, median
from typing import Any

import yaml

RESULTS = Path(__file__).parent / "results" / "training.json"
LEFT_OUT = {
    "data", "eval_every", "eval_samples_every", "save_every", "store_logits", "log",
    "devices", "num_nodes", "device", "cuda_graph",
}  # fmt: skip
"""Keys of a configuration that do not change what is trained."""
POINTS = 40
"""The largest number of points of a stored curve."""
CURVES = ("train_loss", "train_accuracy", "validation_accuracy")


def summary(run: Path, device: str, revision: str) -> dict[str, Any]:
    """Return what one run reached, and by which configuration."""
    *epochs, final = [json.loads(line) for line in _file(run, "metrics.jsonl").splitlines()]
    if not final.get("final"):
        raise SystemExit(f"{run} is not finished: its last record has no final: true")
    config = yaml.safe_load(_file(run, "config.yaml"))
    if distillation := config.get("distillation"):
        distillation["teachers"] = [Path(teacher).name for teacher in distillation["teachers"]]
    return {
        "name": run.name,
        "device": device,
        "revision": revision,
        "data": config["data"]["name"],
        "epochs": config["epochs"],
        "seed": config["seed"],
        "test_accuracy": final["test_accuracy"],
        "test_loss": final["test_loss"],
        "test_accuracy_samples": final.get("test_accuracy_samples"),
        "train_accuracy": epochs[-1]["train_accuracy"],
        "seconds_per_epoch": median(epoch["seconds"] for epoch in epochs),
        "config": {key: value for key, value in config.items() if key not in LEFT_OUT},
        "curves": curves(epochs),
    }


def curves(epochs: list[dict[str, Any]]) -> dict[str, list[list[float]]]:
    """Return [epoch, value] of each metric; the flip rate is the mean over the layers."""
    found = {
        metric: [[e["epoch"], round(e[metric], 4)] for e in epochs if metric in e]
        for metric in CURVES
    }
    found["flip_rate"] = [
        [e["epoch"], round(fmean(e["flip_rates"].values()), 6)]
        for e in epochs
        if e.get("flip_rates")
    ]
    return {metric: thinned(points) for metric, points in found.items() if points}


def thinned(points: list[list[float]]) -> list[list[float]]:
    """Return at most `POINTS` points at nearly equal distances, the first and the last kept."""
    if len(points) <= POINTS:
        return points
    return [points[round(i * (len(points) - 1) / (POINTS - 1))] for i in range(POINTS)]


def _file(run: Path, name: str) -> str:
    return (run / name if run.is_dir() else run.with_name(f"{run.name}.{name}")).read_text()


def _key(run: dict[str, Any]) -> tuple[str, int, int, str]:
    return run["name"], run["seed"], run["epochs"], run.get("revision", "")


def main() -> None:
    """Add the runs to the stored ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--device", default="", help="what the runs were trained on")
    parser.add_argument("--revision", default="", help="the code's revision")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    stored = json.loads(arguments.out.read_text()) if arguments.out.is_file() else []
    by_key = {_key(run): run for run in stored}
    for run in arguments.runs:
        found = summary(run, arguments.device, arguments.revision)
        by_key[_key(found)] = found
    entries = [json.dumps(by_key[key]) for key in sorted(by_key)]  # a line each
    arguments.out.write_text("[\n" + ",\n".join(entries) + "\n]\n")


if __name__ == "__main__":
    main()
