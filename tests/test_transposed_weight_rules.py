"""Weight rules of binary transposed convolutions work per output channel, as those of others."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.nn.latent_weights import latent_weights
from bnnkit.verification.verify import verify

GROUPS = (1, 2)
OWN_STEP = ("binary-connect", "bop", "proxquant")


def exchanged(weight: Tensor, groups: int) -> Tensor:
    """(I, O/G, ...) as (O, I/G, ...), group by group and channel by channel."""
    channels = [
        part[:, output] for part in weight.chunk(groups, 0) for output in range(weight.shape[1])
    ]
    return torch.stack(channels)


def layer_and_twin(rule: str, groups: int) -> tuple[Any, Any]:
    """A transposed layer, and an ordinary one with the same weights for each output channel."""
    torch.manual_seed(0)
    transposed = bnn.BinaryConvTranspose2d(4, 6, 3, groups=groups, weight_rule=rule)
    twin = bnn.BinaryConv2d(4, 6, 3, groups=groups, weight_rule=rule)
    with torch.no_grad():
        # Means that differ from channel to channel on both axes.
        means = torch.randn(4, 1, 1, 1) + torch.randn(1, 6 // groups, 1, 1)
        transposed.latent.add_(0.1 * means)
        twin.latent.copy_(exchanged(transposed.latent, groups))
    for layer in (transposed, twin):
        weight, latent = next(latent_weights(layer))
        weight.rule.prepare(weight.outputs_first(latent))
    return transposed, twin


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("rule", ["standardised", "recu"])
@pytest.mark.parametrize("training", [True, False])
def test_weights_and_gradients_are_those_of_each_channel(
    rule: str, groups: int, training: bool
) -> None:
    transposed, twin = (layer.train(training) for layer in layer_and_twin(rule, groups))
    weight, wanted = (layer.binary_weight(layer.latent) for layer in (transposed, twin))
    assert torch.equal(exchanged(weight, groups), wanted)
    upstream = torch.randn_like(weight)
    weight.backward(upstream)
    wanted.backward(exchanged(upstream, groups))
    torch.testing.assert_close(exchanged(transposed.latent.grad, groups), twin.latent.grad)
    means = exchanged(transposed.latent.detach(), groups).flatten(1).mean(1)
    signs = exchanged(transposed.latent.detach(), groups) - means.view(-1, 1, 1, 1) >= 0
    assert torch.equal(exchanged(weight.detach(), groups) > 0, signs)


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("rule", OWN_STEP)
def test_rules_complete_a_step(rule: str, groups: int) -> None:
    layers = layer_and_twin(rule, groups)
    for layer in layers:
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.5)
        bnn.attach_rules(layer, optimizer)
        before = layer.latent.detach().clone()
        (layer.binary_weight(layer.latent) * 3).sum().backward()
        optimizer.step()
        assert not torch.equal(layer.latent, before)
    transposed, twin = layers
    assert torch.equal(exchanged(transposed.latent, groups), twin.latent)
    deployed = [layer.eval().binary_weight(layer.latent) for layer in layers]
    assert torch.equal(exchanged(deployed[0], groups), deployed[1])


@pytest.mark.parametrize("groups", GROUPS)
def test_binarized_layers_have_them_too(groups: int) -> None:
    torch.manual_seed(0)
    layer = nn.ConvTranspose1d(4, 6, 3, groups=groups)
    with torch.no_grad():
        layer.weight += torch.randn(4, 1, 1)
    real = exchanged(layer.weight.detach(), groups)
    bnn.binarize_(nn.Sequential(layer), ["0"], weight_rule="standardised")
    centred = real - real.mean((1, 2), keepdim=True)
    for training in (True, False):
        found = exchanged(layer.train(training).weight.detach(), groups)
        assert torch.equal(found > 0, centred >= 0)


def test_a_bop_layer_comes_back_from_its_state() -> None:
    layer = bnn.BinaryConvTranspose2d(4, 6, 3, groups=2, weight_rule="bop").eval()
    again = bnn.BinaryConvTranspose2d(4, 6, 3, groups=2, weight_rule="bop").eval()
    again.load_state_dict(layer.state_dict())
    x = torch.randn(2, 4, 5, 5).sign()
    assert torch.equal(layer(x), again(x))


@pytest.mark.slow
@pytest.mark.parametrize("rule", ["standardised", "bop"])
def test_files_have_the_signs_of_each_channel(rule: str) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    transposed, _ = layer_and_twin(rule, 2)
    model = nn.Sequential(
        *(nn.Conv2d(3, 4, 1), bnn.Sign(noise="none"), transposed, nn.BatchNorm2d(6)),
        *(bnn.Sign(noise="none"), bnn.BinaryConv2d(6, 5, 3)),
    ).eval()
    x = torch.randn(3, 3, 5, 6)
    assert verify(from_torch(model, x[:1]), x.numpy(), network=model).is_equal
