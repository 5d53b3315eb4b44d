"""Crops and flips of a batch against a slow loop."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bnnkit.training.augment import CropFlip, random_shifts


def _crop_flip_slowly(
    images: NDArray[Any], fill: list[int], down: list[int], right: list[int], flip: list[bool]
) -> NDArray[Any]:
    n, channels, height, width = images.shape
    out = np.empty_like(images)
    for i, c, y, x in np.ndindex(n, channels, height, width):
        from_y = y - down[i]
        from_x = (width - 1 - x if flip[i] else x) - right[i]
        inside = 0 <= from_y < height and 0 <= from_x < width
        out[i, c, y, x] = images[i, c, from_y, from_x] if inside else fill[c]
    return out


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_crop_flip_equals_a_slow_loop(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (9, 2, 6, 5), generator=generator).to(dtype)
    down, right = torch.arange(-4, 5), torch.arange(-4, 5).roll(3)
    flip = torch.arange(9) % 2 == 0
    fill = [7, 130]
    want = _crop_flip_slowly(images.numpy(), fill, down.tolist(), right.tolist(), flip.tolist())
    got = CropFlip(fill).apply(images, down, right, flip)
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.numpy(), want)


def test_crop_flip_without_zero_point_fills_with_0() -> None:
    one, four = torch.ones(1, 1, 3, 3), torch.tensor([4])
    assert CropFlip(None).apply(one, four, four, torch.tensor([False])).count_nonzero() == 0


def test_crop_flip_draws_alike_for_a_seed() -> None:
    images = torch.randint(256, (64, 1, 8, 8), dtype=torch.uint8)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = CropFlip([3])(images)
        torch.manual_seed(1)
        assert torch.equal(CropFlip([3])(images), first)
        assert not torch.equal(CropFlip([3])(images), first)


def test_random_shifts_have_the_distribution_of_padding_and_cropping() -> None:
    want = np.zeros(9)
    for before in range(5):
        for after in range(5):
            for start in range(before + after + 1):
                want[before - start + 4] += 1 / 25 / (before + after + 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        shifts = random_shifts(100_000, torch.device("cpu"))
    got = np.bincount(shifts.numpy() + 4, minlength=9) / 100_000
    np.testing.assert_allclose(got, want, atol=5 * 0.5 / math.sqrt(100_000))
