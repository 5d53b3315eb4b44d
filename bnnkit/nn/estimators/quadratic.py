"""A squared error that is multilinear in signs, so that `st` is unbiased for it."""

from torch import Tensor


def multilinear_squared_error(x: Tensor, weight: Tensor, target: Tensor) -> Tensor:
    r"""$|Wx - y|^2 - \sum_i x_i^2 |W_i|^2 + \sum_i |W_i|^2$, with $W_i$ the columns of W.

    For signs it equals $|Wx - y|^2$. Because it has no terms $x_i^2$, the straight-through
    estimator of its gradient is unbiased, unlike that of $|Wx - y|^2$.

    Args:
        x: Signs, (N, n).
        weight: W, (K, n).
        target: y, (N, K) or (K,).

    Returns:
        The error of each example, (N,).

    References:
        Shekhovtsov & Yanush, GCPR 2021, Proposition B.3.
    """
    norms = weight.square().sum(0)
    error = (x @ weight.T - target).square().sum(1)
    return error - (x.square() - 1) @ norms
