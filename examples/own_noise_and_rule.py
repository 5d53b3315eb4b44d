"""Add a noise and a weight rule of your own, check them, train with them, and export.

python examples/own_noise_and_rule.py [FILE.onnx]

In a configuration they are `model.noise: laplace` and `model.weight_rule: majority`, if the
module that registers them also makes the network: `model.name: MODULE:FUNCTION`.
"""

import sys

import torch
from torch import Tensor, nn

import bnnkit.nn as bnn
import bnnkit.runtime as rt
from bnnkit.data import load
from bnnkit.export import export_onnx


@bnn.register_noise
class Laplace(bnn.Noise):
    """The Laplace distribution, whose tails are those of the logistic one with a sharp peak.

    It is symmetric around 0, and its density at 0 is 1/2, as that of every noise here, so that
    the gradient of a sign at 0 is 1.
    """

    name = "laplace"

    def cdf(self, x: Tensor) -> Tensor:
        return 0.5 + 0.5 * x.sign() * (1 - (-x.abs()).exp())

    def pdf(self, x: Tensor) -> Tensor:
        return 0.5 * (-x.abs()).exp()

    def quantile(self, p: Tensor) -> Tensor:
        return -(p - 0.5).sign() * torch.log1p(-(2 * p - 1).abs())


@bnn.register_weight_rule
class Majority(bnn.WeightRule):
    """The sign of a latent weight, or of the majority of its filter where it is undecided.

    A latent weight with |eta| below `margin` takes the sign of the mean over its output channel.
    """

    name = "majority"

    def __init__(self, margin: float = 0.01) -> None:  # keyword arguments are options
        super().__init__()
        self.margin = margin

    def forward(self, latent: Tensor, noise: bnn.Noise) -> Tensor:
        """Weights in training: the deployed signs; the gradient passes straight through."""
        return self.deployed_weight(latent)

    def deployed_latent(self, latent: Tensor) -> Tensor:
        """Real numbers whose signs are deployed: evaluation, and files, follow the same rule."""
        mean = latent.mean(list(range(1, latent.dim())), keepdim=True)
        return torch.where(latent.abs() < self.margin, mean.expand_as(latent), latent)

    @torch.no_grad()
    def after_step(self, latent: Tensor, lr: float | Tensor) -> None:
        """Keep latent weights where they can still change sign; `attach_rules` calls this."""
        latent.clamp_(-1, 1)


def check_noise(noise: bnn.Noise) -> None:
    """The density is the derivative of the cdf, and the quantile its inverse."""
    x = torch.linspace(-4, 4, 801, dtype=torch.float64).requires_grad_()
    (derivative,) = torch.autograd.grad(noise.cdf(x).sum(), x)
    away = x.detach().abs() > 1e-9  # the density has a kink at 0, where autograd takes sign(0) = 0
    torch.testing.assert_close(derivative[away], noise.pdf(x.detach())[away])
    torch.testing.assert_close(noise.quantile(noise.cdf(x)), x)
    torch.testing.assert_close(noise.pdf(torch.zeros(1)), torch.tensor([0.5]))


def check_gradient(noise: str) -> None:
    """The estimator st is exact for a loss that is linear in the signs: E[x] = 2F(a) - 1."""
    a = torch.linspace(-2, 2, 5).requires_grad_()
    bnn.Sign(noise=noise).train()(a).sum().backward()
    density = bnn.get_noise(noise).pdf(a.detach())
    torch.testing.assert_close(a.grad, 2 * density)


def main() -> None:
    path = sys.argv[1] if len(sys.argv) > 1 else "own_noise.onnx"
    check_noise(Laplace())
    check_gradient("laplace")

    torch.manual_seed(0)
    digits = load("digits")
    signs = {"noise": "laplace", "estimator": "st"}
    model = nn.Sequential(
        bnn.IntegerConv2d(1, 32, 3, padding=1, zero_point=digits.zero_point or [0]),
        *(nn.BatchNorm2d(32), bnn.Sign(**signs)),
        bnn.BinaryConv2d(
            32, 64, 3, padding=1, weight_rule="majority", weight_rule_options={"margin": 0.02}
        ),
        *(nn.BatchNorm2d(64), nn.MaxPool2d(2), bnn.Sign(**signs)),
        *(nn.Flatten(), nn.Linear(64 * 4 * 4, 10)),
    )
    x, y = torch.from_numpy(digits.x_train), torch.from_numpy(digits.y_train)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    bnn.attach_rules(model, optimizer)  # for after_step
    for batch in torch.randint(len(x), (200, 128)):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
        optimizer.step()

    # The file holds the signs that the rule deploys, and the quantiles of the noise. Any engine
    # draws it, and needs none of the code above.
    export_onnx(model, x[:1], path, calibrate=x)
    network = rt.load(path)
    for samples in (0, 10):
        right = network.predict(digits.x_test, samples=samples).argmax(1) == digits.y_test
        print(f"{samples:2} samples: test accuracy {right.mean():.3f}")


if __name__ == "__main__":
    main()
