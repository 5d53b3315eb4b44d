"""Weight rules: how they are chosen, what they refuse, how they update, what they deploy."""

import pytest
import torch
from torch import nn

import bnnkit.nn as bnn
from bnnkit.errors import UsageError
from bnnkit.export import export_onnx
from bnnkit.nn.binary_weight import BinaryWeight
from bnnkit.nn.latent_weights import deployed_latents, latent_weights
from bnnkit.nn.weight_rules import WEIGHT_RULES, WeightRule, get_weight_rule
from bnnkit.runtime import load

RULES = WEIGHT_RULES.names


def layer(rule: str, **options: object) -> bnn.BinaryLinear:
    torch.manual_seed(0)
    return bnn.BinaryLinear(9, 5, weight_rule=rule, weight_rule_options=options)


@pytest.mark.parametrize("rule", RULES)
def test_the_deployed_weights_are_signs_and_the_same_in_evaluation(rule: str) -> None:
    linear = layer(rule)
    weight = linear.eval().binary_weight(linear.latent)
    deployed = linear.binary_weight.rule.deployed_latent(linear.latent)
    assert torch.equal(weight, torch.where(deployed >= 0, 1.0, -1.0))


@pytest.mark.parametrize("rule", RULES)
def test_a_gradient_arrives_in_training_and_in_evaluation(rule: str) -> None:
    for training in (True, False):
        linear = layer(rule).train(training)
        linear(torch.ones(2, 9)).square().sum().backward()
        assert linear.latent.grad is not None
        assert linear.latent.grad.isfinite().all()


@pytest.mark.parametrize("rule", RULES)
def test_a_file_has_the_deployed_weights(
    rule: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("rule") / "model.onnx"
    network = nn.Sequential(nn.Linear(4, 9), bnn.Sign("none"), layer(rule), nn.ReLU()).eval()
    before = [p.clone() for p in network.parameters()]
    x = torch.randn(20, 4)
    export_onnx(network, x, path)
    assert all(torch.equal(p, q) for p, q in zip(network.parameters(), before, strict=True))
    torch.testing.assert_close(
        torch.tensor(load(path).run(x.numpy())), network(x).detach(), rtol=0, atol=0
    )


def test_latent_parameters_are_found_once_in_layers_and_parametrizations() -> None:
    linear = layer("binary-connect")
    model = nn.Sequential(linear, bnn.binarize_(nn.Sequential(nn.Linear(5, 3)), ["0"]), linear)
    assert [tuple(p.shape) for p in bnn.latent_parameters(model)] == [(5, 9), (3, 5)]
    assert bnn.latent_parameters(model)[0] is linear.latent
    assert [w.rule.name for w, _ in latent_weights(model)] == ["binary-connect", "mirror-descent"]


def test_the_deployed_signs_may_differ_from_those_of_the_latent_weights() -> None:
    linear = layer("standardised")
    with torch.no_grad():
        linear.latent.add_(1)
    before = linear.latent.clone()
    with deployed_latents(linear):
        assert torch.equal(linear.latent, before - before.mean(1, keepdim=True))
    assert torch.equal(linear.latent, before)


def test_standardised_gradient_is_that_of_the_standardised_latents() -> None:
    linear = layer("standardised")
    upstream = torch.randn(5, 9)
    (linear.binary_weight(linear.latent) * upstream).sum().backward()
    latent = linear.latent.detach().double().requires_grad_()
    centred = latent - latent.mean(1, keepdim=True)
    standardised = centred / centred.std(1, correction=0, keepdim=True)
    (expected,) = torch.autograd.grad(standardised, latent, upstream.double())
    torch.testing.assert_close(linear.latent.grad, expected.float())


def test_binary_connect_is_the_identity_and_clips_after_each_step() -> None:
    linear = layer("binary-connect")
    upstream = torch.randn(5, 9)
    (linear.binary_weight(linear.latent) * upstream).sum().backward()
    assert linear.latent.grad is not None
    assert torch.equal(linear.latent.grad, upstream)
    optimizer = torch.optim.SGD([linear.latent], lr=1.0)
    handle = bnn.attach_rules(linear, optimizer)
    expected = (linear.latent.detach() - upstream).clamp(-1, 1)
    optimizer.step()
    assert torch.equal(linear.latent, expected)
    handle.remove()
    optimizer.step()
    assert linear.latent.abs().max() > 1


def test_binary_connect_without_limit_leaves_the_latent_weights() -> None:
    linear = layer("binary-connect", limit=None)
    with torch.no_grad():
        linear.latent.add_(3)
    bnn.after_step(linear, torch.optim.SGD([linear.latent], lr=1.0))
    assert linear.latent.min() > 2


@pytest.mark.parametrize(
    ("rule", "options", "noise", "message"),
    [
        ("gauss", {}, None, "expected a weight rule out of .*got 'gauss'; add your own"),
        ("binary-connect", {"limits": 1}, None, "options of binary-connect out of limit, got"),
        ("binary-connect", {"limit": -1.0}, None, "limit of binary-connect .* above 0, got -1"),
        ("binary-connect", {}, "logistic", "noise none or uniform .*use the rule mirror-descent"),
        ("standardised", {}, "logistic", "no noise of the weights with the rule standardised"),
    ],
)
def test_wrong_choices_are_refused(
    rule: str, options: dict[str, object], noise: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        bnn.BinaryLinear(3, 4, noise=noise, weight_rule=rule, weight_rule_options=options)
    model = nn.Sequential(nn.Linear(3, 4))
    with pytest.raises(UsageError, match=message):
        bnn.binarize_(
            model, ["0"], weight_noise=noise, weight_rule=rule, weight_rule_options=options
        )
    assert type(model[0]) is nn.Linear


def test_a_users_rule_is_known_by_its_name_and_each_layer_has_its_own() -> None:
    @bnn.register_weight_rule
    class Own(WeightRule):
        name = "own-rule"

        def forward(self, latent: torch.Tensor, noise: bnn.Noise) -> torch.Tensor:
            return latent.tanh()

    first, second = (bnn.BinaryLinear(3, 4, weight_rule=rule) for rule in ("own-rule", Own()))
    assert isinstance(first.binary_weight.rule, Own)
    assert isinstance(second.binary_weight.rule, Own)
    assert first.binary_weight.rule is not second.binary_weight.rule
    assert "own-rule" in str(first)
    with pytest.raises(UsageError, match="belongs to"):

        @bnn.register_weight_rule
        class Other(Own):
            name = "standardised"


def test_the_noises_that_the_documentation_states() -> None:
    logistic = {"mirror-descent", "variational-bayes", "bayesbinn"}
    for name in RULES:
        other = "uniform" if name == "projected-gradient" else "none"
        assert get_weight_rule(name).default_noise == ("logistic" if name in logistic else other)
    weight = bnn.binarize_(nn.Sequential(nn.Linear(2, 2)), ["0"]).get_submodule("0")
    assert next(m for m in weight.modules() if isinstance(m, BinaryWeight)).noise.name == "none"
