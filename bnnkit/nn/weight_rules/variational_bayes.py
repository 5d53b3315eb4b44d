"""Variational Bayesian learning of binary weights, as mirror descent with latent decay."""

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.options import count, number
from bnnkit.nn.weight_rules.mirror_descent import MirrorDescent
from bnnkit.nn.weight_rules.weight_rule import register_weight_rule


@register_weight_rule
class VariationalBayes(MirrorDescent):
    r"""`variational-bayes`: `mirror-descent`, then $\eta$ is divided by $1 + 2\varepsilon\lambda$.

    Here $\varepsilon$ is the learning rate and $\lambda$ = `prior_scale` / N. The rule optimises
    the expected loss plus $\lambda\,\mathrm{KL}(q, \frac{1}{2})$, the variational bound with a
    factorized posterior q of the weights, by composite mirror descent: the loss is linearised, the
    KL term is not. If the loss is a mean over examples, N is the number of all training examples.
    (In natural parameters $2\eta$, with the step $2\varepsilon$, this is equation 54; the factor 2
    comes from $F(\eta) = \sigma(2\eta)$.)

    It works with any optimizer and needs no weight decay.

    Args:
        n_examples: The number of training examples, N.
        prior_scale: 1 is the bound; smaller values decrease the regularisation.

    References:
        Shekhovtsov & Yanush, GCPR 2021, Proposition 2 and equation 54.
    """

    name = "variational-bayes"

    def __init__(self, n_examples: int = 50_000, prior_scale: float = 1.0) -> None:
        super().__init__()
        self.n_examples = count(self.name, "n_examples", n_examples)
        self.prior_scale = number(self.name, "prior_scale", prior_scale, at_least=0)

    @torch.no_grad()
    def after_step(self, latent: Tensor, lr: float | Tensor) -> None:
        """Take the exact step of the KL term."""
        latent.div_(1 + 2 * lr * self.prior_scale / self.n_examples)

    def check(self, noise: Noise) -> None:
        """Check that the divergence of the noise is the Kullback-Leibler divergence.

        Raises:
            UsageError: If the noise is not logistic.
        """
        if noise.name != "logistic":
            raise UsageError(
                f"the prior of the rule {self.name} is for logistic noise: expected the weight "
                f"noise logistic, got {noise.name!r}; the rule mirror-descent with a weight decay "
                "takes any noise"
            )
