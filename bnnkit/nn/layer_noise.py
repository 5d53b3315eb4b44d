"""The noise of one layer in one sample: which random number belongs to which sign.

A number depends only on the seed, the image, the sample, the layer and the position, so all
engines draw the same bits for any batch (docs/artifact.md, Sampling). For position p and channel c
let u = p * C64 + c, with C64 the channels rounded up to a multiple of 64. The number is in block
(u div 64) * 8 + (u mod 16) div 2, in word (u mod 64) div 16 of it, and in the lower half if u is
even.
"""

from math import prod
from typing import Final

import torch
from torch import Tensor

from bnnkit.artifact.format.sample import TABLE_SIZE, Sample
from bnnkit.errors import UsageError
from bnnkit.nn.base.noise import Noise
from bnnkit.nn.philox import philox4x32
from bnnkit.nn.quantile_table import table_on

_GROUP: Final = 64
"""The number of channels that share blocks."""
_BLOCKS_PER_GROUP: Final = 8
_BLOCKS_AT_ONCE: Final = 2**20
"""Larger parts need more memory and are not faster."""


def draw(
    noise: Noise, shape: tuple[int, ...], sample: Sample, layer: int, device: torch.device
) -> Tensor:
    """Draw the noise of a layer: z = F^-1((i + 1/2) / 4096), with i uniform on 0..4095.

    Args:
        noise: Any noise except "none".
        shape: (N, C, ...).
        sample: Which random numbers to use.
        layer: The number of the noisy sign in the forward pass.
        device: The device of the result.

    Returns:
        float32, of that shape; the channels are last in memory.

    Raises:
        UsageError: If the shape has no channels, or a number of an image or of a block passes
            2^32.
    """
    if len(shape) < 2:
        raise UsageError(f"expected (N, C, ...) to draw noise for, got shape {tuple(shape)}")
    n, channels, *size = shape
    positions = prod(size)
    blocks = positions * -(-channels // _GROUP) * _BLOCKS_PER_GROUP
    end = sample.image_offset + n
    if max(end, blocks) > 2**32:
        raise UsageError(
            f"expected images up to number 2^32 - 1 and 2^32 blocks of noise for each, got "
            f"{end - 1} and {blocks}"
        )
    z = torch.empty((n, positions, channels), device=device)
    step = max(1, _BLOCKS_AT_ONCE // max(1, blocks))
    for start in range(0, n, step):
        part = z[start : start + step]
        images = sample.image_offset + start + torch.arange(len(part), device=device)
        indices = _indices(sample, layer, images, blocks).view(len(part), positions, -1)
        drawn = table_on(noise, device).index_select(0, indices[..., :channels].reshape(-1))
        part.copy_(drawn.view_as(part))
    return z.transpose(1, 2).reshape(shape)


def _indices(sample: Sample, layer: int, images: Tensor, blocks: int) -> Tensor:
    """Compute indices into the table of quantiles, for whole groups of channels.

    The channels of a group are in its eight blocks in the order (word, block, half).

    Args:
        sample: Which random numbers to use.
        layer: The number of the noisy sign.
        images: The numbers of the images, int64 (N,).
        blocks: The number of blocks of each image.

    Returns:
        int32 (N, blocks / 8, 4, 8, 2), 0..4095.
    """
    counter = (
        torch.arange(blocks, device=images.device).view(-1, _BLOCKS_PER_GROUP),
        torch.tensor(layer, device=images.device),
        torch.tensor(sample.counter, device=images.device),
        images.view(-1, 1, 1),
    )
    words = [word.to(torch.int32) for word in philox4x32(counter, sample.key)]
    stacked = torch.stack(words, dim=-2)
    # The upper 12 bits of the lower and of the upper half; the mask removes the sign extension.
    halves = torch.stack([stacked >> 4, stacked >> 20], dim=-1)
    return halves.bitwise_and_(TABLE_SIZE - 1).bitwise_xor_(sample.mirror)
