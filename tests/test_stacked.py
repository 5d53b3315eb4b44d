"""Stacked networks of the experiments: as if each were trained alone, and continued runs."""

import time
from pathlib import Path

import pytest
import torch
from experiment import Job, OutOfTimeError
from experiment_config import Record
from stacked import Batches, StackedLinear, Trainer, generators, train
from torch import Tensor, nn

from bnnkit.training.randomness import epoch_batches

X, Y = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(0))


class _Stack(nn.Module):
    def __init__(self, seeds: list[int]) -> None:
        super().__init__()
        rngs = generators(seeds)
        self.layers = nn.ModuleList([StackedLinear(3, 5, rngs), StackedLinear(5, 3, rngs)])

    def losses(self, batch: Tensor) -> Tensor:
        hidden = torch.tanh(self.layers[0](X[batch]))
        losses: Tensor = (self.layers[1](hidden) - Y[batch]).square().sum(2)
        return losses

    def noisy_losses(self, batch: Tensor) -> Tensor:
        return self.losses(batch) * torch.rand(len(batch))


def trainer(stack: _Stack) -> Trainer:
    return Trainer(stack, 0.01, stack.losses, Batches(len(X), 8, torch.device("cpu")))


def test_a_stack_equals_networks_trained_alone() -> None:
    stack = _Stack([0, 1, 0])
    alone = nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 3))
    with torch.no_grad():
        for number, layer in enumerate(stack.layers):
            assert isinstance(layer, StackedLinear)
            twin = alone[2 * number]
            assert isinstance(twin, nn.Linear)
            twin.weight.copy_(layer.weight[1].T)
            twin.bias.copy_(layer.bias[1, 0])
    adam = torch.optim.Adam(alone.parameters(), lr=0.01)
    stacked = trainer(stack)
    for epoch in (1, 2, 3):
        losses = stacked.epoch(7, epoch)
        total = torch.zeros(())
        for batch in epoch_batches(7, epoch, len(X), 8):
            adam.zero_grad()
            loss = (alone(X[batch]) - Y[batch]).square().sum(1).mean()
            loss.backward()
            adam.step()
            total += loss.detach() / 5
        torch.testing.assert_close(losses[1], total)
    first = stack.layers[0]
    assert isinstance(first, StackedLinear)
    torch.testing.assert_close(first.weight[0], first.weight[2])  # one seed, one network
    assert not torch.equal(first.weight[0], first.weight[1])


def test_initial_weights_are_those_of_their_seed() -> None:
    both, second = (StackedLinear(4, 2, generators(seeds)) for seeds in ([3, 5], [5]))
    assert torch.equal(both.weight[1], second.weight[0])
    assert both.weight.abs().max() <= 0.5


def run(job: Job, epochs: int) -> Record:
    record: Record = {"losses": []}
    stack = _Stack([0, 1])
    train(
        job,
        trainer(stack),
        epochs,
        seed=3,
        record=record,
        each_epoch=lambda epoch, losses: record["losses"].append(losses.tolist()),
        phases={4: stack.noisy_losses},
    )
    return record


@pytest.mark.parametrize("stops", [2, 3, 5])
def test_a_stopped_run_continues_to_the_same_result(stops: int, tmp_path: Path) -> None:
    """Stopped before, at and after the change of the phase."""
    whole = run(Job("whole", torch.device("cpu"), tmp_path / "whole", float("inf")), 6)
    state = tmp_path / "state"
    clock = iter([*[False] * 2 * (stops - 1), *[True] * 99])

    class Stopping(Job):
        @property
        def is_out_of_time(self) -> bool:
            return next(clock)

    with pytest.raises(OutOfTimeError):
        run(Stopping("part", torch.device("cpu"), state, time.monotonic()), 6)
    continued = run(Job("part", torch.device("cpu"), state, float("inf")), 6)
    assert len(continued["losses"]) == 6
    assert continued == whole
