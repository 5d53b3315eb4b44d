"""PSA: exact single flips through chains of binary layers and signs."""

from copy import deepcopy
from itertools import product

import pytest
import torch
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.errors import UsageError
from bnnkit.models import build
from bnnkit.nn.estimators import Psa

DOUBLE = torch.float64


class Chosen(bnn.Logistic):
    """Draws the noise that makes the signs the chosen ones."""

    signs = torch.ones(1)

    def sample(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return -1e9 * self.signs.expand_as(like).to(like.dtype)


def chain(norm: bool) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(2, 4),
        bnn.Sign(Chosen(), estimator="psa"),
        bnn.BinaryLinear(4, 3, noise="none"),
        nn.BatchNorm1d(3) if norm else nn.Identity(),
        bnn.Sign("logistic", estimator="psa"),
        nn.Linear(3, 1),
    ).double()


def without_identity(network: nn.Sequential) -> nn.Sequential:
    return nn.Sequential(*(m for m in network if not isinstance(m, nn.Identity)))


@pytest.mark.parametrize("norm", [True, False])
def test_two_layers_and_a_linear_loss_are_unbiased(norm: bool) -> None:
    """By enumeration over the first signs; the second ones do not change the estimate."""
    network = without_identity(chain(norm)).eval()
    first, hidden_layer, head = network[0], network[2], network[-1]
    assert isinstance(first, nn.Linear)
    assert isinstance(hidden_layer, bnn.BinaryLinear)
    after_sums = network[3] if norm else nn.Identity()
    if isinstance(after_sums, nn.BatchNorm1d):
        assert after_sums.running_var is not None
        after_sums.running_var.fill_(2.0)
        after_sums.weight.data = torch.tensor([1.0, -0.7, 0.4], dtype=DOUBLE)
    bnn.connect_psa(network)
    x = torch.tensor([[0.3, -0.6]], dtype=DOUBLE)
    noise = bnn.get_noise("logistic")
    outcomes = [torch.tensor(o, dtype=DOUBLE) for o in product((-1.0, 1.0), repeat=4)]

    def expected(hidden: Tensor) -> Tensor:
        """The mean output for given first signs."""
        w = torch.where(hidden_layer.latent >= 0, 1.0, -1.0).to(DOUBLE)
        mean: Tensor = head(2 * noise.cdf(after_sums(hidden @ w.T)) - 1).sum()
        return mean

    a = network[0](x)[0]
    total = sum(noise.cdf(a * o).prod() * expected(o[None]) for o in outcomes)
    (exact,) = torch.autograd.grad(torch.as_tensor(total), first.bias)
    estimate = torch.zeros_like(exact)
    network[1].train()
    for outcome in outcomes:
        Chosen.signs = outcome
        (one,) = torch.autograd.grad(network(x).sum(), first.bias)
        estimate += noise.cdf(a.detach() * outcome).prod() * one
    torch.testing.assert_close(estimate, exact)


