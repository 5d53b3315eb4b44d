"""Real-valued scales of binary weights, one for each output channel."""

import torch
from torch import Tensor, nn

from bnnkit.nn.base import arguments


class LearnedScale(nn.Module):
    """A parameter for each output channel, initially 1 / sqrt(number of products in a sum).

    References:
        Bulat & Tzimiropoulos, XNOR-Net++, BMVC 2019, https://arxiv.org/abs/1909.13863, with one
        scale per channel.
    """

    def __init__(self, latent: Tensor) -> None:
        super().__init__()
        products = latent[0].numel()
        self.value = nn.Parameter(torch.full((len(latent),), products**-0.5))

    def forward(self, latent: Tensor) -> Tensor:
        """Return the scales, (O,)."""
        return self.value


class MeanAbsoluteScale(nn.Module):
    """mean|eta| over each output channel: the scale with the least |eta - scale sign(eta)|^2.

    Evaluation uses the scales of the last training step.

    References:
        Rastegari et al., XNOR-Net, ECCV 2016, https://arxiv.org/abs/1603.05279.
    """

    value: Tensor

    def __init__(self, latent: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", _mean_absolute(latent.detach()))

    def forward(self, latent: Tensor) -> Tensor:
        """Return the scales, (O,)."""
        if not self.training:
            return self.value
        scale = _mean_absolute(latent)
        self.value.copy_(scale.detach())
        return scale


def _mean_absolute(latent: Tensor) -> Tensor:
    return latent.abs().flatten(1).mean(1)


_SCALES: dict[str, type[LearnedScale] | type[MeanAbsoluteScale]] = {
    "learned": LearnedScale,
    "mean-abs": MeanAbsoluteScale,
}


def channel_scale(name: str, latent: Tensor) -> LearnedScale | MeanAbsoluteScale | None:
    """Create the scales with a name for latent weights (O, ...); None for "none".

    Raises:
        UsageError: If the name is unknown.
    """
    arguments.choice("a scale", name, ("none", *_SCALES))
    return None if name == "none" else _SCALES[name](latent)


def scaled(sums: Tensor, scale: Tensor, bias: Tensor | None, channel_axis: int) -> Tensor:
    """Multiply sums by the scales (O,) and add the bias (O,)."""
    shape = [1] * sums.dim()
    shape[channel_axis] = -1
    product = sums * scale.view(shape)
    return product if bias is None else product + bias.view(shape)
