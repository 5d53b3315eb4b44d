"""A network of the zoo as .tflite files for a phone, with inputs and the outputs to expect.

python examples/phone/export_assets.py [-o FOLDER]

Writes builtin.tflite, which every TFLite interpreter runs, lce.tflite for Larq Compute Engine, and
check.npz, with which check_litert.py compares an interpreter.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

import bnnkit.runtime as rt
from bnnkit.export.tflite import Variant, export_tflite

MODEL = "zoo:mnist-convnet"
VARIANTS: tuple[Variant, ...] = ("builtin", "lce")


def digits(number: int) -> NDArray[Any]:
    """Digits of scikit-learn in MNIST's form, uint8 (N, 1, 28, 28), white on black."""
    images = np.zeros((number, 1, 28, 28), np.uint8)
    for index, pixels in enumerate(load_digits().images[:number]):
        small = Image.fromarray((pixels * 255 / 16).astype(np.uint8))
        images[index, 0, 4:24, 4:24] = np.asarray(small.resize((20, 20), Image.Resampling.BICUBIC))
    return images


def main() -> None:
    parser = argparse.ArgumentParser(description="A network of the zoo as .tflite files.")
    parser.add_argument("-o", "--out", type=Path, default=Path("assets"))
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    artifact = rt.open_artifact(MODEL)
    for variant in VARIANTS:
        path = folder / f"{variant}.tflite"
        # Without noise, which would make each run a sample.
        report = export_tflite(artifact.deterministic, path, variant=variant)
        operators = ", ".join(f"{count} {name}" for name, count in report.operators.items())
        print(f"{path}: {path.stat().st_size:,} bytes; {operators}")
    images = digits(20)
    # TFLite's layout is channels last; the scores are those of bnnkit's runtime.
    np.savez(
        folder / "check.npz",
        images=images.transpose(0, 2, 3, 1),
        scores=rt.load(MODEL).run(images),
    )


if __name__ == "__main__":
    main()
