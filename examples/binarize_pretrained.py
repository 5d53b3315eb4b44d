"""Make a pretrained network binary, train it on, and export it.

python examples/binarize_pretrained.py                # a small ResNet on digits, half a minute
python examples/binarize_pretrained.py --network resnet18 --data cifar10 --data-dir DIR --epochs 60

The second command takes a network of torchvision with its weights for ImageNet, which torchvision
downloads; with `--device cuda` it trains on a GPU.
"""

import argparse
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import bnnkit.nn as bnn
import bnnkit.runtime as rt
from bnnkit.data import Dataset, load
from bnnkit.export import Metadata, export_onnx
from bnnkit.models import binary_twin

BATCH = 128
IMAGENET = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Block(nn.Module):
    """The basic block of a ResNet, with torchvision's names."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(width, width, 3, padding=1, bias=False), norm(width)
        self.conv2, self.bn2 = nn.Conv2d(width, width, 3, padding=1, bias=False), norm(width)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + x)


class SmallResNet(nn.Module):
    """A network as torchvision's: real images, float weights, ReLUs."""

    def __init__(self, channels: int, n_classes: int, width: int = 24) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, width, 3, padding=1, bias=False), norm(width)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = nn.Sequential(Block(width), Block(width))
        self.fc = nn.Linear(16 * width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer1(self.relu(self.bn1(self.conv1(x))))
        return self.fc(nn.functional.adaptive_avg_pool2d(x, 4).flatten(1))


norm = nn.BatchNorm2d


def pretrained_on(data: Dataset, epochs: int) -> tuple[Any, list[float], list[float]]:
    """A small network that was trained on normalised images, with their mean and deviation."""
    pixels = data.x_train / 255
    mean, std = pixels.mean((0, 2, 3)).tolist(), pixels.std((0, 2, 3)).tolist()
    network = SmallResNet(data.x_train.shape[1], len(data.classes))
    normalise = Normalise(mean, std)
    train(nn.Sequential(normalise, network), data, epochs)
    return network, mean, std


class Normalise(nn.Module):
    """(x / 255 - mean) / std, as networks of torchvision want their images."""

    def __init__(self, mean: list[float], std: list[float]) -> None:
        super().__init__()
        self.mean, self.std = (torch.tensor(v).view(-1, 1, 1) for v in (mean, std))

    def forward(self, x: Tensor) -> Tensor:
        return (x / 255 - self.mean) / self.std


def of_torchvision(name: str, n_classes: int) -> tuple[Any, list[float], list[float]]:
    """A ResNet with the weights of ImageNet, changed for small images and other classes."""
    from torchvision import models  # type: ignore[import-not-found]

    network: Any = models.get_model(name, weights="DEFAULT")
    # 32 x 32 pixels are too few for steps of 4: the middle of the 7x7 kernel, with step 1.
    stem = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    stem.weight = nn.Parameter(network.conv1.weight[:, :, 2:5, 2:5].detach().clone())
    network.conv1, network.maxpool = stem, nn.Identity()
    network.fc = nn.Linear(network.fc.in_features, n_classes)
    return network, *IMAGENET


def train(
    network: nn.Module, data: Dataset, epochs: int, lr: float = 1e-3, device: str = "cpu"
) -> None:
    """Train: latent weights by SGD with decay, so that signs go on changing, others by Adam."""
    x, y = (torch.from_numpy(array).to(device) for array in (data.x_train, data.y_train))
    latent = bnn.latent_parameters(network)
    others = [p for p in network.parameters() if all(p is not one for one in latent)]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(others, lr)]
    if latent:
        optimizers.append(torch.optim.SGD(latent, 0.1, momentum=0.9, weight_decay=5e-4))
        bnn.attach_rules(network, optimizers[-1])
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(one, epochs) for one in optimizers]
    network.train().to(device)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).to(device).split(BATCH):
            loss = cross_entropy(network(x[batch]), y[batch])
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
        for schedule in schedules:
            schedule.step()
    network.eval().cpu()


@torch.no_grad()
def accuracy(network: nn.Module, data: Dataset) -> float:
    """The share of test images that the network classifies correctly."""
    x, y = torch.from_numpy(data.x_test), torch.from_numpy(data.y_test)
    guesses = torch.cat([network.eval()(part).argmax(1) for part in x.split(500)])
    return (guesses == y).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", help="a ResNet of torchvision; a small one by default")
    parser.add_argument("--data", default="digits", help="a data set of bnnkit.data")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("-o", "--out", default="pretrained.onnx")
    options = parser.parse_args()
    torch.manual_seed(0)
    data = load(options.data, options.data_dir)

    # 1. A pretrained network, which takes normalised images.
    if options.network:
        network, mean, std = of_torchvision(options.network, len(data.classes))
    else:
        network, mean, std = pretrained_on(data, options.epochs)
        normalised = nn.Sequential(Normalise(mean, std), network)
        print(f"pretrained, float     {100 * accuracy(normalised, data):5.1f} %")

    # 2. The normalisation goes into a first layer with integer weights: pixels in, exact sums out.
    network.conv1 = bnn.IntegerConv2d.from_normalised(network.conv1, mean, std)
    print(f"integer first layer   {100 * accuracy(network, data):5.1f} %")

    # 3. The layers between the first and the last one become binary; signs keep the sign of the
    # weights, and each layer gets a skip, because a sign keeps one bit of a value.
    example = torch.from_numpy(data.x_train[:1])
    twin = binary_twin(network, example, estimator="deterministic-st", weight_rule="standardised")
    print(f"binary, not trained   {100 * accuracy(twin, data):5.1f} %")

    # 4. Train it on.
    train(twin, data, options.epochs, device=options.device)
    print(f"binary, trained       {100 * accuracy(twin, data):5.1f} %")

    # 5. The file, and what is binary in it.
    report = export_onnx(
        twin, example, options.out, mode="deterministic", metadata=Metadata(classes=data.classes)
    )
    for layer in report.layers:
        print(f"  {layer.name:16} {layer.kind:8} {layer.stored_bytes:7,} bytes  {layer.reason}")
    right = rt.load(options.out).predict(data.x_test).argmax(1) == data.y_test
    print(f"file, in the runtime  {100 * right.mean():5.1f} %")


if __name__ == "__main__":
    main()
