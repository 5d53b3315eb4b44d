"""Bop: weights flip when the moving average of their gradient exceeds a threshold."""

import torch
from torch import Tensor

from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.options import number
from bnnkit.nn.base.straight_through import as_signs, straight_through
from bnnkit.nn.weight_rules.weight_rule import WeightRule, register_weight_rule

_NEARLY_ZERO = 1e-12
"""The absolute value of the initial mean gradient, which only has to carry a sign."""


@register_weight_rule
class Bop(WeightRule):
    r"""`bop`: w flips where a moving average m of its gradient exceeds a threshold $\tau$.

    $$m \leftarrow (1 - \gamma) m + \gamma\,dL/dw$$

    and then $w \leftarrow -w$ where $|m| > \tau$ and $\mathrm{sign}(m) = \mathrm{sign}(w)$. Bop
    has no latent weights, but $\eta = -(1 - \gamma) m$ can take their place: a step of plain SGD
    on $\eta$ with learning rate $\gamma$, followed by $\eta \leftarrow (1 - \gamma)\eta$, is the
    update of m. w is the sign of $\eta$, and stays unchanged while $|\eta|$ is below the
    threshold. So use it with `torch.optim.SGD(latent_parameters(model), lr=1e-4)`, without
    momentum and weight decay; other optimizers would filter the gradient twice. The weights are
    stored in a buffer.

    Args:
        threshold: $\tau$.

    References:
        Helwegen et al., Latent Weights Do Not Exist, NeurIPS 2019,
        https://arxiv.org/abs/1906.02107.
    """

    name = "bop"
    weight: Tensor

    def __init__(self, threshold: float = 1e-8) -> None:
        super().__init__()
        self.threshold = number(self.name, "threshold", threshold, at_least=0)
        self.register_buffer("weight", torch.zeros(()))

    def forward(self, latent: Tensor, noise: Noise) -> Tensor:
        """Return the stored weights."""
        return straight_through(latent, self.weight.to(latent.dtype), _identity)

    def deployed_latent(self, latent: Tensor) -> Tensor:
        """Return the stored weights."""
        return self.weight.to(latent.dtype)

    @torch.no_grad()
    def after_step(self, latent: Tensor, lr: float | Tensor) -> None:
        """Complete the update of the mean, and flip weights."""
        latent.mul_(1 - lr)
        is_above = latent.abs() > (1 - lr) * self.threshold
        self.weight.copy_(torch.where(is_above, as_signs(latent >= 0, latent.dtype), self.weight))

    def initial(self, shape: tuple[int, ...], noise: Noise) -> Tensor:
        """Return a mean near 0 whose signs are random weights."""
        return self.initial_from(torch.randn(shape))

    def initial_from(self, weight: Tensor) -> Tensor:
        """Return a mean near 0 with the signs of the weights."""
        return as_signs(weight >= 0, weight.dtype) * _NEARLY_ZERO

    def prepare(self, latent: Tensor) -> None:
        """Store the signs of the latent weights as the weights."""
        self.weight = as_signs(latent.detach() >= 0, latent.dtype)


def _identity(latent: Tensor) -> float:
    return 1.0
