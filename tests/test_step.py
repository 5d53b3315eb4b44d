"""One step of training: what it does to the parameters, plain and recorded."""

from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from bnnkit import data
from bnnkit.training import load_checkpoint, train
from bnnkit.training.batches import Batches
from bnnkit.training.config import Config, parse_config
from bnnkit.training.history import read_history
from bnnkit.training.launch import Fabric, make_fabric, quiet_libraries
from bnnkit.training.losses import CrossEntropy
from bnnkit.training.optimizers import Optimizers
from bnnkit.training.step import Step

QUIET = Console(quiet=True)
DIGITS = data.load("digits")
N = len(DIGITS.x_train)


def _config(*overrides: str) -> Config:
    text = (
        "{optimizer: sgd, momentum: 0, schedule: constant, batch_size: 32, device: cpu, lr: 0.5}"
    )
    return parse_config(text, overrides)


def _network() -> nn.Module:
    class Pixels(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.flatten(1).float() / 16

    torch.manual_seed(0)
    return nn.Sequential(Pixels(), nn.Linear(64, 10))


def _step(network: nn.Module, config: Config, clip: float | None = None) -> tuple[Step, Batches]:
    with quiet_libraries():
        fabric: Fabric = make_fabric(config)
        batches = Batches(config, DIGITS, torch.arange(N), torch.device("cpu"))
        optimizers = Optimizers(network, config)
        model, *of_fabric = fabric.setup(network, *optimizers.all)
    step = Step(model, optimizers, of_fabric, batches, CrossEntropy(), fabric, clip_gradients=clip)
    step.start_epoch(1)
    return step, batches


def test_steps_are_those_of_plain_torch() -> None:
    config, network, plain = _config(), _network(), _network()
    step, batches = _step(network, config)
    sgd = torch.optim.SGD(plain.parameters(), 0.5)
    x, y = torch.from_numpy(DIGITS.x_train), torch.from_numpy(DIGITS.y_train)
    losses = []
    for index in batches.examples_of(1)[:4]:
        step()
        sgd.zero_grad()
        loss = nn.functional.cross_entropy(plain(x[index]), y[index])
        torch.autograd.backward(loss)
        sgd.step()
        losses.append(loss.item())
    for a, b in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    total, _, examples = step.totals.tolist()
    assert examples == 4 * 32
    assert total / 32 == pytest.approx(sum(losses), rel=1e-5)


def test_gradients_are_clipped_all_together() -> None:
    config, network = _config(), _network()
    before = [p.detach().clone() for p in network.parameters()]
    step, _ = _step(network, config, clip=0.01)
    step()
    moves = [p.detach() - old for p, old in zip(network.parameters(), before, strict=True)]
    assert torch.cat([m.flatten() for m in moves]).norm().item() == pytest.approx(0.5 * 0.01)


def test_calibration_inputs_are_views_without_blanked_squares() -> None:
    config = _config("augment=crop-flip-uniform", "cutout=3")
    batches = Batches(config, DIGITS, torch.arange(N), torch.device("cpu"))
    index = torch.arange(50)
    found = batches.calibration_inputs(index)
    assert batches.views is not None
    of_images = torch.stack([batches.views(index, torch.full_like(index, v)) for v in range(162)])
    number = (found == of_images).flatten(2).all(2).int().argmax(0)
    assert torch.equal(found, of_images[number, index])
    assert len(set(number.tolist())) > 30
    plain = Batches(_config(), DIGITS, torch.arange(N), torch.device("cpu"))
    assert torch.equal(plain.calibration_inputs(index), plain.x[index])


@pytest.mark.parametrize("processes", [1, 2])
def test_processes_share_each_batch(processes: int) -> None:
    config = _config("augment=crop-flip-uniform", "cutout=3")
    parts = [
        Batches(
            config, DIGITS, torch.arange(N), torch.device("cpu"), rank=rank, processes=processes
        )
        for rank in range(processes)
    ]
    whole = Batches(config, DIGITS, torch.arange(N), torch.device("cpu"))
    for part in (*parts, whole):
        torch.manual_seed(7)  # as the loop does, in every process
        part.start_epoch(2)
    for number, wanted in enumerate(parts[0].examples_of(2)):
        batches = [part.at(torch.tensor([number])) for part in parts]
        assert {len(batch.x) for batch in batches} == {32 // processes}
        found = torch.cat([batch.index for batch in batches])
        assert sorted(found.tolist()) == sorted(wanted.tolist())
        for rank, batch in enumerate(batches):
            assert torch.equal(batch.y, torch.from_numpy(DIGITS.y_train)[batch.index])
            assert torch.equal(batch.x, whole.at(torch.tensor([number])).x[rank::processes])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
@pytest.mark.parametrize("compiled", [False, True])
def test_recorded_steps_are_the_same(tmp_path: Path, compiled: bool) -> None:
    text = (
        "{model: {name: convnet, width: 16, noise: none, weight_noise: none}, epochs: 3,"
        " batch_size: 64, augment: crop-flip, latent: {optimizer: sgd, lr: 0.1}, device: cuda,"
        " mixup: 0.2, ema: 0.9}"
    )
    for recorded in (False, True):
        overrides = [f"cuda_graph={recorded}", f"compile={compiled}"]
        train(parse_config(text, overrides), tmp_path / str(recorded), console=QUIET)
    plain, recording = (
        [r.get("train_loss", 0) for r in read_history(tmp_path / name / "metrics.jsonl")]
        for name in ("False", "True")
    )
    assert recording == pytest.approx(plain, rel=0.02)
    assert (load_checkpoint(tmp_path / "True").metadata.accuracy or 0) > 0.3
