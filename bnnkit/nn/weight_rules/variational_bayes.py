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
    """`variational-bayes`: as `mirror-descent`, then eta <- eta / (1 + 2 lr lambda).

    lambda = prior_scale / N. It optimises the expected loss plus lambda KL(q || 1/2), the
    variational bound with a factorized posterior q of the weights, by composite mirror descent:
    the loss is linearised, the KL term is not. With the loss a mean over examples, N is the number
    of all training examples. (In natural parameters 2 eta, whose step is epsilon = 2 lr, this is
    equation 54; the step sizes differ by the 2 of our noise, F(eta) = sigmoid(2 eta).)

    It needs no weight decay of the optimizer, and works with any optimizer.

    Args:
        n_examples: N.
        prior_scale: 1 is the bound; less decreases the regularisation.

    References:
        Shekhovtsov & Yanush, GCPR 2021, Proposition 2 and equation 54.
    """

    name = "variational-bayes"

    def __init__(self, n_examples: int = 50_000, prior_scale: float = 1.0) -> None:
        super().__init__()
        self.n_examples = count(self.name, "n_examples", n_examples)
        self.prior_scale = number(self.name, "prior_scale", prior_scale, least=0)

    @torch.no_grad()
    def after_step(self, latent: Tensor, lr: float | Tensor) -> None:
        """The exact step of the KL term."""
        latent.div_(1 + 2 * lr * self.prior_scale / self.n_examples)

    def check(self, noise: Noise) -> None:
        """Refuse noises for which the divergence is not Kullback and Leibler's.

        Raises:
            UsageError: The noise is not logistic.
        """
        if noise.name != "logistic":
            raise UsageError(
                f"expected the weight noise logistic with the rule {self.name}, whose prior is a "
                f"KL divergence in its natural parameters, got {noise.name!r}; for it use "
                "mirror-descent with a weight decay"
            )
