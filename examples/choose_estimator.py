"""Measure which estimator has the most accurate gradient in a network of your own.

python examples/choose_estimator.py [--bits 4 16 64] [-o FIGURE.png]

An accurate gradient is a means: the network is trained with each estimator too.
"""

import argparse
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import bnnkit.nn as bnn
from bnnkit.data import Dataset, load
from bnnkit.gradients import Accuracy, Objective, draw_accuracies, measure, sampled_gradient

ESTIMATORS = ("st", "zgr", "gumbel-softmax", "deterministic-st", "identity-st")
BATCH, HELD_OUT = 64, 300
Batch = tuple[Tensor, Tensor]


def your_network(data: Dataset, bits: int, estimator: str) -> nn.Sequential:
    """A network with one layer of noisy signs: an image becomes a code of `bits` bits."""
    return nn.Sequential(
        *(nn.Flatten(), bnn.IntegerLinear(data.x_train[0].size, bits, zero_point=128)),
        *(nn.BatchNorm1d(bits), bnn.Sign(noise="logistic", estimator=estimator)),
        *(nn.Linear(bits, 32), nn.ReLU(), nn.Linear(32, len(data.classes))),
    )


def batches_of(x: Tensor, y: Tensor, epochs: int) -> list[Batch]:
    """Random batches."""
    orders = [torch.randperm(len(x)).split(BATCH) for _ in range(epochs)]
    return [(x[batch], y[batch]) for order in orders for batch in order]


def trained(data: Dataset, bits: int, estimator: str, epochs: int) -> nn.Sequential:
    """Train the network; the same seed gives the same start and the same batches."""
    torch.manual_seed(0)
    network = your_network(data, bits, estimator)
    optimizer = torch.optim.Adam(network.parameters(), 0.003)
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    for images, labels in batches_of(x[HELD_OUT:], y[HELD_OUT:], epochs):
        optimizer.zero_grad()
        cross_entropy(network(images), labels).backward()
        optimizer.step()
    # The signs keep drawing noise, but the batch norm must not couple the examples of a batch.
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.eval()
    return network


@torch.no_grad()
def held_out_loss(network: nn.Module, data: Dataset, draws: int) -> float:
    """The loss of the images that training left out: expected over noise, or without it (0)."""
    for module in network.modules():
        if isinstance(module, bnn.Sign):
            module.estimator = bnn.get_estimator("st")  # some draw no noise, or relax the signs
            module.train(draws > 0)
    x, y = (torch.from_numpy(part[:HELD_OUT]) for part in (data.x_train, data.y_train))
    return fmean(cross_entropy(network(x), y).item() for _ in range(max(1, draws)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 16, 64])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--samples", type=int, default=1000, help="of the true gradient")
    parser.add_argument("--trials", type=int, default=100, help="estimates for each batch")
    parser.add_argument("-o", "--out", type=Path, help="a figure")
    options = parser.parse_args()
    data = load("digits")
    x, y = torch.from_numpy(data.x_train), torch.from_numpy(data.y_train)
    series: dict[str, list[tuple[float, Accuracy]]] = {name: [] for name in ESTIMATORS}
    for bits in options.bits:
        # Measure early in a training: at its start nothing is learned, at its end little is left.
        network = trained(data, bits, "zgr", epochs=1)
        objective: Objective[Batch] = Objective(
            model=network,
            loss=lambda batch: cross_entropy(network(batch[0]), batch[1], reduction="none"),  # noqa: B023
            parameters=list(network[:3].parameters()),  # those before the signs
        )
        batches = batches_of(x[HELD_OUT:], y[HELD_OUT:], 1)[: options.batches]
        truths = [sampled_gradient(objective, one, samples=options.samples) for one in batches]
        print(f"\n{bits} bits")
        print("estimator          cosine, 95 %         improvement  RMSE   loss: noisy, without")
        for name in ESTIMATORS:
            found = measure(objective, batches, truths, estimator=name, trials=options.trials)
            series[name].append((bits, found))
            network_of = trained(data, bits, name, options.epochs)
            losses = [held_out_loss(network_of, data, draws) for draws in (20, 0)]
            cosine = found.cosine
            print(
                f"{name:18} {cosine.value:.2f} ({cosine.low:.2f} to {cosine.high:.2f})"
                f" {found.improvement.value:8.3f} {found.rmse.value:9.3f}"
                f" {losses[0]:11.3f} {losses[1]:11.3f}"
            )
    if options.out:
        draw_accuracies(series, options.out, title="digits", x_label="bits of the code")


if __name__ == "__main__":
    main()
