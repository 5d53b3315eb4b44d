"""A network of the zoo in a C and a C++ program: export, build, run, compare with bnnkit.

python examples/c/build_and_run.py [-o FOLDER] [--digits N]

Needs CMake 3.13 or newer and a compiler of C99 and C++17. FOLDER then is a project of its own,
which needs nothing of bnnkit.
"""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import bnnkit.runtime as rt
from bnnkit.runtime.c_code import export_c

HERE = Path(__file__).parent
MODEL = "zoo:mnist-convnet"


def write_digits(folder: Path, number: int) -> list[str]:
    """Write digits of scikit-learn in MNIST's form: 20 x 20 pixels in the middle of 28 x 28."""
    folder.mkdir(exist_ok=True)
    digits = load_digits()
    names = []
    for index in range(number):
        small = Image.fromarray((digits.images[index] * 255 / 16).astype(np.uint8))
        image = Image.new("L", (28, 28))
        image.paste(small.resize((20, 20), Image.Resampling.BICUBIC), (4, 4))
        names.append(f"digits/{index:04}-is-{digits.target[index]}.pgm")
        image.save(folder.parent / names[-1])
    return names


def output_of(*command: object, folder: Path) -> str:
    print("$", *command[:4], "..." if len(command) > 4 else "")
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description="A network of the zoo in C and C++.")
    parser.add_argument("-o", "--out", type=Path, default=Path("digits_in_c"))
    parser.add_argument("--digits", type=int, default=100, help="the number of images")
    chosen = parser.parse_args()
    folder = chosen.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)

    report = export_c(MODEL, folder / "network", name="mnist")
    print(f"{report.constant_bytes:,} bytes of weights, {report.workspace_bytes:,} of workspace")
    for name in ("CMakeLists.txt", "classify.c", "classify.cpp", "from_python.py"):
        shutil.copy(HERE / name, folder)
    names = write_digits(folder / "digits", chosen.digits)

    output_of("cmake", "-B", "build", "-DMNIST_NATIVE=ON", folder=folder)
    output_of("cmake", "--build", "build", folder=folder)
    output_of("ctest", "--test-dir", "build", folder=folder)  # fails if a bit is wrong
    library = f"build/network/libmnist.{'dylib' if sys.platform == 'darwin' else 'so'}"
    found = {
        "C": output_of("build/classify", *names, folder=folder),
        "C++": output_of("build/classify_cpp", *names, folder=folder),
        "ctypes": output_of(sys.executable, "from_python.py", library, *names, folder=folder),
    }

    pixels = np.stack([np.asarray(Image.open(folder / name)) for name in names])
    expected = rt.load(MODEL).predict(pixels[:, None])
    for language, text in found.items():
        rows = [line.split() for line in text.splitlines()]
        same = [
            int(digit) == p.argmax() and np.float32(shown) == p.max()
            for (_, digit, shown), p in zip(rows, expected, strict=True)
        ]
        print(
            f"{language}: {sum(same)} of {len(same)} probabilities are bnnkit's, to the last bit"
        )
        if not all(same):
            sys.exit(1)
    right = sum(name[-5] == str(p.argmax()) for name, p in zip(names, expected, strict=True))
    print(f"{right} of {len(names)} digits are named right, by a network trained on MNIST")


if __name__ == "__main__":
    main()
