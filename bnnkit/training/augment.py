"""Views of images: shifted by up to 4 pixels, mirrored, with a square blanked out."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from bnnkit.errors import UsageError
from bnnkit.training.config_values import Augment

MAX_SHIFT = 4
_SHIFTS = 2 * MAX_SHIFT + 1
_INSIDE = slice(MAX_SHIFT, -MAX_SHIFT)
N_VIEWS = 2 * _SHIFTS**2
"""The number of views; a view's number is 81 * mirrored + 9 * (down + 4) + (right + 4), with
shifts from -4 to 4."""
UNCHANGED = _SHIFTS * MAX_SHIFT + MAX_SHIFT
"""The view that is the image itself."""

Shifts = Literal["cropping", "uniform"]
SHIFTS: dict[Augment, Shifts] = {
    "crop": "cropping",
    "crop-flip": "cropping",
    "crop-flip-uniform": "uniform",
}
"""The distribution of the shifts of each augmentation; "none" has only unchanged images."""
FLIPS: frozenset[Augment] = frozenset({"crop-flip", "crop-flip-uniform"})
"""The augmentations that mirror half of the images."""


class Views:
    """The 162 views of each of N images, made on their device.

    An image is first shifted, then mirrored left to right. Pixels from outside the image have the
    channel's zero point (0 for real-valued images), which the first layer reads as zero.

    Args:
        images: (N, C, H, W), any dtype.
        zero_point: The zero point of each channel, C values; None for real-valued images.

    Raises:
        UsageError: The images do not have 4 axes.
    """

    def __init__(self, images: Tensor, zero_point: Sequence[int] | None) -> None:
        if images.ndim != 4:
            raise UsageError(
                f"augment: expected images (N, C, H, W), got {tuple(images.shape)}; "
                "use augment: none"
            )
        self.size = images.shape[2:]
        self.fill = _fill(images, zero_point)
        self._padded = _padded(images, self.fill)

    def replace(self, images: Tensor) -> None:
        """Replace all images by others, in the same memory."""
        self._padded[:, _INSIDE, _INSIDE] = images.permute(0, 2, 3, 1)

    def __call__(self, index: Tensor, view: Tensor, blank: Tensor | None = None) -> Tensor:
        """Return one view of each of B images.

        Args:
            index: Indices of the images, int64 (B,).
            view: The view of each, int64 (B,).
            blank: (side, row, column) of a square to blank in each, int64 (B, 3): its centre is
                the pixel at that row and column, and it may extend over the border. None blanks
                nothing.

        Returns:
            (B, C, H, W), the dtype of the images, in channels-last memory.
        """
        mirrored, shift = view.div(_SHIFTS**2, rounding_mode="floor") > 0, view % _SHIFTS**2
        down = shift.div(_SHIFTS, rounding_mode="floor") - MAX_SHIFT
        right = shift % _SHIFTS - MAX_SHIFT
        height, width = self.size
        rows = torch.arange(height, device=view.device) - down[:, None] + MAX_SHIFT
        columns = torch.arange(width, device=view.device).expand(len(view), width)
        columns = torch.where(mirrored[:, None], width - 1 - columns, columns)
        columns = columns - right[:, None] + MAX_SHIFT
        # One index fetches all channels of a pixel.
        pixels = self._padded[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        if blank is not None:
            pixels = torch.where(_square(blank, height, width)[..., None], self.fill, pixels)
        return pixels.permute(0, 3, 1, 2)


def draw_views(shape: tuple[int, ...], shifts: Shifts, device: torch.device) -> Tensor:
    """Draw random views, int64, from the device's default generator.

    Args:
        shape: The shape of the result.
        shifts: "cropping": padding of l and r pixels on two sides, l and r uniform on 0..4, and a
            window of the old size at a uniform one of the l + r + 1 places; so an image moves by
            few pixels more often than by many (Shekhovtsov & Yanush, GCPR 2021, appendix D.3).
            "uniform": all shifts from -4 to 4 are equally likely.
        device: The device of the result.
    """
    if shifts == "uniform":
        return torch.randint(N_VIEWS, shape, device=device)
    mirrored = torch.randint(2, shape, device=device)
    down, right = (random_shifts(shape, device) + MAX_SHIFT for _ in range(2))
    return (mirrored * _SHIFTS + down) * _SHIFTS + right


def draw_augmented(shape: tuple[int, ...], augment: Augment, device: torch.device) -> Tensor:
    """Draw random views of an augmentation other than "none", as `draw_views` does."""
    views = draw_views(shape, SHIFTS[augment], device)
    return views if augment in FLIPS else views % _SHIFTS**2


def random_views(views: Views, index: Tensor, augment: Augment) -> Tensor:
    """Return a random view of each of B images, without blanked squares.

    The views are drawn from torch's default generator of the CPU, so they are the same on every
    device.

    Args:
        views: The views of the images.
        index: Indices of the images, int64 (B,).
        augment: The augmentation of the run.

    Returns:
        (B, C, H, W), the dtype of the images.
    """
    if augment == "none":
        return views(index, torch.full_like(index, UNCHANGED))
    drawn = draw_augmented(tuple(index.shape), augment, torch.device("cpu"))
    return views(index, drawn.to(index.device))


def random_shifts(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Draw the shifts along one axis that padding and cropping give, int64, from -4 to 4."""
    padding = torch.randint(MAX_SHIFT + 1, (2, *shape), device=device)
    # floor(u (l + r + 1)) with u in [0, 1): the window's start, from 0 to l + r.
    start = (torch.rand(shape, device=device) * (padding.sum(0) + 1)).long()
    return padding[0] - start


def draw_squares(shape: tuple[int, ...], side: int, views: Views, device: torch.device) -> Tensor:
    """Draw random squares to blank, int64 (*shape, 3), centred anywhere in the image.

    References:
        DeVries & Taylor, Improved Regularization of Convolutional Neural Networks with Cutout,
        2017, https://arxiv.org/abs/1708.04552.
    """
    middles = [torch.randint(length, shape, device=device) for length in views.size]
    return torch.stack([torch.full(shape, side, device=device), *middles], dim=-1)


def _square(blank: Tensor, height: int, width: int) -> Tensor:
    """Mask of the pixels inside the square, bool (B, H, W)."""
    side, row, column = blank.unbind(-1)
    lines = []
    for length, middle in ((height, row), (width, column)):
        distance = torch.arange(length, device=blank.device) - middle[:, None]
        first = -side.div(2, rounding_mode="floor")
        lines.append((distance >= first[:, None]) & (distance < (first + side)[:, None]))
    return lines[0][:, :, None] & lines[1][:, None, :]


def _fill(images: Tensor, zero_point: Sequence[int] | None) -> Tensor:
    values = [0] * images.shape[1] if zero_point is None else list(zero_point)
    return images.new_tensor(values)


def _padded(images: Tensor, fill: Tensor) -> Tensor:
    """The images with a border, channels last: (N, H + 8, W + 8, C)."""
    n, channels, height, width = images.shape
    size = (n, height + 2 * MAX_SHIFT, width + 2 * MAX_SHIFT, channels)
    padded = fill.expand(size).contiguous()
    padded[:, _INSIDE, _INSIDE] = images.permute(0, 2, 3, 1)
    return padded
