"""Table 1 of Shekhovtsov & Yanush (GCPR 2021) in small: three noises, one pass and ten samples.

python examples/paper_table.py                                 # digits, small: minutes on a CPU
python examples/paper_table.py --config examples/configs/cifar10-vgg.yaml data.dir=DIR   # a GPU

Activations are trained by the straight-through estimator of their noise, weights by mirror
descent in their probabilities. The same command continues a run that was stopped.
"""

import argparse
from pathlib import Path
from statistics import fmean, stdev

from rich.console import Console

from bnnkit.training import load_config, train

NOISES = ("logistic", "uniform", "triangular")
PAPER = {"logistic": "89.6 / 90.6", "uniform": "89.7 / 90.5", "triangular": "89.5 / 90.0"}
"""Test accuracy on CIFAR-10 in the paper: one pass without noise / ten samples."""
SMALL = Path(__file__).parent / "configs" / "digits-convnet.yaml"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="such as epochs=10")
    parser.add_argument("--config", type=Path, default=SMALL)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/paper-table"))
    options = parser.parse_args()
    rows = []
    for noise in NOISES:
        keys = [f"model.noise={noise}", "model.weight_noise=logistic", *options.overrides]
        results = []
        for seed in range(options.seeds):
            config = load_config(options.config, [*keys, f"seed={seed}"])
            results.append(
                train(config, options.out / f"{noise}-{seed}", console=Console(quiet=True))
            )
        one, ten = [r.accuracy for r in results], [r.accuracy_samples or 0 for r in results]
        rows.append(f"{noise:12} {spread(one)}   {spread(ten)}   {PAPER[noise]}")
        print(rows[-1], flush=True)
    print(f"\n{'noise':12} one pass, %    ten samples, %  the paper, CIFAR-10", *rows, sep="\n")


def spread(accuracies: list[float]) -> str:
    """Mean and standard deviation, in percent."""
    deviation = stdev(accuracies) if len(accuracies) > 1 else 0.0
    return f"{100 * fmean(accuracies):5.1f} ± {100 * deviation:4.1f}"


if __name__ == "__main__":
    main()
