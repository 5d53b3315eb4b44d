"""The learning rate and the random numbers of an epoch."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from bnnkit.training.randomness import epoch_batches, seed_epoch
from bnnkit.training.schedule import make_schedule, warmup_factor


def test_schedules() -> None:
    epochs = np.arange(500)
    steps = [make_schedule("steps")(epoch / 500) for epoch in epochs]
    np.testing.assert_allclose(steps, np.where(epochs < 300, 1, np.where(epochs < 400, 0.1, 0.01)))
    cosine = [make_schedule("cosine")(epoch / 500) for epoch in epochs]
    assert cosine[0] == 1
    assert cosine[250] == pytest.approx(0.5)
    assert all(a > b > 0 for a, b in pairwise(cosine))
    linear = [make_schedule("linear")(epoch / 500) for epoch in epochs]
    np.testing.assert_allclose(linear, 1 - epochs / 500)
    assert {make_schedule("constant")(epoch / 500) for epoch in epochs} == {1}


def test_the_warm_up_rises_linearly_and_reaches_1() -> None:
    assert [warmup_factor(step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert warmup_factor(0, 0) == 1


def test_batches_are_a_permutation_that_changes_with_epoch_and_seed() -> None:
    batches = epoch_batches(3, 1, 103, 10)
    assert batches.shape == (10, 10)
    assert len(set(batches.flatten().tolist())) == 100
    assert batches.max() < 103
    assert torch.equal(batches, epoch_batches(3, 1, 103, 10))
    assert not torch.equal(batches, epoch_batches(3, 2, 103, 10))
    assert not torch.equal(batches, epoch_batches(4, 1, 103, 10))


def test_every_epoch_and_process_has_noise_of_its_own() -> None:
    drawn = set()
    with torch.random.fork_rng(devices=[]):
        for path in [(0, 1, 0), (0, 1, 1), (0, 2, 0), (1, 1, 0)]:
            seed_epoch(*path)
            first = torch.rand(1).item()
            seed_epoch(*path)
            assert torch.rand(1).item() == first
            drawn.add(first)
    assert len(drawn) == 4
