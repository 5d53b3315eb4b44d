"""The gradient of an expected loss over the signs of three logits, by enumeration."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor

import bnnkit.nn as bnn

NOISES = ["logistic", "uniform", "triangular"]
DOUBLE = torch.float64
A = torch.tensor([0.3, -0.8, 0.1], dtype=DOUBLE)
W = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.7, -1.1]], dtype=DOUBLE)


def all_signs(n: int) -> Tensor:
    return torch.tensor(list(product((-1.0, 1.0), repeat=n)), dtype=DOUBLE)


def probabilities(a: Tensor, noise: str, signs: Tensor) -> Tensor:
    """Of every outcome (M, n), for logits (n,)."""
    return bnn.get_noise(noise).cdf(a * signs).prod(1)


def exact_gradient(loss: Callable[[Tensor], Tensor], a: Tensor, noise: str) -> Tensor:
    """The derivative of the expected loss, by enumeration."""
    a = a.detach().requires_grad_()
    signs = all_signs(len(a))
    (gradient,) = torch.autograd.grad((probabilities(a, noise, signs) * loss(signs)).sum(), a)
    return gradient


def rugged(x: Tensor) -> Tensor:
    """Neither multilinear nor quadratic."""
    return torch.sin(3 * x @ W.T.to(x.dtype)).sum(1) + x.prod(1)
