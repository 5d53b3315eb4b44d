"""The stochastic sign activation."""

import torch
from torch import Tensor, nn

from bnnkit.errors import UsageError
from bnnkit.nn.noise import Noise, get_noise
from bnnkit.nn.straight_through import straight_through

_ESTIMATORS = ("st",)


class Sign(nn.Module):
    """x = sign(a - z), the noise z drawn in training and 0 in evaluation; x = +1 iff a - z >= 0.

    So sign(0) = +1, for -0.0 too, and in training P(x = +1) = F(a). The gradient is the
    straight-through estimator, dL/da = 2F'(a) dL/dx, in training and in evaluation; with the noise
    drawn it is unbiased where the loss is multilinear in x.

    Input a: any shape, any floating-point dtype. Output x: same shape and dtype, +1 and -1.

    Args:
        noise: A noise or its name.
        estimator: "st", straight-through.

    Raises:
        UsageError: The noise or the estimator is unknown; in forward, the input is of integers.

    References:
        Shekhovtsov & Yanush, Reintroducing Straight-Through Estimators as Principled Methods for
        Stochastic Binary Networks, GCPR 2021, Algorithm 1.
    """

    def __init__(self, noise: str | Noise = "logistic", estimator: str = "st") -> None:
        super().__init__()
        if estimator not in _ESTIMATORS:
            raise UsageError(
                f"expected an estimator out of {', '.join(_ESTIMATORS)}, got {estimator!r}"
            )
        self.noise = get_noise(noise)
        self.estimator = estimator

    def forward(self, a: Tensor) -> Tensor:
        """Signs of a - z."""
        if not a.is_floating_point():
            raise UsageError(
                f"expected a floating-point input of Sign, got {a.dtype}; convert it with .float()"
            )
        if torch.onnx.is_in_onnx_export():
            return torch.onnx.ops.symbolic(
                "bnnkit::Sign",
                (a,),
                {"noise": self.noise.name},
                dtype=a.dtype,
                shape=a.shape,
                version=1,
            )
        z = self.noise.sample(a) if self.training else 0
        x = torch.where(a >= z, 1.0, -1.0).to(a.dtype)
        return straight_through(a, x, self._jacobian)

    def _jacobian(self, a: Tensor) -> Tensor:
        return 2 * self.noise.pdf(a)

    def extra_repr(self) -> str:
        """The arguments, for print(model)."""
        return f"noise={self.noise.name!r}, estimator={self.estimator!r}"