def test_convolution_is_the_linear_map_that_it_is() -> None:
    """The flips of a 3x3 convolution with padding, one by one."""
    torch.manual_seed(1)
    conv = bnn.BinaryConv2d(
        4, 6, 3, padding=1, stride=2, groups=2, noise="none", bias=True, scale="learned"
    )
    assert conv.scale is not None
    with torch.no_grad():
        conv.scale.value.copy_(torch.randn(6))
    network = nn.Sequential(
        nn.Conv2d(1, 4, 1),
        bnn.Sign(estimator="psa"),
        conv,
        nn.BatchNorm2d(6),
        bnn.Sign(estimator="psa"),
    )
    bnn.connect_psa(network)
    y = (torch.rand(2, 4, 5, 5) < 0.5).float().mul(2).sub(1).requires_grad_()
    upstream = torch.randn(2, 6, 3, 3)
    (got,) = torch.autograd.grad(network[2:](y), y, upstream)
    cdf = bnn.get_noise("logistic").cdf
    with torch.no_grad():
        sums = conv(y)
        var = sums.var((0, 2, 3), correction=0)
        mean = sums.mean((0, 2, 3))

        def norm(c: Tensor) -> Tensor:
            scale: Tensor = (var.view(-1, 1, 1) + 1e-5).rsqrt()
            normed: Tensor = (c - mean.view(-1, 1, 1)) * scale
            return normed

        expected = torch.zeros_like(y)
        for index in product(*map(range, y.shape)):
            flipped = y.clone()
            flipped[index] *= -1
            change = cdf(norm(sums)) - cdf(norm(conv(flipped)))
            expected[index] = y[index] * (change * upstream).sum()
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_parameters_of_the_last_binary_layer_have_the_gradient_of_st() -> None:
    def gradients(estimator: str) -> list[Tensor]:
        torch.manual_seed(2)
        network = build(
            "mlp",
            input_shape=(6,),
            n_classes=3,
            zero_point=None,
            width=8,
            depth=3,
            estimator=estimator,
            weight_noise="none",
        )
        network(torch.randn(32, 6)).square().sum().backward()
        return [p.grad for p in network.parameters() if p.grad is not None]

    st, psa = gradients("st"), gradients("psa")
    assert len(st) == len(psa)
    equal = [torch.allclose(p, q) for p, q in zip(st, psa, strict=True)]
    assert equal[-5:] == [True] * 5, "last binary layer, its norm, and the classifier"
    assert not any(equal[:4]), "what lies before earlier signs"


def test_a_copy_watches_its_own_layers() -> None:
    network = without_identity(chain(True))
    bnn.connect_psa(network)
    copy = deepcopy(network)
    Chosen.signs = torch.ones(1)
    copy(torch.randn(5, 2, dtype=DOUBLE)).sum().backward()
    first, copied = network[0], copy[0]
    assert isinstance(first, nn.Linear)
    assert isinstance(copied, nn.Linear)
    assert copied.bias.grad is not None
    assert copied.bias.grad.any()
    assert first.bias.grad is None
    with torch.no_grad():
        assert network(torch.randn(5, 2, dtype=DOUBLE)).isfinite().all()


def test_what_is_no_chain_is_refused() -> None:
    for name, found in (("convnet", "a MaxPool2d"), ("resnet18", "a part of BinaryResidual")):
        with pytest.raises(UsageError, match=f"psa, got {found}; use st or zgr"):
            build(name, input_shape=(1, 8, 8), n_classes=2, zero_point=None, estimator="psa")
    with pytest.raises(UsageError, match=r"got nothing"):
        bnn.connect_psa(nn.Sequential(bnn.Sign(estimator=Psa())))
    with pytest.raises(UsageError, match=r"call connect_psa\(model\), or use zgr"):
        bnn.Sign(estimator="psa")(torch.zeros(2, 3))
    with pytest.raises(UsageError, match="expected signs with noise for psa"):
        bnn.Sign("none", estimator="psa")


def test_it_goes_with_autocast() -> None:
    network = build("mlp", input_shape=(6,), n_classes=3, zero_point=None, estimator="psa")
    with torch.autocast("cpu", torch.bfloat16):
        y = network(torch.randn(16, 6))
    y.float().square().sum().backward()
    gradients = [p.grad for p in network.parameters()]
    assert all(g is not None and g.isfinite().all() and g.any() for g in gradients)


def test_sequences_are_refused() -> None:
    network = nn.Sequential(
        nn.Linear(2, 4),
        bnn.Sign(estimator="psa"),
        bnn.BinaryLinear(4, 3),
        bnn.Sign(estimator="psa"),
    )
    bnn.connect_psa(network)
    with pytest.raises(UsageError, match=r"inputs \(N, I\) of a BinaryLinear .* \(5, 7, 4\)"):
        network(torch.randn(5, 7, 2))
