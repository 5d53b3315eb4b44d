"""Sampled signs are distributed as they should be: frequencies, independence, no number twice.

All tests are seeded; the bounds are ones that a right generator passes with the probability said.
"""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.operators.noise import place_of
from bnnkit.errors import UsageError
from bnnkit.nn import Logistic, Sign, get_noise, sampling
from bnnkit.nn.layer_noise import draw

CPU = torch.device("cpu")


class Index(Logistic):
    """The quantile is its own index in the table."""

    def quantile(self, p: Tensor) -> Tensor:
        return 4096 * p - 0.5


def indices(shape: tuple[int, ...], sample: Sample, layer: int = 0) -> NDArray[np.float64]:
    return draw(Index(), shape, sample, layer, CPU).double().numpy()


@pytest.mark.parametrize("name", ["logistic", "uniform", "triangular"])
@pytest.mark.parametrize("over", ["images and positions", "samples"])
def test_frequencies_of_each_unit_follow_the_cdf(name: str, over: str) -> None:
    """Chi-square of 64 units and 1,024,000 draws: above 117 with probability 5e-5."""
    a = torch.linspace(-0.95, 0.95, 64).view(1, 64, 1, 1)
    passes, n = (1, 1000) if over == "images and positions" else (1000, 1)
    sign, plus = Sign(name).eval(), torch.zeros(64)
    for index in range(passes):
        with sampling(Sample(seed=8, index=index)):
            plus += (sign(a.expand(n, 64, 4, 4)) > 0).sum((0, 2, 3))
    p, draws = get_noise(name).cdf(a.flatten()), 16 * n * passes
    assert ((plus - draws * p) ** 2 / (draws * p * (1 - p))).sum() < 117


def test_every_quantile_is_as_frequent() -> None:
    """Chi-square of 4096 bins and 1,048,576 draws: above 4460 with probability 4e-5."""
    counts = np.bincount(indices((256, 64, 8, 8), Sample(seed=9)).astype(int).ravel())
    assert len(counts) == 4096
    assert ((counts - 256) ** 2 / 256).sum() < 4460


Pair = Callable[[], tuple[NDArray[np.float64], NDArray[np.float64]]]


def channels_apart(distance: int) -> Pair:
    """1: two halves of a word; 2: two blocks; 16: two words; 64: two groups; 71: anything."""

    def pair() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        z = indices((64, 320, 8, 8), Sample(seed=10))
        return z[:, :-distance], z[:, distance:]

    return pair


def differing(first: Sample, second: Sample, layers: tuple[int, int] = (0, 0)) -> Pair:
    def pair() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        shape = (256, 64, 8, 8)
        return indices(shape, first, layers[0]), indices(shape, second, layers[1])

    return pair


def neighbours(axis: int) -> Pair:
    def pair() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        z = np.moveaxis(indices((256, 64, 9, 9), Sample(seed=11)), axis, 0)
        return z[:-1], z[1:]

    return pair


PAIRS = {
    **{f"channels {distance} apart": channels_apart(distance) for distance in (1, 2, 16, 64, 71)},
    "rows": neighbours(2),
    "columns": neighbours(3),
    "images": neighbours(0),
    "samples": differing(Sample(seed=12), Sample(seed=12, index=1)),
    "distant samples": differing(Sample(seed=12), Sample(seed=12, index=2**31)),
    "layers": differing(Sample(seed=12), Sample(seed=12), (0, 1)),
    "layer and sample": differing(Sample(seed=12, index=1), Sample(seed=12), (0, 1)),
    "sample and image": differing(Sample(seed=12, index=1), Sample(seed=12, image_offset=1)),
    "seeds": differing(Sample(seed=12), Sample(seed=13)),
    "halves of the seed": differing(Sample(seed=1), Sample(seed=2**32)),
    "antithetic pairs": differing(
        Sample(index=1, antithetic=True), Sample(index=2, antithetic=True)
    ),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
@pytest.mark.slow
def test_neighbours_are_independent(pair: Pair) -> None:
    """About 1e6 pairs: |correlation| above 4.5 / sqrt(n) with probability 7e-6.

    Chi-square of their joint distribution over 8 x 8 bins, 63 degrees of freedom: above 116 with
    probability 5e-5.
    """
    first, second = (z.ravel() for z in pair())
    n = len(first)
    assert n > 900_000
    assert abs(np.corrcoef(first, second)[0, 1]) < 4.5 / n**0.5
    joint = np.bincount((first // 512 * 8 + second // 512).astype(int), minlength=64)
    assert ((joint - n / 64) ** 2 / (n / 64)).sum() < 116


@pytest.mark.parametrize("name", ["logistic", "uniform", "triangular"])
def test_antithetic_samples_are_mirrored(name: str) -> None:
    noise, shape = get_noise(name), (20, 70, 3, 3)
    even, odd = (
        draw(noise, shape, Sample(seed=3, index=index, antithetic=True), 1, CPU)
        for index in (6, 7)
    )
    assert torch.equal(odd, -even)
    assert torch.equal(even, draw(noise, shape, Sample(seed=3, index=3), 1, CPU))


LARGEST_BLOCK = 2**32


@pytest.mark.parametrize("channels", [1, 2, 15, 16, 17, 63, 64, 65, 128, 130, 1000])
@pytest.mark.parametrize("end", ["first", "last"])
def test_no_random_number_serves_two_signs(channels: int, end: str) -> None:
    """At the first positions of a layer and at the last that 2^32 blocks have room for."""
    padded = -(-channels // 64) * 64
    most = LARGEST_BLOCK * 8 // padded  # positions
    first = 0 if end == "first" else most - 70
    p, c = np.arange(first, first + 70)[:, None], np.arange(channels)[None, :]
    block, word, half = (np.broadcast_to(x, (70, channels)) for x in place_of(p, c, channels))
    assert block.min() >= 0
    assert block.max() < LARGEST_BLOCK
    assert set(np.unique(word)) <= {0, 1, 2, 3}
    assert set(np.unique(half)) <= {0, 1}
    numbers = (block * 4 + word) * 2 + half
    assert len(np.unique(numbers)) == 70 * channels
    if end == "last" and channels % 64 == 0:
        assert block.max() == LARGEST_BLOCK - 1  # no room is lost


def test_whole_groups_of_channels_fill_their_blocks() -> None:
    block, word, half = place_of(np.arange(5)[:, None], np.arange(128)[None, :], 128)
    numbers = np.unique((block * 4 + word) * 2 + half)
    assert np.array_equal(numbers, np.arange(5 * 128))


def test_layers_that_have_no_room_are_refused() -> None:
    """One block more than the counter has; nothing of that size is allocated first."""
    with pytest.raises(UsageError, match=r"2\^32 blocks of noise"):
        draw(get_noise("uniform"), (1, 64, 2**15, 2**14 + 1), Sample(), 0, CPU)
