"""What a stochastic artifact needs beside the graph: tables of noise, draws of weights."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bnnkit.artifact.sample import MOST_SAMPLES, check_seed
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.nn.noise import Noise, get_noise
from bnnkit.nn.quantile_table import quantile_table


@dataclass(frozen=True, kw_only=True)
class NoiseModel:
    """How the noise of a network goes into its artifact.

    Attributes:
        noises: The noises of its modules, by name.
        weight_draws: M, the number of stored draws of the weights; 0 for the maximum-probability
            weights alone.
        seed: Of these draws.

    Raises:
        UsageError: The number of draws or the seed is out of its range.
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
        """The noise of that name: a module's own, or a registered one."""
        return self.noises.get(name) or get_noise(name)

    def table(self, name: str) -> NDArray[np.float32]:
        """The quantiles of a noise, (4096,)."""
        return quantile_table(self.noise(name)).numpy()

    def draw_weights(
        self, latent: NDArray[np.float32], noise: str, number: int
    ) -> NDArray[np.int8]:
        """M draws of w ~ 2 Bernoulli(F(latent)) - 1.

        Args:
            latent: Of any shape.
            noise: Its name.
            number: Of the weights in the network; others have other random numbers.

        Returns:
            (M, *shape), values in {-1, +1}; equal for equal arguments and seed.
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
        UnsupportedError: Two noises of one name have other quantiles.
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
        noise = getattr(module, "noise", None)
        if isinstance(noise, Noise):
            yield noise
