"""Images of a data set for models that take them with their channels last, as TFLite files do."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def as_model_takes(images: Array, shape: tuple[int, ...]) -> Array:
    """Images in a model's own layout.

    Args:
        images: As data sets have them: (N, C, H, W), or (N, F).
        shape: What the model takes, without the batch.

    Returns:
        (N, H, W, C) where the shape is (H, W, C), else the images as they are.
    """
    if images.ndim != 4 or images.shape[1:] == shape:
        return images
    channels, height, width = images.shape[1:]
    if (height, width, channels) != shape:
        return images
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1))


def as_network_takes(images: Array) -> Array:
    """The way back: (N, H, W, C) as (N, C, H, W); vectors as they are."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if images.ndim == 4 else images
