"""Train a network of bnnkit.models with a loop of your own, and compare it with the zoo's.

python examples/plain_loop.py [--data mnist --data-dir DIR] [--epochs N] [--out FILE.onnx]

The loop is that of any PyTorch network. Two lines are particular to binary weights: the rule of
the weights completes each step of the optimizer, and it is told how far the training is.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import bnnkit.nn as bnn
import bnnkit.runtime as rt
from bnnkit import data, models
from bnnkit.export import export_onnx

LIKE_IN_THE_ZOO = {"mnist": "zoo:mnist-convnet"}


def accuracy(network: nn.Module, images: Tensor, labels: Tensor) -> float:
    """The share of images that the deployed network, without noise, gets right."""
    network.eval()
    with torch.no_grad():
        return (network(images).argmax(1) == labels).float().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", default="digits", choices=["digits", "mnist"])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--out", type=Path, default=Path("plain_loop.onnx"))
    chosen = parser.parse_args()

    torch.manual_seed(0)
    found = data.load(chosen.data, chosen.data_dir)
    images, labels = torch.from_numpy(found.x_train), torch.from_numpy(found.y_train)
    order = torch.randperm(len(images))
    held_out, kept = order[: len(order) // 6], order[len(order) // 6 :]
    batches = DataLoader(
        TensorDataset(images[kept], labels[kept]), batch_size=64, shuffle=True, drop_last=True
    )

    network = models.build(
        "convnet",
        input_shape=found.x_train.shape[1:],
        n_classes=10,
        zero_point=found.zero_point,
        noise="none",
        estimator="approx-sign",
        weight_rule="binary-connect",
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=0.003, weight_decay=0)
    bnn.attach_rules(network, optimizer)  # binary-connect clips the latent weights after a step
    n_steps = chosen.epochs * len(batches)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.01, total_steps=n_steps)

    best, best_weights = 0.0, network.state_dict()
    for epoch in range(chosen.epochs):
        network.train()
        bnn.set_progress(network, epoch / chosen.epochs)  # for rules with a schedule
        for x, y in batches:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        reached = accuracy(network, images[held_out], labels[held_out])
        print(f"epoch {epoch + 1:3}  loss {loss.item():.3f}  held out {reached:.3f}")
        if reached >= best:
            best = reached
            best_weights = {name: t.clone() for name, t in network.state_dict().items()}

    network.load_state_dict(best_weights)
    export_onnx(network, images[:1], chosen.out)
    for path in filter(None, [str(chosen.out), LIKE_IN_THE_ZOO.get(chosen.data)]):
        right = rt.load(path).predict(found.x_test).argmax(1) == found.y_test
        print(f"{path}: {right.mean():.4f} of the test images")


if __name__ == "__main__":
    main()
