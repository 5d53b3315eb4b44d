"""The sign of standardised latent weights."""

from torch import Tensor

from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.straight_through import as_signs, straight_through
from bnnkit.nn.weight_rules.weight_rule import WeightRule, register_weight_rule

_EPSILON = 1e-8


@register_weight_rule
class Standardised(WeightRule):
    r"""`standardised`: $w = \mathrm{sign}(v)$, $v = (\eta - m) / s$ in each output channel.

    m and s are the mean and the deviation of the channel. The gradient passes unchanged to v, and
    from v to $\eta$ by the chain rule. So it has mean 0 and is orthogonal to v in each channel,
    and it is inversely proportional to the deviation. Weight decay on $\eta$ therefore sets the
    effective learning rate. Latent weights start normal with deviation 0.1; SGD with momentum 0.9,
    learning rate 0.1 and weight decay 5e-4 trains well.

    The deployed weights are $\mathrm{sign}(\eta - m)$.

    References:
        Qin et al., Forward and Backward Information Retention for Accurate Binary Neural Networks
        (IR-Net), CVPR 2020, https://arxiv.org/abs/1909.10788, without its scales.
    """

    name = "standardised"

    def forward(self, latent: Tensor, noise: Noise) -> Tensor:
        """Compute the signs."""
        difference = centred(latent)
        # The sign is taken before the division, which may round to -0.
        signs = as_signs(difference.detach() >= 0, latent.dtype)
        return straight_through(difference / deviation(difference), signs, _identity)

    def deployed_latent(self, latent: Tensor) -> Tensor:
        """Subtract the mean over each output channel from the latent weights."""
        return centred(latent)


def centred(latent: Tensor) -> Tensor:
    """Subtract the mean over each output channel from latent weights."""
    return latent - latent.mean(_within_channel(latent), keepdim=True)


def deviation(difference: Tensor) -> Tensor:
    """Compute the root mean square over each output channel, plus a small constant."""
    square = difference.square().mean(_within_channel(difference), keepdim=True)
    return square.sqrt() + _EPSILON


def _within_channel(latent: Tensor) -> list[int]:
    """Return all axes except the first; for a vector, its only axis."""
    return list(range(1, latent.dim())) or [0]


def _identity(standardised: Tensor) -> float:
    return 1.0
