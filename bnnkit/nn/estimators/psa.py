"""PSA: in chains of binary linear maps and signs, the exact effect of every single flip."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.estimators.estimator import Estimator, check_density, register_estimator


class Inflow(NamedTuple):
    """What a sign's input a was made of in this pass, a = slope * linear(x, w) + constant.

    Attributes:
        x: The signs that the linear map took, (N, ...); the gradient goes there.
        w: The weights, +-1.
        slope: Of the batch norm, for each channel, (O,); its statistics count as constant.
        linear: The linear map as a function of x and w, (N, O, ...), padded with zeros.
    """

    x: Tensor
    w: Tensor
    slope: Tensor
    linear: Callable[[Tensor, Tensor], Tensor]


class Source(Protocol):
    """Where a sign asks for its inflow."""

    def take(self) -> Inflow | None:
        """The inflow of this pass; None where there is none to pass a gradient to."""


@register_estimator
class Psa(Estimator):
    """`psa`, path sample-analytic: forward x = sign(a - z); backward, exact single flips.

    Parameters before the sign get dL/da = 2F'(a) dL/dx, as with `st`. The signs y that the linear
    map took get, in place of sum_j w_ji 2F'(a_j) dL/dx_j,

        dL/dy_i = y_i sum_j (F(a_j) - F(a_j - 2 w_ji y_i)) dL/dx_j,

    the effect of flipping y_i on the probability of x_j; so it is unbiased for a chain of two
    layers of signs and a linear loss, where `st` is not. Of deeper chains only products of two or
    more flips are left out. What follows the last sign is linearised, as by `st`; use
    `local_expectations` for it where it matters.

    As w_ji y_i is +-1, the sum is two transposed linear maps: one with the weights and the mean
    slope (F(a + 2s) - F(a - 2s))/2 of each unit, and one with ones and its curvature. So it costs
    about one backward pass more, and no ratio convolution.

    It needs the chain: networks of `bnnkit.models` that are one connect it, others are connected
    by `bnnkit.nn.connect_psa`.

    References:
        Shekhovtsov, Yanush & Flach, Path Sample-Analytic Gradient Estimators for Stochastic Binary
        Networks, NeurIPS 2020, https://arxiv.org/abs/2006.03143.
    """

    name = "psa"

    def __init__(self) -> None:
        self._source: Source | None = None

    @classmethod
    def connected(cls, source: Source) -> "Psa":
        """The estimator of one sign in a chain."""
        psa = cls()
        psa._source = source
        return psa

    def jacobian(self, a: Tensor, noise: Noise) -> Tensor:
        """2F'(a), for the parameters."""
        return 2 * noise.pdf(a)

    def propagate(self, a: Tensor, x: Tensor, z: Tensor | None, noise: Noise) -> Tensor:
        """The sign; the gradient goes to parameters by `a`, to earlier signs by the inflow."""
        if self._source is None:
            raise UsageError(
                "expected a sign that bnnkit.nn.connect_psa has connected to the layer before it, "
                "for the estimator psa; call connect_psa(model), or use zgr"
            )
        x = super().propagate(a, x, z, noise)
        inflow = self._source.take()
        if inflow is None:
            return x
        y: Tensor = _WithFlips.apply(x, inflow.x, a.detach(), inflow, noise)  # type: ignore[no-untyped-call]
        return y

    def check(self, noise: Noise) -> None:
        """Refuse networks without noise, and noises without density.

        Raises:
            UsageError: As it says.
        """
        if noise.name == "none":
            raise UsageError(
                "expected signs with noise for psa, which averages over their flips, got noise "
                "none; use the estimator deterministic-st, or noise logistic"
            )
        check_density(self.name, noise)


class _WithFlips(torch.autograd.Function):
    """Passes x on; sends the gradient to x, and by the inflow to the signs before."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, before: Tensor, a: Tensor, inflow: Inflow, noise: Noise
    ) -> Tensor:
        ctx.save_for_backward(a)
        # Without its x, which holds the graph that this is a node of.
        ctx.inflow, ctx.noise = inflow._replace(x=before.detach()), noise
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        (a,) = ctx.saved_tensors
        inflow: Inflow = ctx.inflow
        # In bfloat16 the differences of F would have few bits.
        dtype = torch.promote_types(a.dtype, torch.float32)
        a, gradient = a.to(dtype), grads[0].to(dtype)
        slope = 2 * inflow.slope.to(dtype).view(-1, *[1] * (a.dim() - 2))
        at, above, below = (ctx.noise.cdf(b) for b in (a, a + slope, a - slope))
        # F(a) - F(a - 2 s u) for u = w y = +-1 is even + odd * u, and y u is w.
        odd, even = (above - below) / 2, at - (above + below) / 2
        x, w = inflow.x.to(dtype), inflow.w.to(dtype)
        through_weights = _transposed(inflow.linear, x, w, odd * gradient)
        through_ones = _transposed(inflow.linear, x, torch.ones_like(w), even * gradient)
        before = (through_weights + x * through_ones).to(inflow.x.dtype)
        return grads[0], before, None, None, None


def _transposed(
    linear: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, gradient: Tensor
) -> Tensor:
    """The transposed linear map of a gradient; x only gives the shape."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = linear(x, weight)
    return torch.autograd.grad(y, x, gradient)[0]
