"""Train a binary network with Brevitas on digits and write it as QONNX, which bnnkit converts.

python -m venv brevitas && . brevitas/bin/activate
pip install torch brevitas==0.13.4 onnx==1.19.1 onnxscript==0.7.2 onnxoptimizer==0.4.2 scikit-learn
python examples/convert/from_brevitas.py digits.qonnx.onnx

Then, where bnnkit is: bnnkit convert digits.qonnx.onnx -o digits.onnx

Needs nothing of bnnkit. Writes the test images and their labels beside the file, as .npz.
"""

import sys
from pathlib import Path

import brevitas.nn as qnn  # type: ignore[import-not-found]
import numpy as np
import torch
from brevitas.export import export_qonnx  # type: ignore[import-not-found]
from brevitas.quant import (  # type: ignore[import-not-found]
    SignedBinaryActPerTensorConst,
    SignedBinaryWeightPerTensorConst,
)
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

SIGN = {"act_quant": SignedBinaryActPerTensorConst, "min_val": -1.0, "max_val": 1.0}
WEIGHT = {"weight_quant": SignedBinaryWeightPerTensorConst, "scaling_const": 1.0, "bias": False}


def network() -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32), qnn.QuantIdentity(**SIGN)),
        *(qnn.QuantConv2d(32, 64, 3, **WEIGHT), nn.MaxPool2d(2), nn.BatchNorm2d(64)),
        *(qnn.QuantIdentity(**SIGN), nn.Flatten(), qnn.QuantLinear(64 * 9, 64, **WEIGHT)),
        *(nn.BatchNorm1d(64), qnn.QuantIdentity(**SIGN), nn.Linear(64, 10)),
    )


def train(model: nn.Module, x: Tensor, y: Tensor) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for batch in torch.randint(len(x), (300, 128)):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()


def main() -> None:
    path = Path(sys.argv[1])
    torch.manual_seed(0)
    pixels = (load_digits().images[:, None] / 16).astype(np.float32)
    split = train_test_split(pixels, load_digits().target, test_size=0.2, random_state=0)
    x_train, x_test, y_train, y_test = (torch.from_numpy(part) for part in split)
    model = network()
    train(model, x_train, y_train)
    with torch.no_grad():
        right = (model.eval()(x_test).argmax(1) == y_test).float().mean()
    print(f"accuracy in Brevitas: {right:.3f}")
    export_qonnx(model, x_test[:1], export_path=str(path), dynamo=False)
    np.savez_compressed(path.with_suffix(".npz"), images=x_test.numpy(), labels=y_test.numpy())


if __name__ == "__main__":
    main()
