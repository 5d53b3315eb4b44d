"""Local expectations: the gradient from the exact effect of every single flip."""

import torch
from torch import Tensor

from bnnkit.nn.base.noise import Noise
from bnnkit.nn.estimators.with_loss import (
    Loss,
    drawn,
    losses_of,
    noise_with_values,
    with_gradient,
)


def local_expectations(loss: Loss, a: Tensor, *, noise: str | Noise = "logistic") -> Tensor:
    r"""Loss of sampled signs, with the gradient $x_i F'(a_i)\,(L(x) - L(x_{\downarrow i}))$.

    It is unbiased. $x_{\downarrow i}$ is x with the sign i flipped, so the loss is evaluated once,
    and once more for each unit. `st` replaces the difference by its
    linearisation. For one layer the estimator is also known as RAM, the GO gradient and shallow
    PSA.

    Args:
        loss: A function from signs (N, ...) to losses (N,).
        a: The logits of one stochastic layer, (N, ...): P(x = +1) = F(a).
        noise: A noise or its name.

    Returns:
        The loss of each example, (N,). Its gradient in `a` is the estimate; its gradients in
        parameters of the loss are the usual ones.

    Raises:
        UsageError: If the noise is unknown or "none", or the loss does not return (N,).

    References:
        Titsias & Lazaro-Gredilla, Local Expectation Gradients for Black Box Variational Inference,
        NeurIPS 2015; Shekhovtsov & Yanush, GCPR 2021, equation 6.
    """
    noise = noise_with_values("local-expectations", noise)
    x = drawn(a, noise)
    losses = losses_of("local-expectations", loss, x)
    effects = torch.zeros_like(x)
    with torch.no_grad():
        for unit in range(x[0].numel()):
            flipped = x.clone()
            flipped.view(len(x), -1)[:, unit] *= -1
            flipped_losses = losses_of("local-expectations", loss, flipped)
            effects.view(len(x), -1)[:, unit] = losses - flipped_losses
    return with_gradient(losses, a, x * noise.pdf(a.detach()) * effects)
