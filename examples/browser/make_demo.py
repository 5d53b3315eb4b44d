"""Put the browser demo into one folder: `python examples/browser/make_demo.py`.

The folder, build/browser, has the page, ONNX Runtime Web and a model file. Any web server can
serve it: `python -m http.server -d build/browser`. `npm ci --omit=dev` in examples/browser gets
ONNX Runtime Web first.
"""

import argparse
import shutil
import sys
from pathlib import Path

from bnnkit.zoo import located

HERE = Path(__file__).parent
PAGE = ("index.html", "style.css", "*.js")
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""The part of ONNX Runtime Web that runs on the CPU."""


def make(out: Path, model: Path | str) -> None:
    """Write the folder of the demo.

    Args:
        out: The folder; it is made if it is missing.
        model: A stochastic network of MNIST images, a path or zoo:NAME.

    Raises:
        FileNotFoundError: If ONNX Runtime Web or the model is missing.
    """
    runtime = HERE / "node_modules" / "onnxruntime-web" / "dist"
    if not runtime.is_dir():
        raise FileNotFoundError(f"expected the packages of npm, run `npm ci --omit=dev` in {HERE}")
    out.mkdir(parents=True, exist_ok=True)
    for path in (found for pattern in PAGE for found in HERE.glob(pattern)):
        shutil.copyfile(path, out / path.name)
    for name in RUNTIME:
        shutil.copyfile(runtime / name, out / name)
    shutil.copyfile(located(model), out / "model.onnx")


def main() -> None:
    """Read the options and make the folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="zoo:mnist-convnet-ensemble")
    parser.add_argument("-o", "--out", type=Path, default=HERE.parents[1] / "build" / "browser")
    arguments = parser.parse_args()
    try:
        make(arguments.out, arguments.model)
    except OSError as error:
        sys.exit(f"make_demo.py: {error}")
    print(f"Serve it: python -m http.server -d {arguments.out}")


if __name__ == "__main__":
    main()
