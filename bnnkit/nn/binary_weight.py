"""Binary weights from real-valued latent ones, by a weight rule."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bnnkit.nn.base.noise import Noise, get_noise
from bnnkit.nn.weight_rules import WeightRule, get_weight_rule


class BinaryWeight(nn.Module):
    """Weights by the rule in training; the signs that the rule deploys in evaluation.

    By default the rule is mirror descent: w ~ 2 Bernoulli(F(eta)) - 1 in training, the
    maximum-probability value in evaluation, and dL/deta = 2 dL/dw.

    Input eta: any shape, any floating-point dtype. Output w: same shape and dtype, +1 and -1
    (between them in training where the rule says so). The module has no parameters; it also
    serves as a parametrization (`torch.nn.utils.parametrize`) of the weight of any layer.

    Args:
        noise: The noise of the weights, or its name; "none" makes them deterministic in training
            too. None is the rule's own.
        rule: A weight rule, or its name.
        options: Of the rule that is named.

    Raises:
        UsageError: The noise, the rule or an option is unknown, or they do not go together.
    """

    def __init__(
        self,
        noise: str | Noise | None = None,
        rule: str | WeightRule = "mirror-descent",
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.rule = get_weight_rule(rule, options)
        self.noise = get_noise(self.rule.default_noise if noise is None else noise)
        self.rule.check(self.noise)

    def forward(self, latent: Tensor) -> Tensor:
        """Weights, of the shape of the latent ones."""
        if torch.onnx.is_in_onnx_export():
            return self._mark(latent)
        weight: Tensor
        if self.training:
            weight = self.rule(latent, self.noise)
        else:
            weight = self.rule.deployed_weight(latent)
        return weight

    def _mark(self, latent: Tensor) -> Tensor:
        # `deployed_latents` has put numbers with the deployed signs into the latent weights.
        return torch.onnx.ops.symbolic(
            "bnnkit::BinaryWeight",
            (latent,),
            {"noise": self.noise.name},
            dtype=latent.dtype,
            shape=latent.shape,
            version=1,
        )

    def initial(self, shape: tuple[int, ...]) -> Tensor:
        """Latent weights to start from."""
        latent = self.rule.initial(shape, self.noise)
        self.rule.prepare(latent)
        return latent

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Latent weights to start from, for the real-valued weights of a layer."""
        latent = self.rule.initial_from(weight)
        self.rule.prepare(latent)
        return latent

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"noise={self.noise.name!r}"
