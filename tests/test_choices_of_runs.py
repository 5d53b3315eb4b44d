"""Estimators and weight rules in configurations, runs, checkpoints and on the command line."""

from io import StringIO
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from rich.console import Console

from bnnkit.cli.group import bnnkit_command
from bnnkit.data import load
from bnnkit.errors import ConfigError
from bnnkit.nn.weight_rules import WEIGHT_RULES, Bop
from bnnkit.training import load_checkpoint, train
from bnnkit.training.config import Config, parse_config
from bnnkit.training.history import read_history

QUIET = Console(file=StringIO())


def config(*overrides: str) -> Config:
    text = (
        "{data: {name: digits}, model: {name: mlp, width: 16}, epochs: 2, batch_size: 256, "
        "eval_samples: 0, recalibrate: 2}"
    )
    return parse_config(text, overrides)


@pytest.mark.slow
def test_a_run_keeps_estimator_rule_and_options(tmp_path: Path) -> None:
    overrides = (
        *("model.estimator=gumbel-softmax", "model.estimator_options={temperature: 0.5}"),
        *("model.weight_rule=adaste", "model.weight_rule_options.alpha=0.02"),
    )
    train(config(*overrides), tmp_path / "run", console=QUIET)
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.choices["estimator"] == "gumbel-softmax (temperature 0.5)"
    assert checkpoint.choices["weight_rule"].startswith("adaste (alpha 0.02, mu 0.01, ")
    final = read_history(tmp_path / "run" / "metrics.jsonl")[-1]
    assert {key: final[key] for key in checkpoint.choices} == checkpoint.choices
    described = CliRunner().invoke(bnnkit_command, ["info", str(tmp_path / "run")]).output
    assert "estimator:   gumbel-softmax (temperature 0.5)\n" in described


def test_the_command_line_takes_them_in_one_word(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("{data: {name: digits}, model: {name: mlp, width: 8}, epochs: 1}")
    arguments = ["train", str(file), "model.estimator=zgr", "model.weight_rule=recu"]
    result = CliRunner().invoke(bnnkit_command, [*arguments, "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    assert load_checkpoint(tmp_path / "run").choices["estimator"] == "zgr"
    arguments[-1] = "model.weight_rule=zgr"
    result = CliRunner().invoke(bnnkit_command, [*arguments, "--out", str(tmp_path / "no")])
    assert result.exit_code == 2
    assert "expected a weight rule out of adaste, " in result.stderr


@pytest.mark.parametrize("rule", ["bop", "standardised", "adaste", "proxquant"])
@pytest.mark.slow
def test_a_run_that_is_stopped_continues_to_the_same_network(tmp_path: Path, rule: str) -> None:
    wanted = config(f"model.weight_rule={rule}", "model.noise=none", "model.estimator=tanh")
    whole = tmp_path / "whole"
    train(wanted, whole, console=QUIET)

    class Stop(Console):
        def print(self, *objects: object, **options: object) -> None:
            raise KeyboardInterrupt

    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        # The first message comes after the last epoch, before the network is finished.
        train(wanted, stopped, console=Stop(file=StringIO()))
    train(wanted, stopped, console=QUIET)
    one, other = (load_checkpoint(out).model for out in (whole, stopped))
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_a_checkpoint_has_the_weights_that_bop_keeps(tmp_path: Path) -> None:
    train(config("model.weight_rule=bop"), tmp_path / "run", console=QUIET)
    model = load_checkpoint(tmp_path / "run").model
    kept = [m.weight for m in model.modules() if isinstance(m, Bop)]
    assert kept
    assert all(set(weight.flatten().tolist()) == {-1.0, 1.0} for weight in kept)
    images = torch.tensor(load("digits").x_test[:9])
    assert model(images).isfinite().all()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.estimator=arm", r"model mlp .*estimators\.arm with the loss"),
        ("model.estimator=adaste", "use weight_rule=adaste"),
        ("model.weight_noise=logistic", "no noise of the weights with the rule standardised"),
        ("model.estimator_options={temperature: 1}", "options of st out of none"),
        ("model.weight_rule_options={limit: 1}", "options of standardised out of none"),
    ],
)
def test_what_a_run_refuses_before_it_begins(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        train(config("model.weight_rule=standardised", override), tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()


@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")  # torch's
@pytest.mark.parametrize("rule", WEIGHT_RULES.names)
@pytest.mark.slow
def test_rules_compile_and_read_the_current_schedule(rule: str) -> None:
    import bnnkit.nn as bnn

    torch.compiler.reset()
    layer = bnn.BinaryLinear(8, 4, weight_rule=rule)
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    x = torch.randn(3, 8).sign()
    for progress in (0.0, 0.5, 1.0):
        bnn.set_progress(layer, progress)
        torch.manual_seed(0)
        y = compiled(x)
        torch.manual_seed(0)
        torch.testing.assert_close(y, layer(x))
        y.sum().backward()
    assert layer.latent.grad is not None
