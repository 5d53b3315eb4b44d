"""Estimators of gradients through the sign: how they are chosen, and what they refuse."""

from pathlib import Path
from typing import Any

import pytest
import torch
from marks import exported_marks
from small_models import OTHER
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.errors import ConfigError, UsageError
from bnnkit.models import MODELS, build
from bnnkit.nn.choices import choices
from bnnkit.nn.estimators import ESTIMATORS, Estimator
from bnnkit.nn.weight_rules import WEIGHT_RULES

NAMES = ESTIMATORS.names
NOISES = ["logistic", "uniform", "triangular", "none"]


@pytest.mark.parametrize("noise", NOISES)
def test_deterministic_straight_through(noise: str) -> None:
    """Forward sign(a), backward 2F'(a), in training too; no samples can be drawn."""
    sign = bnn.Sign(noise, estimator="deterministic-st")
    a = torch.linspace(-2, 2, 41).requires_grad_()
    x = sign(a)
    assert torch.equal(x, torch.where(a >= 0, 1.0, -1.0))
    (gradient,) = torch.autograd.grad(x, a, torch.ones(41))
    assert torch.equal(gradient, 2 * bnn.get_noise(noise).pdf(a.detach()))
    assert not sign.is_noisy


@pytest.mark.parametrize("model", MODELS)
def test_every_network_takes_an_estimator_and_a_rule(model: str) -> None:
    options: dict[str, Any] = {"input_shape": (1, 32, 32), "width": 16, **OTHER.get(model, {})}
    if model.endswith("-real"):
        options["weights"] = "binary"
    network = build(
        model,
        n_classes=2,
        zero_point=None,
        input_shape=options.pop("input_shape"),
        **options,
        estimator="deterministic-st",
        weight_rule="binary-connect",
        weight_rule_options={"limit": 0.5},
    )
    signs = [m for m in network.modules() if isinstance(m, bnn.Sign)]
    rules = [m.rule for m in network.modules() if isinstance(m, bnn.BinaryWeight)]
    assert rules
    wanted = set() if model.endswith("-real") else {"deterministic-st"}
    assert {sign.estimator.name for sign in signs} == wanted
    assert [getattr(rule, "limit", None) for rule in rules] == [0.5] * len(rules)


def test_a_users_estimator_is_known_by_its_name() -> None:
    @bnn.register_estimator
    class Own(Estimator):
        name = "own-estimator"

        def __init__(self, slope: float = 1.0) -> None:
            self.slope = slope

        def jacobian(self, a: Tensor, noise: bnn.Noise) -> float:
            return self.slope

    model = bnn.binarize_(
        nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)),
        ["2"],
        signs=["1"],
        estimator="own-estimator",
        estimator_options={"slope": 3.0},
    )
    assert isinstance(model[1], bnn.Sign)
    a = torch.zeros(5, requires_grad=True)
    model[1](a).sum().backward()
    assert a.grad is not None
    assert a.grad.tolist() == [3.0] * 5
    assert "own-estimator" in str(model[1])


class Discrete(bnn.Logistic):
    """-1 or +1: it has no density."""

    name = "discrete"

    def pdf(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"estimator": "gauss"}, "an estimator out of approx-sign, .*got 'gauss'; add your own"),
        ({"estimator": "arm"}, r"several draws of one layer.*estimators\.arm with the loss"),
        ({"estimator": "adaste"}, "a rule for weights.*use weight_rule=adaste; in layers use st"),
        ({"noise": Discrete()}, "a noise with a density for st, .*use clipped-identity"),
        ({"estimator": "st", "slope": 1}, "options of st out of none, got 'slope'"),
    ],
)
def test_wrong_choices_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        bnn.Sign(**arguments)  # type: ignore[arg-type]


def test_a_network_refuses_them_when_it_is_built() -> None:
    with pytest.raises((UsageError, ConfigError), match="use weight_rule=adaste"):
        build("mlp", input_shape=(4,), n_classes=2, zero_point=None, estimator="adaste")


@pytest.mark.parametrize("name", NAMES)
def test_the_file_has_the_noise_that_training_drew(name: str) -> None:
    model = nn.Sequential(nn.ReLU(), bnn.Sign("logistic", estimator=name))
    (mark,) = exported_marks(model, torch.zeros(2, 3))
    is_drawn = name != "deterministic-st"
    expected = {"noise": "logistic", "call": 0} if is_drawn else {"noise": "none"}
    assert mark.attributes == expected


def test_choices_in_words() -> None:
    model = nn.Sequential(
        bnn.Sign("uniform", estimator="gumbel-softmax", temperature=0.5),
        bnn.BinaryLinear(3, 4, weight_rule="binary-connect"),
        bnn.Sign("uniform"),
    )
    assert choices(model) == {
        "noise": "uniform",
        "estimator": "gumbel-softmax (temperature 0.5), st",
        "weight_noise": "none",
        "weight_rule": "binary-connect (limit 1.0)",
    }
    assert choices(nn.ReLU()) == {}


CONTRACT = {
    *("st", "deterministic-st", "identity-st", "clipped-identity", "approx-sign", "tanh"),
    *("swish-sign", "reste", "gumbel-softmax", "zgr", "psa", "polynomial"),
}
RULES_OF_CONTRACT = {
    *("mirror-descent", "projected-gradient", "variational-bayes", "binary-connect", "adaste"),
    *("md-tanh", "md-softmax", "proxquant", "bayesbinn", "bop", "standardised", "recu"),
}


def test_the_names_that_are_promised_and_documented() -> None:
    assert set(NAMES) >= CONTRACT
    assert set(WEIGHT_RULES.names) >= RULES_OF_CONTRACT
    text = (Path(__file__).parents[1] / "docs" / "estimators.md").read_text()
    functions = ("reinforce", "arm", "disarm", "local_expectations")
    for name in {*NAMES, *WEIGHT_RULES.names, *functions}:
        assert f"| `{name}`" in text, name


def test_a_rule_is_no_estimator_and_says_so() -> None:
    for rule in WEIGHT_RULES.names:
        with pytest.raises(UsageError, match=f"weight_rule={rule}"):
            bnn.Sign(estimator=rule)
