"""The noise of a stochastic artifact: tables of quantiles, and draws of the weights."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bnnkit.artifact.format.sample import MOST_SAMPLES, check_seed
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.nn.base.noise import Noise, get_noise
from bnnkit.nn.quantile_table import quantile_table


@dataclass(frozen=True, kw_only=True)
class NoiseModel:
    """The noises of a network, and how many draws of its weights the artifact stores.

    Attributes:
        noises: The noises of its modules, by name.
        weight_draws: M, the number of stored draws of the weights; 0 stores only the
            maximum-probability weights.
        seed: The seed of these draws.

    Raises:
        UsageError: The number of draws or the seed is out of range.
    """

    noises: Mapping[str, Noise] = field(default_factory=dict)
    weight_draws: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if not 0 <= self.weight_draws <= MOST_SAMPLES:
            raise UsageError(
                f"expected 0 to {MOST_SAMPLES} draws of the weights, got {self.weight_draws}"
            )

    def noise(self, name: str) -> Noise:
        """The noise of that name: a noise of a module, or a registered one."""
        return self.noises.get(name) or get_noise(name)

    def table(self, name: str) -> NDArray[np.float32]:
        """The table of quantiles of a noise, float32 (4096,)."""
        return quantile_table(self.noise(name)).numpy()

    def draw_weights(
        self, latent: NDArray[np.float32], noise: str, number: int
    ) -> NDArray[np.int8]:
        """Draws M samples of the weights w ~ 2 Bernoulli(F(latent)) - 1.

        Args:
            latent: Latent weights of any shape.
            noise: The name of their noise.
            number: The number of this weight in the network; each has its own random numbers.

        Returns:
            (M, *shape), values in {-1, +1}; a function of the arguments and the seed only.
        """
        uniform = np.random.Generator(np.random.PCG64([self.seed, number]))
        probability = self.noise(noise).cdf(torch.from_numpy(latent.astype(np.float64))).numpy()
        draws = np.empty((self.weight_draws, *latent.shape), np.int8)
        for draw in draws:
            draw[...] = np.where(uniform.random(latent.shape) < probability, 1, -1)
        return draws


def noises_of(model: nn.Module) -> dict[str, Noise]:
    """The noises of a model's modules, by name.

    Raises:
        UnsupportedError: Two noises of the same name have different quantiles.
    """
    found: dict[str, Noise] = {}
    for noise in _noises(model):
        known = found.setdefault(noise.name, noise)
        if known is not noise and not torch.equal(quantile_table(known), quantile_table(noise)):
            raise UnsupportedError(
                f"expected one noise of the name {noise.name!r}, got two with other quantiles; "
                "give each its own name"
            )
    return found


def _noises(model: nn.Module) -> Iterator[Noise]:
    for module in model.modules():
        for attribute in ("noise", "sampled_noise"):
            noise = getattr(module, attribute, None)
            if isinstance(noise, Noise) and noise.name != "none":
                yield noise
