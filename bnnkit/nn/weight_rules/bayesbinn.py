"""BayesBiNN: the Bayesian learning rule for Bernoulli weights, with a relaxation."""

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.options import count, number
from bnnkit.nn.base.straight_through import straight_through_at_value
from bnnkit.nn.weight_rules.weight_rule import WeightRule, register_weight_rule

_EPSILON = 1e-10


@register_weight_rule
class BayesBiNN(WeightRule):
    r"""`bayesbinn`: $w = \tanh((\eta - z) / T)$, backward $dL/d\eta = s\,dL/dw$, and decay.

    $s = \frac{1 - w^2 + \delta}{T (1 - \tanh^2(\eta) + \delta)}$ with $\delta = 10^{-10}$, and
    after each step $\eta \leftarrow (1 - \varepsilon / N)\,\eta$ with the learning rate
    $\varepsilon$. It aims to optimise the variational bound of `variational-bayes` by natural
    gradients, through Gumbel-softmax; the authors' step is $\varepsilon / N$. At the temperature
    of their large experiments, 1e-10, w is $\pm 1$ and s is $1 / (1 - \tanh^2(\eta))$. This is an
    identity straight-through step that is larger for weights with large $|\eta|$, and no longer
    Bayesian (Shekhovtsov & Yanush, appendix A). The deployed weights are $\mathrm{sign}(\eta)$.

    Args:
        temperature: T.
        n_examples: N, the number of training examples, for a loss that is a mean over examples.

    References:
        Meng, Bachmann & Khan, Training Binary Neural Networks using the Bayesian Learning Rule,
        ICML 2020, https://arxiv.org/abs/2002.10778.
    """

    name = "bayesbinn"
    default_noise = "logistic"

    def __init__(self, temperature: float = 1e-10, n_examples: int = 50_000) -> None:
        super().__init__()
        self.temperature = number(self.name, "temperature", temperature, above=0)
        self.n_examples = count(self.name, "n_examples", n_examples)

    def forward(self, latent: Tensor, noise: Noise) -> Tensor:
        """Compute relaxed signs."""
        z = noise.sample(latent)
        weight = torch.tanh((latent.detach() - z) / self.temperature).to(latent.dtype)
        return straight_through_at_value(latent, weight, self._scale)

    def _scale(self, latent: Tensor, weight: Tensor) -> Tensor:
        spread = self.temperature * (1 - torch.tanh(latent).square() + _EPSILON)
        return (1 - weight.square() + _EPSILON) / spread

    @torch.no_grad()
    def after_step(self, latent: Tensor, lr: float | Tensor) -> None:
        """Decay the latent weights towards the uniform prior."""
        latent.mul_(1 - lr / self.n_examples)

    def check(self, noise: Noise) -> None:
        """Check that the noise is logistic, in whose natural parameters the rule is defined.

        Raises:
            UsageError: If the noise is not logistic.
        """
        if noise.name != "logistic":
            raise UsageError(
                f"the rule {self.name} expects the weight noise logistic, got {noise.name!r}; "
                "the rule mirror-descent takes any noise"
            )
