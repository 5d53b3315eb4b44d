"""Fit the temperatures of the zoo: `python benchmarks/temperature.py --data-dir DIR`.

The networks were trained on all training images, so the only images that they have not seen are
those of the test. T is fitted on the first half of the test images, and the calibration error that
counts is that of the second half, which no choice has seen. T changes no class of one pass.
Adds the files to results/temperature.json. The file's logits are multiplied by the temperature
that it already has, so the result does not depend on it.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnnkit import data
from bnnkit.deployment.temperature import KEY, fit_temperature, held_out_logits
from bnnkit.evaluation import metrics
from bnnkit.runtime.open_file import read
from bnnkit.zoo import located, zoo

RESULTS = Path(__file__).parent / "results" / "temperature.json"
SEED = 0


def measure(name: str, images: NDArray[Any], labels: NDArray[Any]) -> dict[str, Any]:
    """Return the temperature of a file, and its calibration errors before and after."""
    artifact = read(located(f"zoo:{name}"))
    logits = held_out_logits(artifact, images, SEED) * float(artifact.metadata.get(KEY, 1))
    half = len(images) // 2
    temperature = round(fit_temperature(logits[:, :half], labels[:half]), 2)
    parts = {"first_half": slice(0, half), "second_half": slice(half, None), "all": slice(None)}
    return {
        "name": name,
        "samples": len(logits) if artifact.is_stochastic else 0,
        "images": len(images),
        KEY: temperature,
        "of_second_half": round(fit_temperature(logits[:, half:], labels[half:]), 2),
        "ece_before": {key: _ece(logits[:, part], labels[part], 1) for key, part in parts.items()},
        "ece": {
            key: _ece(logits[:, part], labels[part], temperature) for key, part in parts.items()
        },
    }


def _ece(logits: NDArray[Any], labels: NDArray[Any], temperature: float) -> float:
    scaled = logits.astype(np.float64) / temperature
    p = np.exp(scaled - scaled.max(2, keepdims=True))
    return round(metrics.ece((p / p.sum(2, keepdims=True)).mean(0), labels), 5)


def main() -> None:
    """Measure all files that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="files to measure; the others keep their values")
    parser.add_argument("--data-dir", type=Path, required=True, help="has a folder of each set")
    arguments = parser.parse_args()
    stored = json.loads(RESULTS.read_text()) if RESULTS.is_file() else []
    by_name = {entry["name"]: entry for entry in stored}
    for model in zoo():
        name = model.name
        if arguments.names and name not in arguments.names:
            continue
        dataset = data.load(model.data, arguments.data_dir / model.data)
        by_name[name] = measure(name, dataset.x_test, dataset.y_test)
        print(by_name[name], flush=True)
        RESULTS.write_text(json.dumps([by_name[n] for n in sorted(by_name)], indent=1) + "\n")


if __name__ == "__main__":
    main()
