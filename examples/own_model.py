"""Convert your own torch model to binary layers in place, train it, export it, and report.

python examples/own_model.py [FILE.onnx]
"""

import sys

import torch
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.data import load
from bnnkit.export import export_onnx
from bnnkit.runtime import load as load_model


class Block(nn.Module):
    """An ordinary residual block that bnnkit does not know."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.norm(self.conv(x))


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "own_model.onnx"
    torch.manual_seed(0)
    digits = load("digits")
    model = nn.Sequential(
        bnn.IntegerConv2d(1, 32, 3, padding=1, zero_point=digits.zero_point),
        nn.BatchNorm2d(32),
        *(Block(32), Block(32)),
        *(nn.AvgPool2d(2), nn.Flatten(), nn.Linear(32 * 16, 10)),
    )
    # Both convolutions get binary weights and a sign before them; the skips stay real-valued.
    bnn.binarize_(model, ["*.conv"], noise="logistic")

    x, y = torch.from_numpy(digits.x_train), torch.from_numpy(digits.y_train)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for batch in torch.randint(len(x), (200, 128)):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()

    report = export_onnx(model, x[:1], path)
    for layer in report.layers:
        print(f"{layer.name:10} {layer.kind:8} {layer.stored_bytes:7,} bytes  {layer.reason}")
    guesses = load_model(path).predict(digits.x_test).argmax(axis=1)
    print(f"test accuracy {(guesses == digits.y_test).mean():.3f}")


if __name__ == "__main__":
    main()
