"""PSA: the exact effect of every single flip in chains of binary linear maps and signs."""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.estimators.estimator import Estimator, check_density, register_estimator


class Inflow(NamedTuple):
    """How a sign's input was computed in this pass: a = slope * linear(x, w) + constant.

    Attributes:
        x: The input signs of the linear map, (N, ...), which receive the gradient.
        w: The weights, +-1.
        slope: The factor of the batch norm for each channel, (O,); its statistics are treated as
            constants.
        linear: The linear map as a function of x and w, (N, O, ...), padded with zeros.
    """

    x: Tensor
    w: Tensor
    slope: Tensor
    linear: Callable[[Tensor, Tensor], Tensor]


class Source(Protocol):
    """Provides the inflow of a sign."""

    def take(self) -> Inflow | None:
        """Return the inflow of this pass; None if no earlier signs need a gradient."""


@register_estimator
class Psa(Estimator):
    r"""`psa`, path sample-analytic: $x = \mathrm{sign}(a - z)$; backward, exact single flips.

    Parameters before the sign get $dL/da = 2F'(a)\,dL/dx$, as with `st`. The input signs y of the
    linear map get, instead of $\sum_j w_{ji}\,2F'(a_j)\,dL/dx_j$,

    $$dL/dy_i = y_i \sum_j (F(a_j) - F(a_j - 2 w_{ji} y_i))\,dL/dx_j,$$

    the effect of flipping $y_i$ on the probability of $x_j$. So it is unbiased for a chain of two
    layers of signs and a linear loss, where `st` is not. In deeper chains it neglects products of
    two or more flips. The part after the last sign is linearised, as by `st`; use
    `local_expectations` for that part if it matters.

    Because $w_{ji} y_i$ is $\pm 1$, the sum is two transposed linear maps: one with the weights
    and the mean slope $(F(a + 2s) - F(a - 2s)) / 2$ of each unit, and one with ones and its
    curvature. This costs about one additional backward pass, and no ratio convolution.

    The estimator needs a chain of layers. Networks of `bnnkit.models` with such a chain connect it
    themselves; connect others with `bnnkit.nn.connect_psa`.

    References:
        Shekhovtsov, Yanush & Flach, Path Sample-Analytic Gradient Estimators for Stochastic Binary
        Networks, NeurIPS 2020, https://arxiv.org/abs/2006.03143.
    """

    name = "psa"
    follows_distribution = True

    def __init__(self) -> None:
        self._source: Source | None = None

    @classmethod
    def connected(cls, source: Source) -> "Psa":
        """Create the estimator of one sign in a chain."""
        psa = cls()
        psa._source = source
        return psa

    def jacobian(self, a: Tensor, noise: Noise) -> Tensor:
        """2F'(a), for the parameters."""
        return 2 * noise.pdf(a)

    def propagate(self, a: Tensor, x: Tensor, z: Tensor | None, noise: Noise) -> Tensor:
        """Return the sign; parameters get its gradient by `a`, earlier signs by the inflow."""
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
        """Check that the noise has a density.

        Raises:
            UsageError: If the noise is "none" or has no density.
        """
        if noise.name == "none":
            raise UsageError(
                "expected signs with noise for psa, which averages over their flips, got noise "
                "none; use the estimator deterministic-st, or noise logistic"
            )
        check_density(self.name, noise)


class _WithFlips(torch.autograd.Function):
    """Returns x; sends the gradient to x and, through the inflow, to the signs before."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, before: Tensor, a: Tensor, inflow: Inflow, noise: Noise
    ) -> Tensor:
        ctx.save_for_backward(a)
        # Detached, because the inflow's x would hold the graph of which this is a node.
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
    """Apply the transposed linear map to a gradient; only the shape of x is used."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        y = linear(x, weight)
    return torch.autograd.grad(y, x, gradient)[0]
