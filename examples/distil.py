"""Teach a binary network by a float one, in a plain loop of torch, and compare with labels alone.

python examples/distil.py [--data mnist --data-dir DIR] [--epochs N] [--seeds N]
"""

import argparse
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax, pad

import bnnkit.nn as bnn
from bnnkit.data import Dataset, load
from bnnkit.models import binary_twin

BATCH, SHIFT = 64, 1
Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
"""A function from images, logits and labels to the loss of a batch."""


def float_network(data: Dataset, width: int = 16) -> nn.Module:
    """Three convolutions, as one would write them."""
    channels, height = data.x_train.shape[1:3]
    first = bnn.IntegerConv2d(channels, width, 3, padding=1, zero_point=data.zero_point or [0])
    return nn.Sequential(
        *(first, nn.BatchNorm2d(width), nn.ReLU()),
        *(nn.Conv2d(width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width)),
        *(nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Conv2d(2 * width, 2 * width, 3, padding=1, bias=False), nn.BatchNorm2d(2 * width)),
        *(nn.ReLU(), nn.Flatten(), nn.Linear(2 * width * (height // 2) ** 2, len(data.classes))),
    )


def from_labels(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy."""
    return cross_entropy(logits, labels)


def from_teacher(teacher: nn.Module, temperature: float) -> Loss:
    """The divergence from the teacher's softened probabilities, without any label.

    Divided by the temperature T, logits show how similar the wrong classes are. The factor T^2
    gives gradients of a size that does not depend on T (Hinton, Vinyals & Dean 2015).
    """

    def loss(images: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
        with torch.no_grad():  # the teacher sees the same view as its student
            taught = log_softmax(teacher(images) / temperature, 1)
        own = log_softmax(logits / temperature, 1)
        return temperature**2 * kl_div(own, taught, reduction="batchmean", log_target=True)

    return loss


def train(network: nn.Module, data: Dataset, loss_of: Loss, epochs: int) -> None:
    """Train on shifted images; SGD with decay for latent weights, Adam for all others."""
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    latent = bnn.latent_parameters(network)
    others = [p for p in network.parameters() if all(p is not one for one in latent)]
    optimizers: list[torch.optim.Optimizer] = [torch.optim.Adam(others, 2e-3)]
    if latent:
        optimizers.append(torch.optim.SGD(latent, 0.1, momentum=0.9, weight_decay=5e-4))
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(one, epochs) for one in optimizers]
    network.train()
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(BATCH):
            images = shifted(x[batch])
            loss = loss_of(images, network(images), y[batch])
            for optimizer in optimizers:
                optimizer.zero_grad()
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
        for schedule in schedules:
            schedule.step()
    network.eval()


def shifted(images: Tensor) -> Tensor:
    """Shift a batch by up to a pixel in each direction."""
    height, width = images.shape[-2:]
    down, right = torch.randint(0, 2 * SHIFT + 1, (2,)).tolist()
    return pad(images, [SHIFT] * 4)[..., down : down + height, right : right + width]


@torch.no_grad()
def accuracy(network: nn.Module, data: Dataset) -> float:
    """The share of test images that are classified correctly, in percent."""
    x, y = torch.from_numpy(data.x_test), torch.from_numpy(data.y_test)
    right = torch.cat([network(part).argmax(1) for part in x.split(500)]) == y
    return 100 * right.float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="digits", help="a data set of bnnkit.data")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--temperature", type=float, default=4.0)
    options = parser.parse_args()
    data = load(options.data, options.data_dir)
    example = torch.from_numpy(data.x_train[:1])

    torch.manual_seed(0)
    teacher = float_network(data)
    train(teacher, data, from_labels, options.epochs)
    print(f"teacher, float: {accuracy(teacher, data):.1f} %")

    taught = from_teacher(teacher, options.temperature)
    for name, loss_of in {"labels alone": from_labels, "the teacher": taught}.items():
        found = []
        for seed in range(options.seeds):
            torch.manual_seed(seed)
            # Latent weights start from the teacher's weights.
            student = binary_twin(
                deepcopy(teacher),
                example,
                estimator="deterministic-st",
                weight_rule="standardised",
            )
            train(student, data, loss_of, options.epochs)
            found.append(accuracy(student, data))
        words = ", ".join(f"{one:.1f}" for one in found)
        print(f"binary, from {name}: {sum(found) / len(found):.1f} % ({words})")


if __name__ == "__main__":
    main()
