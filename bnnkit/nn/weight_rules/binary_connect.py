"""BinaryConnect: the sign of the latent weights, with the identity for its derivative."""

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.options import number
from bnnkit.nn.base.straight_through import as_signs, straight_through
from bnnkit.nn.weight_rules.weight_rule import WeightRule, register_weight_rule


@register_weight_rule
class BinaryConnect(WeightRule):
    r"""`binary-connect`: $w = \mathrm{sign}(\eta)$, $dL/d\eta = dL/dw$, then $\eta$ is clipped.

    With the noise "uniform" the sign is sampled, $w = \mathrm{sign}(\eta - z)$: the stochastic
    variant with the "hard sigmoid". It optimises $L(\mathrm{sign}(\eta))$ with the identity as the
    derivative of the sign. Without clipping it is mirror descent (Algorithm 2) at half the
    learning rate.

    Args:
        limit: After each step $\eta$ is clipped to [-limit, limit]; None disables clipping, for
            instance if weight decay is used instead.

    References:
        Courbariaux, Bengio & David, BinaryConnect, NeurIPS 2015,
        https://arxiv.org/abs/1511.00363.
    """

    name = "binary-connect"

    def __init__(self, limit: float | None = 1.0) -> None:
        super().__init__()
        self.limit = None if limit is None else number(self.name, "limit", limit, above=0)

    def forward(self, latent: Tensor, noise: Noise) -> Tensor:
        """Compute the signs, sampled if there is a noise."""
        return straight_through(
            latent, as_signs(latent >= noise.sample(latent), latent.dtype), _jacobian
        )

    @torch.no_grad()
    def after_step(self, latent: Tensor, lr: float | Tensor) -> None:
        """Clip the latent weights."""
        if self.limit is not None:
            latent.clamp_(-self.limit, self.limit)

    def check(self, noise: Noise) -> None:
        """Check the noise.

        Raises:
            UsageError: If the noise is neither "none" nor "uniform".
        """
        if noise.name not in ("none", "uniform"):
            raise UsageError(
                f"expected the weight noise none or uniform with the rule {self.name}, got "
                f"{noise.name!r}; for other noises use the rule mirror-descent"
            )


def _jacobian(latent: Tensor) -> float:
    return 1.0
