"""Summarise finished runs of `bnnkit train`: accuracy, epochs and seconds per epoch.

python benchmarks/training.py RUN [RUN ...] [--device NAME] [--out FILE]

Each RUN is the folder of a finished run. The summary is added to results/training.json, where a
run of the same name is replaced. It holds the configuration, so that
`bnnkit train CONFIG.yaml KEY=VALUE ...` repeats the run.
"""

import argparse
import json
from pathlib import Path
from statistics import median
from typing import Any

import yaml

RESULTS = Path(__file__).parent / "results" / "training.json"
LEFT_OUT = {"data", "eval_every", "save_every", "store_logits", "devices", "num_nodes", "device"}
"""Keys of a configuration that do not change what is trained."""


def summary(run: Path, device: str) -> dict[str, Any]:
    """What one run reached, and by which configuration."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    *epochs, final = [json.loads(line) for line in lines]
    if not final.get("final"):
        raise SystemExit(f"{run} is not finished: its last record has no final: true")
    config = yaml.safe_load((run / "config.yaml").read_text())
    if distillation := config.get("distillation"):
        distillation["teachers"] = [Path(teacher).name for teacher in distillation["teachers"]]
    return {
        "name": run.name,
        "device": device,
        "data": config["data"]["name"],
        "epochs": config["epochs"],
        "seed": config["seed"],
        "test_accuracy": final["test_accuracy"],
        "test_loss": final["test_loss"],
        "train_accuracy": epochs[-1]["train_accuracy"],
        "seconds_per_epoch": median(epoch["seconds"] for epoch in epochs),
        "config": {key: value for key, value in config.items() if key not in LEFT_OUT},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--device", default="", help="what the runs were trained on")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    stored = json.loads(arguments.out.read_text()) if arguments.out.is_file() else []
    by_name = {run["name"]: run for run in stored}
    by_name |= {run.name: summary(run, arguments.device) for run in arguments.runs}
    arguments.out.write_text(
        json.dumps(sorted(by_name.values(), key=lambda r: r["name"]), indent=1) + "\n"
    )


if __name__ == "__main__":
    main()
