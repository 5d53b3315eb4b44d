"""A binary network of plain PyTorch, without bnnkit, to a bit-packed file by way of plain ONNX.

python examples/convert/from_plain_onnx.py [-o FOLDER] [--steps N]

Signs and weights are torch's own operators here, as in many repositories of papers. The exported
graph computes in float32; `convert` finds the signs and the weights in it and packs them.
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

import bnnkit.runtime as rt
from bnnkit.export import convert_onnx


def sign(x: Tensor) -> Tensor:
    """The sign; its gradient is that of hardtanh (straight-through)."""
    clipped = x.clamp(-1, 1)
    return clipped + (torch.where(x >= 0, 1.0, -1.0) - clipped).detach()


class BinarizedConv(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        scale = self.weight.abs().mean((1, 2, 3), keepdim=True).detach()  # as in XNOR-Net
        return nn.functional.conv2d(sign(x), sign(self.weight) * scale, padding=self.padding)


def network() -> nn.Sequential:
    """The first and the last layer stay real-valued, as usual."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32)),
        *(BinarizedConv(32, 64, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(64)),
        *(BinarizedConv(64, 64, 3, padding=1), nn.MaxPool2d(2), nn.BatchNorm2d(64)),
        *(nn.Flatten(), nn.Linear(64 * 4, 10)),
    )


def train(model: nn.Module, x: Tensor, y: Tensor, steps: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for batch in torch.randint(len(x), (steps, 128)):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description="A binary network of plain ONNX, packed.")
    parser.add_argument("-o", "--out", type=Path, default=Path("."))
    parser.add_argument("--steps", type=int, default=300, help="steps of training")
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    plain, packed = chosen.out / "plain.onnx", chosen.out / "packed.onnx"

    torch.manual_seed(0)
    pixels = (load_digits().images[:, None] / 16).astype(np.float32)
    split = train_test_split(pixels, load_digits().target, test_size=0.2, random_state=0)
    x_train, x_test, y_train, y_test = (torch.from_numpy(part) for part in split)
    model = network()
    train(model, x_train, y_train, chosen.steps)
    torch.onnx.export(
        model.eval(),
        (x_train[:2],),
        plain,
        dynamo=True,
        input_names=["images"],
        output_names=["scores"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),  # any number of images at once
        verbose=False,
    )

    conversion = convert_onnx(plain, packed)
    for layer in conversion.artifact.layers:
        print(f"{layer.name:24} {layer.kind:8} {layer.reason}")
    print(f"{conversion.source_bytes:,} bytes before, {packed.stat().st_size:,} after")

    images, labels = x_test.numpy(), y_test.numpy()
    session = ort.InferenceSession(plain, providers=["CPUExecutionProvider"])
    (scores,) = session.run(["scores"], {"images": images})
    before = np.asarray(scores).argmax(1)
    after = rt.load(packed).predict(images).argmax(1)
    for name, classes in (("plain, ONNX Runtime", before), ("packed, bnnkit", after)):
        print(f"{name}: accuracy {(classes == labels).mean():.3f}")
    print(f"the same class for {(before == after).sum()} of {len(labels)} images")


if __name__ == "__main__":
    main()
