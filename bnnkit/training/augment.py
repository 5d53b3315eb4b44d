"""Random crops and flips of a whole batch at once, on its device."""

from collections.abc import Sequence

import torch
from torch import Tensor

from bnnkit.errors import UsageError

_MAX_PADDING = 4


class CropFlip:
    """Pads each side of an image by 0..4 pixels at random, crops it back, mirrors half of them.

    With padding of l pixels on the left and r on the right, l and r uniform on 0..4, a window of
    the old size starts at a uniform one of the l + r + 1 possible places; so an image moves by at
    most 4 pixels, and by few more often than by many. Rows alike. The padding is the channel's
    zero point (0 for real-valued images), which the first layer takes as zero.

    Images: (N, C, H, W), any dtype; the same shape and dtype come out.

    Args:
        zero_point: Of each channel, C values; None for real-valued images.

    References:
        Shekhovtsov & Yanush, GCPR 2021, appendix D.3, "Preprocessing".
    """

    def __init__(self, zero_point: Sequence[int] | None) -> None:
        self.zero_point = zero_point

    def __call__(self, images: Tensor) -> Tensor:
        """Augmented images; the random numbers are from the device's default generator."""
        n, device = len(images), images.device
        flip = torch.randint(2, (n,), device=device).bool()
        return self.apply(images, random_shifts(n, device), random_shifts(n, device), flip)

    def apply(self, images: Tensor, down: Tensor, right: Tensor, flip: Tensor) -> Tensor:
        """Move and mirror images as told.

        Args:
            images: (N, C, H, W).
            down: Pixels by which each image moves down, int64 (N,), from -4 to 4.
            right: Pixels by which it moves to the right, alike.
            flip: Whether it is mirrored left to right, after it moved; bool (N,).

        Raises:
            UsageError: The input has not 4 axes.
        """
        if images.ndim != 4:
            raise UsageError(
                f"augment: expected images (N, C, H, W), got {tuple(images.shape)}; "
                "use augment: none"
            )
        n, _, height, width = images.shape
        rows = torch.arange(height, device=images.device) - down[:, None] + _MAX_PADDING
        columns = torch.arange(width, device=images.device).expand(n, width)
        columns = torch.where(flip[:, None], width - 1 - columns, columns)
        columns = columns - right[:, None] + _MAX_PADDING
        index = torch.arange(n, device=images.device)[:, None, None]
        # Channels last, so that one index fetches all channels of a pixel.
        pixels = self._padded(images).permute(0, 2, 3, 1)
        moved = pixels[index, rows[:, :, None], columns[:, None, :]]
        return moved.permute(0, 3, 1, 2).contiguous()

    def _padded(self, images: Tensor) -> Tensor:
        n, channels, height, width = images.shape
        fill = [0] * channels if self.zero_point is None else list(self.zero_point)
        border = images.new_tensor(fill).reshape(1, channels, 1, 1)
        padded = border.repeat(n, 1, height + 2 * _MAX_PADDING, width + 2 * _MAX_PADDING)
        padded[:, :, _MAX_PADDING:-_MAX_PADDING, _MAX_PADDING:-_MAX_PADDING] = images
        return padded


def random_shifts(n: int, device: torch.device) -> Tensor:
    """How far n images move along one axis, int64 (n,), from -4 to 4."""
    padding = torch.randint(_MAX_PADDING + 1, (2, n), device=device)
    # floor(u (l + r + 1)) with u in [0, 1): the window's start, from 0 to l + r.
    start = (torch.rand(n, device=device) * (padding.sum(0) + 1)).long()
    return padding[0] - start
