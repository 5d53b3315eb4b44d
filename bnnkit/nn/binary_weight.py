"""Stochastic binary weights from real-valued latent ones."""

import torch
from torch import Tensor, nn

from bnnkit.nn.noise import Noise, get_noise
from bnnkit.nn.straight_through import as_signs, straight_through

# theta is kept this far from 0 and 1, so that no latent weight starts at infinity.
_MIN_PROBABILITY = 2.0**-20


class BinaryWeight(nn.Module):
    """Binary weights w ~ 2 Bernoulli(F(eta)) - 1 in training; the likelier value in evaluation.

    A weight is drawn as sign(eta - z), and in evaluation z = 0: w = +1 iff eta >= 0. The gradient
    is dL/deta = 2 dL/dw: a step of gradient descent on the latent weights eta is a step of mirror
    descent in the probabilities theta = F(eta). The factor 2 belongs to the +-1 code.

    Input eta: any shape, any floating-point dtype. Output w: same shape and dtype, +1 and -1. The
    module has no parameters; it also serves as a parametrization (`torch.nn.utils.parametrize`) of
    the weight of any layer.

    Args:
        noise: A noise or its name; "none" makes the weights deterministic in training too.

    Raises:
        UsageError: The noise is unknown.

    References:
        Shekhovtsov & Yanush, Reintroducing Straight-Through Estimators as Principled Methods for
        Stochastic Binary Networks, GCPR 2021, Algorithm 2.
    """

    def __init__(self, noise: str | Noise = "logistic") -> None:
        super().__init__()
        self.noise = get_noise(noise)

    def forward(self, latent: Tensor) -> Tensor:
        """Binary weights, of the shape of the latent ones."""
        if torch.onnx.is_in_onnx_export():
            return torch.onnx.ops.symbolic(
                "bnnkit::BinaryWeight",
                (latent,),
                {"noise": self.noise.name},
                dtype=latent.dtype,
                shape=latent.shape,
                version=1,
            )
        z = self.noise.sample(latent) if self.training else 0
        w = as_signs(latent >= z, latent.dtype)
        return straight_through(latent, w, _jacobian)

    def initial(self, shape: tuple[int, ...]) -> Tensor:
        """Latent weights to start from: theta ~ U(0, 1), eta = F^-1(theta) (appendix D.3)."""
        theta = torch.rand(shape).clamp(_MIN_PROBABILITY, 1 - _MIN_PROBABILITY)
        return self.noise.quantile(theta)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Latent weights to start from, for the real-valued weights of a layer.

        eta = weight / (2 rms(weight)): signs and relative sizes are kept. With the logistic noise
        a weight of the size of the root mean square keeps its sign with probability
        sigmoid(1) = 0.73, one of three times that size with 0.95.
        """
        rms = weight.square().mean().sqrt()
        return weight / (2 * rms).clamp(min=torch.finfo(weight.dtype).tiny)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"noise={self.noise.name!r}"


def _jacobian(latent: Tensor) -> float:
    return 2.0
