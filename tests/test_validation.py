"""Examples that are held out, and the network that did best on them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from bnnkit import data
from bnnkit.errors import ConfigError
from bnnkit.evaluation.metrics import accuracy
from bnnkit.training import evaluate, load_checkpoint, train
from bnnkit.training.config import parse_config
from bnnkit.training.history import read_history
from bnnkit.training.validation import hold_out

CONFIG = "{model: {name: mlp, width: 32}, epochs: 6, batch_size: 64, lr: 0.3, device: cpu}"
QUIET = Console(quiet=True)


def test_a_share_is_held_out_always_the_same() -> None:
    examples, held_out = hold_out(1000, 0.25)
    assert len(held_out) == 250
    assert sorted([*examples, *held_out]) == list(range(1000))
    np.testing.assert_array_equal(hold_out(1000, 0.25)[1], held_out)
    assert set(hold_out(1000, 0.1)[1]) < set(held_out)
    assert hold_out(10, 0)[1].size == 0
    assert 20 < (held_out < 100).sum() < 32  # no matter how the examples are ordered


def test_held_out_examples_are_not_trained_on_and_are_what_is_scored(tmp_path: Path) -> None:
    train(parse_config(CONFIG), tmp_path, console=QUIET)
    digits = data.load("digits")
    _, held_out = hold_out(len(digits.x_train), 0.1)
    final = read_history(tmp_path / "metrics.jsonl")[-1]
    probabilities = evaluate(load_checkpoint(tmp_path).model, digits.x_train[held_out])
    assert accuracy(probabilities, digits.y_train[held_out]) == final["validation_accuracy"]


@pytest.mark.parametrize("keep", ["last", "best"])
def test_the_best_epoch_is_kept(tmp_path: Path, keep: str) -> None:
    train(parse_config(CONFIG, [f"keep={keep}", "recalibrate=0"]), tmp_path, console=QUIET)
    *epochs, final = read_history(tmp_path / "metrics.jsonl")
    reached = [record["validation_accuracy"] for record in epochs]
    best = load_checkpoint(tmp_path / "best.safetensors")
    assert (best.metadata.accuracy, best.metadata.part) == (max(reached), "validation")
    assert final["validation_accuracy"] == (max(reached) if keep == "best" else reached[-1])
    checkpoint = load_checkpoint(tmp_path)
    assert (checkpoint.metadata.accuracy, checkpoint.metadata.part) == (
        final["test_accuracy"],
        "test",
    )
    tensors = [c.model.state_dict() for c in (best, checkpoint)]
    is_same = all(torch.equal(tensors[0][name], tensors[1][name]) for name in tensors[0])
    assert is_same == (keep == "best" or max(reached) > max(reached[:-1]))


def test_the_best_needs_validation_examples(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="keep: best needs validation examples"):
        train(parse_config(CONFIG, ["keep=best", "validation=0"]), tmp_path, console=QUIET)
