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
    (with some rules, values between them in training). The module has no parameters. It can
    also be a parametrization (`torch.nn.utils.parametrize`) of the weight of any layer with output
    channels on the first axis. Transposed convolutions have them elsewhere: use `binarize_`.

    Args:
        noise: The noise of the weights, or its name; "none" makes them deterministic in training
            too. None is the default of the rule.
        rule: A weight rule, or its name.
        options: The options of a rule given by name.

    Raises:
        UsageError: If the noise, the rule or an option is unknown, or they cannot be combined.
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
        """Compute weights of the shape of the latent weights."""
        if torch.onnx.is_in_onnx_export():
            return self._mark(latent)
        weight: Tensor
        if self.training:
            weight = self.rule(self.outputs_first(latent), self.noise)
        else:
            weight = self.rule.deployed_weight(self.outputs_first(latent))
        return self.outputs_back(weight)

    def outputs_first(self, weight: Tensor) -> Tensor:
        """Return a weight of the layer as rules take it, (O, I/G, ...)."""
        return weight

    def outputs_back(self, weight: Tensor) -> Tensor:
        """Return a weight (O, I/G, ...) with the axes of the layer."""
        return weight

    def _mark(self, latent: Tensor) -> Tensor:
        # `deployed_latents` has replaced the latent weights by numbers with the deployed signs.
        return torch.onnx.ops.symbolic(
            "bnnkit::BinaryWeight",
            (latent,),
            {"noise": self.noise.name},
            dtype=latent.dtype,
            shape=latent.shape,
            version=1,
        )

    def initial(self, shape: tuple[int, ...]) -> Tensor:
        """Return initial latent weights."""
        like = self.outputs_first(torch.empty(shape, device="meta"))
        latent = self.rule.initial(tuple(like.shape), self.noise)
        self.rule.prepare(latent)
        return self.outputs_back(latent).contiguous()

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Return initial latent weights for the real-valued weights of a layer."""
        latent = self.rule.initial_from(self.outputs_first(weight))
        self.rule.prepare(latent)
        return self.outputs_back(latent)

    def deployed_latent(self, latent: Tensor) -> Tensor:
        """Return real numbers whose signs, with sign(0) = +1, are the deployed weights."""
        return self.outputs_back(self.rule.deployed_latent(self.outputs_first(latent)))

    def after_step(self, latent: Tensor, lr: float | Tensor) -> None:
        """Complete an update in place, after the optimizer changed the latent weights."""
        self.rule.after_step(latent, lr)

    def extra_repr(self) -> str:
        """Return the arguments for print(model)."""
        return f"noise={self.noise.name!r}"
