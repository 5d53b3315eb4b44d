"""Crops, flips and blanked squares of a batch against a slow loop."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bnnkit.training.augment import (
    N_VIEWS,
    UNCHANGED,
    Shifts,
    Views,
    draw_augmented,
    draw_squares,
    draw_views,
    random_shifts,
    random_views,
)


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


def _view(down: Tensor, right: Tensor, flip: Tensor) -> Tensor:
    return 81 * flip + 9 * (down + 4) + right + 4


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_views_equal_a_slow_loop(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (9, 2, 6, 5), generator=generator).to(dtype)
    index = torch.tensor([3, 3, 0, 1, 8, 7, 6, 2, 4])
    down, right = torch.arange(-4, 5), torch.arange(-4, 5).roll(3)
    flip = torch.arange(9) % 2
    fill = [7, 130]
    want = _crop_flip_slowly(
        images[index].numpy(), fill, down.tolist(), right.tolist(), flip.tolist()
    )
    got = Views(images, fill)(index, _view(down, right, flip))
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.numpy(), want)


def test_one_view_is_the_image_itself() -> None:
    images = torch.randint(256, (4, 3, 5, 6), dtype=torch.uint8)
    index = torch.tensor([2, 0])
    assert torch.equal(Views(images, [1, 2, 3])(index, torch.full((2,), UNCHANGED)), images[index])


def test_views_without_zero_point_are_filled_with_0() -> None:
    one, four = torch.ones(1, 1, 3, 3), torch.tensor([4])
    view = _view(four, four, torch.tensor([0]))
    assert Views(one, None)(torch.tensor([0]), view).count_nonzero() == 0


@pytest.mark.parametrize("shifts", ["cropping", "uniform"])
def test_views_are_drawn_alike_for_a_seed(shifts: Shifts) -> None:
    device = torch.device("cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        first = draw_views((100, 50), shifts, device)
        assert not torch.equal(draw_views((100, 50), shifts, device), first)
        torch.manual_seed(1)
        assert torch.equal(draw_views((100, 50), shifts, device), first)
    assert set(first.flatten().tolist()) == set(range(N_VIEWS))


def test_crops_are_those_of_crop_flip_without_the_mirrored_ones() -> None:
    device = torch.device("cpu")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        crops = draw_augmented((5000,), "crop", device)
        torch.manual_seed(4)
        views = draw_augmented((5000,), "crop-flip", device)
    assert set(crops.tolist()) == set(range(81))
    assert torch.equal(crops, views % 81)
    assert (views >= 81).sum() > 2000


def test_squares_are_blanked() -> None:
    images = torch.ones(3, 1, 6, 5, dtype=torch.uint8)
    blank = torch.tensor([[3, 2, 2], [3, 0, 4], [2, 5, 1]])
    unchanged = torch.full((3,), UNCHANGED)
    got = Views(images, [9])(torch.arange(3), unchanged, blank)[:, 0]
    want = np.ones((3, 6, 5))
    want[0, 1:4, 1:4] = want[1, :2, 3:] = want[2, 4:6, 0:2] = 9
    np.testing.assert_array_equal(got.numpy(), want)
    views = Views(images, [9])
    drawn = draw_squares((1000, 2), 3, views, torch.device("cpu"))
    assert set(drawn[..., 0].flatten().tolist()) == {3}
    assert set(drawn[..., 1].flatten().tolist()) == set(range(6))
    assert set(drawn[..., 2].flatten().tolist()) == set(range(5))


def test_random_shifts_have_the_distribution_of_padding_and_cropping() -> None:
    want = np.zeros(9)
    for before in range(5):
        for after in range(5):
            for start in range(before + after + 1):
                want[before - start + 4] += 1 / 25 / (before + after + 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        shifts = random_shifts((100_000,), torch.device("cpu"))
    got = np.bincount(shifts.numpy() + 4, minlength=9) / 100_000
    np.testing.assert_allclose(got, want, atol=5 * 0.5 / math.sqrt(100_000))


def test_random_views_are_drawn_on_the_cpu() -> None:
    images = torch.arange(4 * 3 * 8 * 8, dtype=torch.float32).reshape(4, 3, 8, 8)
    views, index = Views(images, None), torch.tensor([3, 1, 2, 2, 0])
    torch.manual_seed(1)
    found = random_views(views, index, "crop-flip-uniform")
    torch.manual_seed(1)
    drawn = draw_views((5,), "uniform", torch.device("cpu"))
    assert torch.equal(found, views(index, drawn))
    assert not torch.equal(found, images[index])
    assert torch.equal(random_views(views, index, "none"), images[index])
