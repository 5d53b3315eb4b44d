"""Data sets whose inputs are images, such as MNIST and CIFAR-10."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bnnkit.data.dataset import Dataset
from bnnkit.errors import UsageError


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageDataset(Dataset):
    """A `Dataset` of images, uint8 (N, C, H, W), which always has a zero point.

    Raises:
        UsageError: As `Dataset`; or if the inputs are not images.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.x_train.dtype != np.uint8:
            raise UsageError(f"expected images, uint8 (N, C, H, W), got {self.input_dtype}")

    @cached_property
    def zero_point(self) -> tuple[int, ...]:
        """The rounded mean of the training images in each channel, C integers in 0..255."""
        found = super().zero_point
        assert found is not None  # images have one
        return found
