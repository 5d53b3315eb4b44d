"""Mirror descent on the mean of each weight, which is annealed to +-1 during training."""

from functools import partial

import torch
from torch import Tensor

from bnnkit.nn.base.noise import Noise
from bnnkit.nn.base.options import number
from bnnkit.nn.base.straight_through import straight_through, straight_through_at_value
from bnnkit.nn.weight_rules.scheduled import ScheduledRule, geometric
from bnnkit.nn.weight_rules.weight_rule import register_weight_rule


class _Annealed(ScheduledRule):
    """The sharpness beta grows geometrically from `first_beta` to `last_beta`."""

    def __init__(self, first_beta: float = 1.0, last_beta: float = 1000.0) -> None:
        super().__init__()
        self.first_beta = number(self.name, "first_beta", first_beta, above=0)
        self.last_beta = number(self.name, "last_beta", last_beta, at_least=self.first_beta)

    def current_beta(self) -> Tensor:
        """Return the current sharpness."""
        return geometric(self.first_beta, self.last_beta, self.progress)


@register_weight_rule
class MirrorDescentTanh(_Annealed):
    r"""`md-tanh`: forward $w = \tanh(\beta\eta)$, backward $dL/d\eta = dL/dw$.

    A step of gradient descent on $\eta$ is one of mirror descent in w, with the mirror map whose
    gradient is $\mathrm{artanh}(w) / \beta$: it equals $w \leftarrow (E - 1) / (E + 1)$ with
    $E = \frac{1 + w}{1 - w} \exp(-2\varepsilon\beta\,dL/dw)$ and the learning rate $\varepsilon$,
    but is numerically stable (the authors' MD-tanh-S). Weights in training are between -1 and +1,
    and go to $\pm 1$ as $\beta$ grows. The deployed weights are $\mathrm{sign}(\eta)$.

    Args:
        first_beta: The sharpness at the start.
        last_beta: The sharpness at the end.

    References:
        Ajanthan et al., Mirror Descent View for Neural Network Quantization, AISTATS 2021,
        https://arxiv.org/abs/1910.08237.
    """

    name = "md-tanh"

    def forward(self, latent: Tensor, noise: Noise) -> Tensor:
        """Compute the means of the weights."""
        mean = torch.tanh(self.current_beta() * latent.detach())
        return straight_through(latent, mean.to(latent.dtype), partial(_constant, value=1.0))


@register_weight_rule
class MirrorDescentSoftmax(_Annealed):
    r"""`md-softmax`: forward $w = \tanh(\beta\eta / 2)$, backward $dL/d\eta = 2\,dL/dw$.

    It is $w = p - q$ for $(p, q) = \mathrm{softmax}(\beta u, \beta v)$ over +1 and -1, and
    $\eta = u - v$: a step in u and v that skips the derivative of the softmax (the authors'
    MD-softmax-S) moves $\eta$ by twice $dL/dw$, and is entropic mirror descent in p. Up to the
    step size it is `md-tanh`. Weights in training are between -1 and +1. The deployed weights are
    $\mathrm{sign}(\eta)$.

    Args:
        first_beta: The sharpness at the start.
        last_beta: The sharpness at the end.

    References:
        Ajanthan et al., AISTATS 2021.
    """

    name = "md-softmax"

    def forward(self, latent: Tensor, noise: Noise) -> Tensor:
        """Compute the means of the weights."""
        mean = torch.tanh(self.current_beta() * latent.detach() / 2)
        return straight_through(latent, mean.to(latent.dtype), partial(_constant, value=2.0))


@register_weight_rule
class ProximalMeanField(_Annealed):
    r"""`pmf`: forward $w = \tanh(\beta\eta / 2)$, backward $dL/d\eta = \beta (1 - w^2)\,dL/dw$.

    As `md-softmax`, but the step in u and v uses the derivative of the softmax: gradient descent
    on L at the mean of the weights. The gradient vanishes for means near $\pm 1$, so $\beta$ must
    grow slowly.

    Args:
        first_beta: The sharpness at the start.
        last_beta: The sharpness at the end.

    References:
        Ajanthan et al., Proximal Mean-field for Neural Network Quantization, ICCV 2019,
        https://arxiv.org/abs/1812.04353.
    """

    name = "pmf"

    def forward(self, latent: Tensor, noise: Noise) -> Tensor:
        """Compute the means of the weights."""
        mean = torch.tanh(self.current_beta() * latent.detach() / 2).to(latent.dtype)
        return straight_through_at_value(latent, mean, self._slope)

    def _slope(self, latent: Tensor, mean: Tensor) -> Tensor:
        return self.current_beta() * (1 - mean.square())


def _constant(latent: Tensor, value: float) -> float:
    return value
