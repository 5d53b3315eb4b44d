"""Mixed inputs and targets."""

from pathlib import Path

import pytest
import torch
from rich.console import Console
from short_runs import interrupted_at
from torch.nn import functional

from bnnkit import data
from bnnkit.training import train
from bnnkit.training.augment import N_VIEWS
from bnnkit.training.batches import Batch, Batches
from bnnkit.training.config import parse_config
from bnnkit.training.history import read_history
from bnnkit.training.losses import CrossEntropy, Distillation
from bnnkit.training.mixup import draw_shares, mix

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_thread")
QUIET = Console(quiet=True)
DIGITS = data.load("digits")


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_each_input_is_mixed_with_the_one_before(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    x = torch.randint(256, (5, 2, 3, 3)).to(dtype)
    share = torch.tensor([1.0, 0.5, 0.75, 0.875, 0.625])
    found = mix(x, share)
    assert found.dtype == dtype
    for n in range(5):
        want = share[n].item() * x[n].double() + (1 - share[n].item()) * x[n - 1].double()
        assert torch.equal(found[n].double(), want.round() if dtype == torch.uint8 else want)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_have_the_beta_distribution(alpha: float) -> None:
    torch.manual_seed(0)
    share = draw_shares((20, 5000), alpha, CPU)
    assert 0.5 <= share.min() <= share.max() <= 1
    # b (1 - b), whose mean is alpha / (2 (2 alpha + 1)), is the same for max(b, 1 - b).
    mean = (share * (1 - share)).mean().item()
    assert mean == pytest.approx(alpha / (4 * alpha + 2), abs=0.002)


def _batch(share: list[float]) -> Batch:
    n = len(share)
    y, index, view = torch.arange(n) % 5, torch.arange(n) + 7, torch.arange(n) * 30
    return Batch(torch.zeros(n, 1), y, index, view, torch.tensor(share))


SHARES = [1.0, 0.5, 0.75, 0.9]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_labels_are_mixed(smoothing: float) -> None:
    torch.manual_seed(0)
    batch, logits = _batch(SHARES), torch.randn(4, 5)
    want = 0.0
    for n, own in enumerate(SHARES):
        hot = own * functional.one_hot(batch.y[n], 5) + (1 - own) * functional.one_hot(
            batch.y[n - 1], 5
        )
        target = (1 - smoothing) * hot.double() + smoothing / 5
        want -= (target * logits[n].double().log_softmax(0)).sum().item() / 4
    assert CrossEntropy(smoothing)(logits, batch).item() == pytest.approx(want, rel=1e-6)


def test_probabilities_of_teachers_are_mixed() -> None:
    torch.manual_seed(0)
    targets, batch, logits = torch.randn(N_VIEWS, 20, 5).half(), _batch(SHARES), torch.randn(4, 5)
    logits.requires_grad_()
    p = torch.stack(
        [
            (targets[v, i].double() / 3).softmax(0)
            for v, i in zip(batch.view.tolist(), batch.index.tolist(), strict=True)
        ]
    )
    want = 0.0
    for n, own in enumerate(SHARES):
        mixed = own * p[n] + (1 - own) * p[n - 1]
        q = (logits[n].double() / 3).softmax(0)
        want += 9 * (mixed * (mixed.log() - q.log())).sum().item() / 4
    loss = Distillation(targets, 3.0, 1.0, CrossEntropy())(logits, batch)
    assert loss.item() == pytest.approx(want, rel=1e-5)
    torch.autograd.backward(loss)
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


def test_batches_are_mixed_and_calibration_inputs_are_not() -> None:
    text = "{batch_size: 32, mixup: 0.5, augment: crop-flip-uniform, device: cpu}"
    batches = Batches(parse_config(text), DIGITS, torch.arange(1000), CPU)
    torch.manual_seed(0)
    batches.start_epoch(1)
    batch = batches.at(torch.tensor([3]))
    assert batches.views is not None
    assert batch.share is not None
    assert torch.equal(batch.x, mix(batches.views(batch.index, batch.view), batch.share))
    assert not torch.equal(batch.x, batches.views(batch.index, batch.view))
    following = batches.at(torch.tensor([4])).share
    assert following is not None
    assert not torch.equal(batch.share, following)
    torch.manual_seed(1)
    found = batches.calibration_inputs(batch.index)
    plain = Batches(
        parse_config("{batch_size: 32, augment: crop-flip-uniform}"), DIGITS, batch.index, CPU
    )
    torch.manual_seed(1)
    assert torch.equal(found, plain.calibration_inputs(batch.index))


def test_a_stopped_run_is_continued_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bnnkit.training.finish.draw_curves", lambda *_, **__: None)
    text = (
        "{model: {name: mlp, width: 16}, epochs: 3, batch_size: 128, mixup: 0.3, device: cpu,"
        " cutout: 2, recalibrate: 4, eval_samples: 0}"
    )
    config = parse_config(text)
    train(config, tmp_path / "straight", console=QUIET)
    with interrupted_at(15):
        train(config, tmp_path / "stopped", console=QUIET)
    train(config, tmp_path / "stopped", console=QUIET)
    for name in ("state.safetensors", "checkpoint.safetensors"):
        both = [(tmp_path / run / name).read_bytes() for run in ("straight", "stopped")]
        assert both[0] == both[1], name
    first, *_, last, _ = read_history(tmp_path / "straight" / "metrics.jsonl")
    assert last["train_loss"] < first["train_loss"]
