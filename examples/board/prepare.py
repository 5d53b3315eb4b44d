"""Prepare a folder to copy to a board: package, model, inputs, and the outputs to expect.

python examples/board/prepare.py MODEL [--inputs INPUTS.npy] [-o FOLDER]
scp -r FOLDER pi@raspberrypi.local:
ssh pi@raspberrypi.local
cd FOLDER && sh setup.sh       # on the board

MODEL is an .onnx or a .tflite file with one input, or zoo:NAME. setup.sh installs the package,
compiles the kernels, and runs check_board.py, which compares every number with the ones of this
computer.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import bnnkit.runtime as rt
from bnnkit.zoo import located

Array = NDArray[Any]
HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]
SAMPLES = 10


def random_inputs(model: rt.Model) -> Array:
    """Eight inputs of the network's shape: for comparing bits, noise is as good as images."""
    random = np.random.default_rng(0)
    shape = (8, *model.input_shape)
    if model.input_dtype == np.uint8:
        return random.integers(0, 256, shape, np.uint8)
    return random.standard_normal(shape, np.float32)


def expected_outputs(model: rt.Model, inputs: Array, *, is_stochastic: bool) -> dict[str, Array]:
    """One pass, and an ensemble if the file holds noise."""
    found = model.run(inputs)
    scores = found if isinstance(found, tuple) else (found,)
    expected = {f"run.{index}": array for index, array in enumerate(scores)}
    if is_stochastic:
        expected["predict"] = model.predict(inputs, samples=SAMPLES, seed=0)
    return expected


def build_wheel(folder: Path) -> None:
    """Build bnnkit from this checkout. It is pure Python, so one wheel is for all CPUs."""
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "-w",
        str(folder),
        ".",
    ]
    subprocess.run(command, cwd=CHECKOUT, check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Prepare a folder to copy to a board.")
    parser.add_argument("model", help="an .onnx or .tflite file, or zoo:NAME")
    parser.add_argument("--inputs", type=Path, help="your own inputs, INPUTS.npy")
    parser.add_argument("-o", "--out", type=Path, default=Path("board"))
    parser.add_argument("--wheel", type=Path, help="a wheel of bnnkit that is built already")
    chosen = parser.parse_args()
    folder: Path = chosen.out
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):  # a second model or wheel would confuse the board
        sys.exit(f"expected an empty folder, got {folder}; remove it, or name another by -o")

    source = located(chosen.model)
    model = rt.load(source)
    inputs = random_inputs(model) if chosen.inputs is None else np.load(chosen.inputs)
    shutil.copy(source, folder / f"model{source.suffix}")
    np.save(folder / "inputs.npy", inputs)
    is_stochastic = rt.open_artifact(source).is_stochastic
    expected = expected_outputs(model, inputs, is_stochastic=is_stochastic)
    np.savez(folder / "expected.npz", **expected)
    for name in ("setup.sh", "check_board.py"):
        shutil.copy(HERE / name, folder)
    if chosen.wheel is None:
        build_wheel(folder)
    else:
        shutil.copy(chosen.wheel, folder)
    for path in sorted(folder.iterdir()):
        print(f"{path.stat().st_size:>9,} bytes  {path}")


if __name__ == "__main__":
    main()
