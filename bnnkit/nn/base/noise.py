"""Noises: distributions whose cdf F(a) is the probability of the sign +1.

Each noise is scaled so that F'(0) = 1/2; then the Jacobian 2F'(a) of `Sign` is 1 at a = 0
(Shekhovtsov & Yanush, GCPR 2021, appendix D.3, "Initialization").
"""

from abc import ABC, abstractmethod
from typing import TypeVar

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.nn.base import arguments
from bnnkit.nn.base.registry import Registry

# uniform_ gives multiples of 2**-24 from 0 to 1 - 2**-24. Half a step instead of 0 keeps every
# quantile finite.
_SMALLEST_UNIFORM = 2.0**-25


class Noise(ABC):
    """A distribution of $z$, symmetric around 0, with cdf $F$ and $F'(0) = 1/2$.

    All methods work elementwise, on floating-point tensors of any shape, and keep dtype and
    device. To add a noise of your own, subclass, set `name`, write `cdf`, `pdf` and `quantile`,
    and decorate the class with `register_noise`.
    """

    name: str

    @abstractmethod
    def cdf(self, x: Tensor) -> Tensor:
        r"""$F(x) = P(z \le x)$, in [0, 1]."""

    @abstractmethod
    def pdf(self, x: Tensor) -> Tensor:
        """$F'(x)$, the density."""

    @abstractmethod
    def quantile(self, p: Tensor) -> Tensor:
        """$F^{-1}(p)$, for p in (0, 1)."""

    def sample(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw independent z, one for each element of `like`.

        Args:
            like: Determines shape, device and precision.
            generator: The source of random numbers, on the same device; None is torch's default.

        Returns:
            The shape of `like`, in float64 if `like` is float64, else in float32. bfloat16 has too
            few values in (0, 1) for the frequencies to follow F.
        """
        dtype = torch.promote_types(like.dtype, torch.float32)
        u = torch.empty_like(like, dtype=dtype).uniform_(generator=generator)
        return self.quantile(u.clamp_(min=_SMALLEST_UNIFORM))

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


N = TypeVar("N", bound=Noise)

NOISES: Registry[Noise] = Registry(
    "a noise",
    Noise,  # type: ignore[type-abstract]  # only its members are made
    register_with="register_noise",
)


def register_noise(noise: type[N]) -> type[N]:
    """Register a noise under its `name` for layers, models and configurations; a class decorator.

    Raises:
        UsageError: If the class has no name, or the name belongs to another noise.
    """
    return NOISES.register(noise)


def get_noise(noise: str | Noise) -> Noise:
    """Return the noise with a name; a `Noise` is returned unchanged.

    "NAME*S", such as "logistic*0.15", is the noise NAME times S.

    Raises:
        UsageError: If the name is unknown, or the scale is not a positive number.
    """
    if isinstance(noise, str) and "*" in noise:
        name, _, scale = noise.rpartition("*")
        try:
            factor = float(scale)
        except ValueError as error:
            raise UsageError(
                f"expected a noise NAME*SCALE such as logistic*0.15, got {noise!r}"
            ) from error
        return Scaled(get_noise(name), factor)
    return NOISES.get(noise)


class Scaled(Noise):
    """Another noise z times a scale s, with cdf $F(x / s)$, for deployment with less noise.

    Its density at 0 is $1 / (2s)$, not 1/2.

    Args:
        noise: The noise z; any except "none".
        scale: The scale s, above 0.

    Raises:
        UsageError: If the scale is not a positive number, or there is no noise to scale.
    """

    def __init__(self, noise: Noise, scale: float) -> None:
        if not isinstance(noise, Noise):
            raise UsageError(f"expected a noise to scale, got {noise!r}")
        if arguments.real("a noise scale", scale) == 0:
            raise UsageError(f"expected a noise scale above 0, got {scale}")
        if noise.name == "none":
            raise UsageError(
                "expected a noise to scale, got none; choose a noise such as logistic"
            )
        self.noise, self.scale = noise, float(scale)
        self.name = f"{noise.name}*{self.scale!r}"

    def cdf(self, x: Tensor) -> Tensor:
        """$F(x / s)$."""
        return self.noise.cdf(x / self.scale)

    def pdf(self, x: Tensor) -> Tensor:
        """$F'(x / s) / s$."""
        return self.noise.pdf(x / self.scale) / self.scale

    def quantile(self, p: Tensor) -> Tensor:
        """$s F^{-1}(p)$."""
        return self.scale * self.noise.quantile(p)

    def __repr__(self) -> str:
        return f"Scaled({self.noise!r}, {self.scale!r})"


@register_noise
class Logistic(Noise):
    r"""$F(z) = \sigma(2z) = 1 / (1 + e^{-2z})$."""

    name = "logistic"

    def cdf(self, x: Tensor) -> Tensor:
        r"""$F(x) = \sigma(2x)$."""
        return torch.sigmoid(2 * x)

    def pdf(self, x: Tensor) -> Tensor:
        r"""$F'(x) = 2\,\sigma(2x)\,\sigma(-2x)$."""
        return 2 * torch.sigmoid(2 * x) * torch.sigmoid(-2 * x)

    def quantile(self, p: Tensor) -> Tensor:
        r"""$F^{-1}(p) = \frac{1}{2} \log\frac{p}{1 - p}$."""
        return torch.logit(p) / 2


@register_noise
class Uniform(Noise):
    """Density 1/2 on [-1, 1]."""

    name = "uniform"

    def cdf(self, x: Tensor) -> Tensor:
        """$F(x) = (x + 1) / 2$, clipped to [0, 1]."""
        return ((x + 1) / 2).clamp(0, 1)

    def pdf(self, x: Tensor) -> Tensor:
        r"""$F'(x) = 1/2$ where $|x| \le 1$, else 0."""
        return (x.abs() <= 1).to(x.dtype) / 2

    def quantile(self, p: Tensor) -> Tensor:
        """$F^{-1}(p) = 2p - 1$."""
        return 2 * p - 1


@register_noise
class Triangular(Noise):
    r"""Density $\max(0, (2 - |z|) / 4)$, on [-2, 2]."""

    name = "triangular"

    def cdf(self, x: Tensor) -> Tensor:
        r"""$F(x) = (2 + x)^2 / 8$ for $-2 \le x \le 0$, and $F(x) = 1 - F(-x)$."""
        tail = (2 - x.abs()).clamp(min=0) ** 2 / 8
        return torch.where(x < 0, tail, 1 - tail)

    def pdf(self, x: Tensor) -> Tensor:
        r"""$F'(x) = \max(0, (2 - |x|) / 4)$."""
        return (2 - x.abs()).clamp(min=0) / 4

    def quantile(self, p: Tensor) -> Tensor:
        r"""$F^{-1}(p) = \sqrt{8p} - 2$ for $p \le 1/2$, and $F^{-1}(p) = -F^{-1}(1 - p)$."""
        distance = 2 - torch.sqrt(8 * torch.minimum(p, 1 - p))
        return torch.where(p < 0.5, -distance, distance)


@register_noise
class Deterministic(Uniform):
    """No noise: z = 0.

    Signs and weights are then deterministic in training too. cdf, pdf and quantile are those of
    `Uniform`; they serve as the proxy, so that the backward pass is the clipped identity of
    Hubara et al., Binarized Neural Networks, NeurIPS 2016, https://arxiv.org/abs/1602.02830.
    """

    name = "none"

    def sample(self, like: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Return zeros of the shape of `like`."""
        return torch.zeros_like(like, dtype=torch.promote_types(like.dtype, torch.float32))
