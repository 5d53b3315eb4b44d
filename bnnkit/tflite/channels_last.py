"""Layout of images for models with channels last, as TFLite files have them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def as_model_takes(images: Array, shape: tuple[int, ...]) -> Array:
    """Images in the layout of a model.

    Args:
        images: Images of a data set, (N, C, H, W) or (N, F).
        shape: Shape of the model's input, without the batch.

    Returns:
        (N, H, W, C) if the shape is (H, W, C), else the images unchanged.
    """
    if images.ndim != 4 or images.shape[1:] == shape:
        return images
    channels, height, width = images.shape[1:]
    if (height, width, channels) != shape:
        return images
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def as_network_takes(images: Array) -> Array:
    """Images (N, H, W, C) as (N, C, H, W); vectors are returned unchanged."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if images.ndim == 4 else images
