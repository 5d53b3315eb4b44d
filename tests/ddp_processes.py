"""What each process of `tests/test_ddp.py` does: some steps of a network in torch's DDP."""

from pathlib import Path

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

import bnnkit.nn as bnn


def make() -> nn.Module:
    """A network without noise, so that the halves of a batch are the batch."""
    torch.manual_seed(0)
    return nn.Sequential(
        bnn.IntegerLinear(12, 16, zero_point=128),
        bnn.Sign(noise="none"),
        bnn.BinaryLinear(
            16,
            16,
            weight_rule="binary-connect",
            weight_rule_options={"limit": 0.1},
            scale="mean-abs",
        ),
        bnn.Quantize(2),
        bnn.BinaryLinear(16, 3, weight_rule="md-tanh", bias=True),
    )


def train(model: nn.Module, x: Tensor, y: Tensor) -> None:
    """Four steps on the same batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    bnn.attach_rules(model, optimizer)
    for step in range(4):
        bnn.set_progress(model, step / 4)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def work(rank: int, folder: Path, x: Tensor, y: Tensor) -> None:
    """Train on this process's half of the batch, and save the network."""
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    try:
        model = DistributedDataParallel(make())
        train(model, x[rank::2], y[rank::2])
        torch.save(model.module.state_dict(), folder / f"{rank}.pt")
    finally:
        distributed.destroy_process_group()
