"""Losses and averages of labels and real values, against NumPy."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bnnkit.errors import ConfigError
from bnnkit.training.batches import Batch
from bnnkit.training.evaluation import evaluate, score_batches
from bnnkit.training.losses import LabelDistillation, TargetLoss
from bnnkit.training.task import (
    Classification,
    MultiLabel,
    Regression,
    Task,
    batch_totals,
    check_loss,
    is_better,
    task_of,
)

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(3, 5, 4))  # 3 samples, 5 examples, 4 outputs
LABELS = RNG.integers(0, 2, (5, 4)).astype(np.uint8)
VALUES = RNG.normal(size=(5, 4)).astype(np.float32)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def cross_entropy(p: Any, y: Any) -> Any:
    return -(y * np.log(p) + (1 - y) * np.log(1 - p)).mean()


def batch(y: Any, share: Tensor | None = None) -> Batch:
    nothing = torch.zeros(len(y), dtype=torch.int64)
    return Batch(torch.zeros(len(y), 1), torch.as_tensor(y), nothing, nothing, share)


@pytest.mark.parametrize("n_samples", [1, 3])
def test_probabilities_of_labels_are_averaged_each_on_its_own(n_samples: int) -> None:
    task, passes = MultiLabel(), LOGITS[:n_samples]
    averaged = task.average(torch.tensor(passes))
    mean = sigmoid(passes).mean(axis=0)
    np.testing.assert_allclose(task.predictions(averaged), mean, rtol=1e-12)
    loss = task.loss(averaged, torch.tensor(LABELS)).item()
    assert loss == pytest.approx(cross_entropy(mean, LABELS), rel=1e-12)


def test_large_log_odds_are_averaged_without_overflow() -> None:
    far = torch.tensor([[[800.0, -800.0]], [[800.0, 800.0]]], dtype=torch.float64)
    averaged = MultiLabel().average(far)
    assert MultiLabel().predictions(averaged).tolist() == [[1.0, 0.5]]


@pytest.mark.parametrize(
    ("loss", "error"),
    [
        ("mse", np.square),
        ("l1", np.abs),
        ("huber", lambda e: np.where(np.abs(e) <= 1, e**2 / 2, np.abs(e) - 0.5)),
    ],
)
def test_values_are_averaged_and_their_error_has_a_unit(loss: Any, error: Any) -> None:
    scale = np.array([1.0, 2, 0.5, 10])
    task = task_of(loss, torch.tensor(scale))
    averaged = task.average(torch.tensor(LOGITS))
    np.testing.assert_allclose(averaged, LOGITS.mean(axis=0), rtol=1e-12)
    want = error((LOGITS.mean(axis=0) - VALUES) / scale).mean()
    assert task.loss(averaged, torch.tensor(VALUES)).item() == pytest.approx(want, rel=1e-6)
    plain = task_of(loss).loss(torch.tensor(LOGITS[0]), torch.tensor(VALUES)).item()
    assert plain == pytest.approx(error(LOGITS[0] - VALUES).mean(), rel=1e-6)


def test_totals_of_a_batch() -> None:
    outputs, loss = torch.tensor(LOGITS[0]), torch.tensor(0.25)
    right = ((LOGITS[0] >= 0) == LABELS).mean(axis=1).sum()
    errors = np.abs(LOGITS[0] - VALUES).mean(axis=1).sum()
    classes = LOGITS[0].argmax(axis=1)
    for y, want in ((LABELS, right), (VALUES, errors), (classes, 5)):
        totals = batch_totals(loss, outputs, torch.tensor(y))
        np.testing.assert_allclose(totals, [1.25, want, 5], rtol=1e-6)


@pytest.mark.parametrize("task", [MultiLabel(), Regression("mse"), Regression("l1")])
def test_the_targets_of_mixed_inputs_are_mixed(task: Task) -> None:
    share = torch.tensor([0.5, 0.6, 0.7, 0.8, 1.0])
    y = LABELS if isinstance(task, MultiLabel) else VALUES
    own = share.numpy()[:, None]
    mixed = torch.tensor(own * y + (1 - own) * np.roll(y, 1, axis=0))
    outputs = torch.tensor(LOGITS[0]).float()
    found = TargetLoss(task)(outputs, batch(y, share))
    assert found.item() == pytest.approx(task.loss(outputs, mixed).item(), rel=1e-6)


def test_outputs_of_another_shape_are_refused() -> None:
    outputs, values = torch.zeros(5), VALUES[:, :1]  # torch would compare each with each
    with pytest.raises(ConfigError, match=r"shape \(5,\), the targets \(5, 1\): it must return"):
        TargetLoss(Regression("mse"))(outputs, batch(values))


def test_smoothed_labels_are_spread_over_present_and_absent() -> None:
    found = TargetLoss(MultiLabel(), 0.2)(torch.tensor(LOGITS[0]), batch(LABELS)).item()
    want = cross_entropy(sigmoid(LOGITS[0]), 0.8 * LABELS + 0.1)
    assert found == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("share", [None, torch.tensor([0.5, 0.6, 0.7, 0.8, 1.0])])
def test_distillation_of_labels_is_the_divergence_of_each(share: Tensor | None) -> None:
    targets = torch.tensor(LOGITS[1:2])
    labels = TargetLoss(MultiLabel())
    found = LabelDistillation(targets, 2.0, 0.75, labels)
    given = replace(batch(LABELS, share), index=torch.arange(5))
    p, q = sigmoid(LOGITS[1] / 2), sigmoid(LOGITS[0] / 2)
    if share is not None:
        own = share.numpy()[:, None]
        p = own * p + (1 - own) * np.roll(p, 1, axis=0)
    divergence = (p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))).mean()
    outputs = torch.tensor(LOGITS[0])
    want = 0.75 * 4 * divergence + 0.25 * labels(outputs, given).item()
    assert found(outputs, given).item() == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("task", [MultiLabel(), Regression("mse")])
def test_scores_and_evaluations_of_parts_are_those_of_the_whole(task: Task) -> None:
    torch.manual_seed(1)
    network = nn.Linear(3, 4)
    x = torch.randn(5, 3)
    y = torch.tensor(LABELS if isinstance(task, MultiLabel) else VALUES)
    whole = score_batches(network, x, y, task=task, batch_size=2).sum(0)
    outputs = network(x).double()
    want = batch_totals(task.loss(outputs, y), outputs, y)
    assert torch.allclose(whole, want)
    found = evaluate(network, x, task=task, batch_size=2)
    np.testing.assert_allclose(found, task.predictions(outputs).detach(), rtol=1e-6)


def test_a_loss_expects_its_targets() -> None:
    check_loss("huber", "values", "made")
    with pytest.raises(ConfigError, match=r"cross-entropy expects .* use loss=multi-label"):
        check_loss("cross-entropy", "labels", "made")
    with pytest.raises(ConfigError, match=r"mse expects real values.* use loss=cross-entropy"):
        check_loss("mse", "classes", "made")


def test_a_higher_accuracy_and_a_lower_error_is_better() -> None:
    assert is_better("accuracy", 0.5, [0.1, 0.4])
    assert not is_better("accuracy", 0.4, [0.4])
    assert is_better("mae", 0.05, [0.1, 0.4])
    assert not is_better("mae", 0.2, [0.1, 0.4])
    nan = float("nan")
    assert is_better("mae", 0.3, [nan, 0.4])
    assert not is_better("mae", 0.5, [nan, 0.4])
    assert not is_better("mae", nan, [nan, 0.4])
    assert isinstance(task_of("cross-entropy"), Classification)
