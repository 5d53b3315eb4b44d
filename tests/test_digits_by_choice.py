"""Every estimator and every weight rule trains the network of `bnnkit quickstart`.

Most of them need only some of its 30 epochs.
"""

from io import StringIO
from pathlib import Path

import pytest
import torch
from rich.console import Console

from bnnkit.cli.quickstart import CONFIG
from bnnkit.nn.estimators import ESTIMATORS
from bnnkit.nn.weight_rules import WEIGHT_RULES
from bnnkit.training import load_checkpoint, train
from bnnkit.training.config import parse_config

OPTIONS = {
    # The pool of the convnet is between a binary layer and a sign.
    "psa": ["model.name=mlp", "model.width=256"],
    # Its proxy is much narrower than the logistic noise: 0.88 with it, 0.98 with beta 2.
    "swish-sign": ["model.noise=none"],
    # At 0.01 most weights are still uncertain after these few steps: 0.85.
    "bayesbinn": ["lr=0.03"],
}
"""Settings that differ from the quickstart's, with reasons."""
EPOCHS, MOST_EPOCHS = 12, 30
SLOW = {
    *("approx-sign", "identity-st", "polynomial", "reste"),
    *("bayesbinn", "mirror-descent", "projected-gradient", "variational-bayes"),
}
"""What needs all epochs: these are at 0.72 to 0.88 after 10 of 10, the others at 0.92 or more."""


def accuracy(choice: str, out: Path, *overrides: str) -> float:
    epochs = MOST_EPOCHS if choice in SLOW else EPOCHS
    once = [f"{key}={epochs}" for key in ("epochs", "eval_every", "eval_samples_every")]
    config = parse_config(CONFIG, [*once, *overrides, *OPTIONS.get(choice, [])])
    result = train(config, out, console=Console(file=StringIO()))
    model = load_checkpoint(out).model
    with torch.no_grad():
        assert model(torch.zeros(1, 1, 8, 8, dtype=torch.uint8)).isfinite().all()
    return result.accuracy


@pytest.mark.exhaustive
@pytest.mark.usefixtures("one_thread", "undrawn")
@pytest.mark.parametrize("estimator", ESTIMATORS.names)
def test_estimator(estimator: str, tmp_path: Path) -> None:
    assert accuracy(estimator, tmp_path / "run", f"model.estimator={estimator}") >= 0.9


@pytest.mark.exhaustive
@pytest.mark.usefixtures("one_thread", "undrawn")
@pytest.mark.parametrize("rule", WEIGHT_RULES.names)
def test_weight_rule(rule: str, tmp_path: Path) -> None:
    overrides = ["model.weight_noise=null", f"model.weight_rule={rule}"]
    assert accuracy(rule, tmp_path / "run", *overrides) >= 0.9
