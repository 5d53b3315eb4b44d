# pyright: strict, reportUnknownMemberType=false
# Some members of torch have incomplete types.
"""A program as users write it, for type checkers; `tests/test_typing.py` has it checked."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import bnnkit.nn as bnn
import bnnkit.runtime as rt
from bnnkit import data, models, training, zoo
from bnnkit.errors import BnnkitError
from bnnkit.export import Metadata, convert_onnx, export_onnx, export_tflite


@bnn.register_estimator
class Cosine(bnn.Estimator):
    """An estimator of one's own."""

    name = "cosine"

    def jacobian(self, a: Tensor, noise: bnn.Noise) -> Tensor:
        return torch.where(a.abs() < 1, (torch.pi * a / 2).cos(), 0)


@bnn.register_weight_rule
class Plain(bnn.WeightRule):
    """A weight rule of one's own."""

    name: ClassVar[str] = "plain"

    def forward(self, latent: Tensor, noise: bnn.Noise) -> Tensor:
        return self.deployed_weight(latent)


class Network(nn.Module):
    """A network of one's own, with a layer of most kinds."""

    def __init__(self, zero_point: Sequence[int], width: int = 32) -> None:
        super().__init__()
        self.first = bnn.IntegerConv2d(1, width, 3, padding=1, zero_point=zero_point)
        self.norm = nn.BatchNorm2d(width)
        self.sign = bnn.Sign(noise="logistic", estimator=Cosine())
        self.conv = bnn.BinaryConv2d(
            width, width, (3, 3), padding=1, weight_rule="binary-connect",
            weight_rule_options={"limit": 1.5}, scale="learned",
        )  # fmt: skip
        self.levels = bnn.Quantize(bits=2, learned=True)
        self.linear = bnn.BinaryLinear(64 * width, 64, weight_rule=Plain(), device="cpu")
        self.last = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.first(x))
        y = self.levels(self.conv(self.sign(y)))
        out: Tensor = self.last(self.linear(y.flatten(1)))
        return out


def train(network: nn.Module, x: Tensor, y: Tensor) -> float:
    latent = bnn.latent_parameters(network)
    optimizer = torch.optim.Adam([{"params": latent, "lr": 0.01}])
    handle = bnn.attach_rules(network, optimizer)
    bnn.set_progress(network, 0.5)
    loss = nn.functional.cross_entropy(network(x), y)
    loss.backward()
    optimizer.step()
    handle.remove()
    return loss.item()


def run(path: Path, images: NDArray[np.uint8]) -> Counter[int]:
    model = rt.load(path)
    scores = model.run(images, threads=2)
    if isinstance(scores, tuple):
        scores = scores[0]
    probabilities = model.predict(images, samples=10, seed=1)
    found = model.ensemble(images, rt.EnsembleConfig(samples="auto"))
    spread: NDArray[np.float32] = found.probabilities - probabilities
    print(scores.shape, float(spread.max()), model.input_shape)
    for image in model.classify(list(images[:2]), top=3):
        print(image)
    return Counter(probabilities.argmax(1).tolist())


def main() -> None:
    digits = data.load("digits")
    x, y = torch.from_numpy(digits.x_train), torch.from_numpy(digits.y_train)
    network: nn.Module = Network(digits.zero_point)
    print(train(network, x[:64], y[:64]))
    report = export_onnx(network, x[:1], "own.onnx", metadata=Metadata(dataset="digits"))
    print([(layer.name, layer.kind, layer.stored_bytes) for layer in report.layers])
    export_tflite(rt.open_artifact("own.onnx"), "own.tflite", variant="builtin")
    convert_onnx("theirs.onnx", Path("converted.onnx"))

    result = training.train(training.load_config(Path("mlp.yaml")), Path("run"))
    checkpoint = training.load_checkpoint(Path("run"))
    print(result, checkpoint.metadata, checkpoint.model.training)

    float_network = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
    bnn.binarize_(float_network, ["2"], noise="logistic", weight_rule="standardised")
    built = models.build(
        "vgg", input_shape=(3, 32, 32), n_classes=10, zero_point=[125, 123, 114], width=16
    )
    print(sum(p.numel() for p in built.parameters()), [model.name for model in zoo.zoo()])
    try:
        print(run(Path("own.onnx"), digits.x_test))
    except BnnkitError as error:
        print(error)


if __name__ == "__main__":
    main()
