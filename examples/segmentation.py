"""A binary U-Net labels each pixel of a canvas with the digit that it belongs to.

python examples/segmentation.py [--steps 400] [-o segmentation.onnx]

The digits are those of scikit-learn, 8x8 pixels each, which come with bnnkit. Each canvas has four
of them at random places, noise, and lines like those of a form. Test canvases hold other digits
than those of the training. The script trains, exports, checks that ONNX Runtime computes the same
classes, and prints the intersection over union (IoU) of each class, and a canvas.
"""

import argparse
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from bnnkit.data import load
from bnnkit.export import export_onnx
from bnnkit.models import build
from bnnkit.runtime import load as load_model

SIDE, DIGIT, N_DIGITS = 32, 8, 4
CLASSES = ("background", *map(str, range(10)))
INK = 64
"""The least brightness of a pixel, of 255, that is labelled as its digit."""
Array = NDArray[np.generic]


def canvases(digits: Array, labels: Array, n: int, seed: int) -> tuple[Array, Array]:
    """Draw canvases, uint8 (n, 1, SIDE, SIDE), and their classes, int64 (n, SIDE, SIDE)."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 60, (n, SIDE, SIDE))  # noise
    x[:, rng.integers(SIDE, size=3)] += 90  # lines
    y = np.zeros((n, SIDE, SIDE), np.int64)
    cells = SIDE // 2  # one digit in each quarter, so that they do not overlap
    for canvas in range(n):
        for top, left in ((0, 0), (0, cells), (cells, 0), (cells, cells)):
            which = rng.integers(len(digits))
            row, column = np.array((top, left)) + rng.integers(cells - DIGIT + 1, size=2)
            place = canvas, slice(row, row + DIGIT), slice(column, column + DIGIT)
            ink = digits[which, 0]
            x[place] = np.maximum(x[place], ink)
            y[place] = np.where(ink >= INK, labels[which] + 1, 0)
    return np.clip(x, 0, 255).astype(np.uint8)[:, None], y


def intersections_over_unions(found: Array, wanted: Array) -> list[float]:
    """Return for each class the pixels that both have, over those that at least one has."""
    return [
        float(((found == k) & (wanted == k)).sum() / max(1, ((found == k) | (wanted == k)).sum()))
        for k in range(len(CLASSES))
    ]


def train(model: nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int) -> None:
    """Minimise the cross-entropy of the pixels; ink counts more, as most pixels have none."""
    weight = torch.tensor([0.2] + [1.0] * 10)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for batch in torch.randint(len(x), (steps, 16)):
        optimizer.zero_grad()
        loss: Any = nn.functional.cross_entropy(model(x[batch]), y[batch], weight)
        loss.backward()
        optimizer.step()
        schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--canvases", type=int, default=2000, help="for training")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("-o", "--output", default="segmentation.onnx")
    options = parser.parse_args()
    torch.manual_seed(0)
    digits = load("digits")
    x, y = canvases(digits.x_train, digits.y_train, options.canvases, seed=1)
    x_test, y_test = canvases(digits.x_test, digits.y_test, 200, seed=2)

    # Real values go around each binary convolution; the decoder joins the maps of the encoder.
    model = build(
        "unet",
        input_shape=(1, SIDE, SIDE),
        n_classes=len(CLASSES),
        zero_point=[int(x.mean())],  # images are uint8: the first layer is exact in integers
        width=options.width,
        levels=2,
        # Without noise a short training gets further; ensembles would need it.
        noise="none",
        weight_noise="none",
        estimator="clipped-identity",
    )
    train(model, torch.from_numpy(x), torch.from_numpy(y), options.steps)

    # Batch norms are re-estimated for the final weights.
    calibrate = torch.from_numpy(x[:500])
    report = export_onnx(
        model, calibrate[:1], options.output, mode="deterministic", calibrate=calibrate
    )
    binary = [layer for layer in report.layers if layer.kind == "binary"]
    print(f"{len(binary)} of {len(report.layers)} layers are binary, {report.file_bytes:,} bytes")

    found = np.argmax(load_model(options.output).run(x_test), 1)  # of (N, classes, SIDE, SIDE)
    session = onnxruntime.InferenceSession(options.output)  # nothing of bnnkit in it
    (stock,) = session.run(None, {session.get_inputs()[0].name: x_test})
    print("pixels with another class in ONNX Runtime:", int((stock.argmax(1) != found).sum()))
    ratios = intersections_over_unions(found, y_test)
    for name, ratio in zip(CLASSES, ratios, strict=True):
        print(f"IoU of {name:10} {ratio:.3f}")
    print(f"mean IoU {np.mean(ratios):.3f}, pixels {(found == y_test).mean():.3f}")
    for wanted_row, row in zip(y_test[0], found[0], strict=True):
        print(*("".join(".0123456789"[k] for k in line) for line in (wanted_row, row)), sep="   ")


if __name__ == "__main__":
    main()
