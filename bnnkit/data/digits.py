"""scikit-learn's digits: 1797 images of 8 x 8 pixels, bundled with the package.

Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998.
"""

from pathlib import Path

import numpy as np

from bnnkit.data.dataset import split
from bnnkit.data.image_dataset import ImageDataset
from bnnkit.errors import MissingExtraError, UsageError

_LARGEST = 16


def load_digits(data_dir: Path | None = None) -> ImageDataset:
    """Load the digits, uint8 (N, 1, 8, 8): 1438 for training, 359 for testing, always the same.

    The original values 0..16 become rint(x * 255 / 16).

    Args:
        data_dir: Must be None, because the images come with scikit-learn.

    Raises:
        UsageError: If a folder is given.
        MissingExtraError: If scikit-learn is not installed.
    """
    if data_dir is not None:
        raise UsageError(
            f"digits come with scikit-learn and have no folder, got {data_dir}: leave out "
            "--data-dir (in a training config: data.dir)"
        )
    try:
        from sklearn import datasets
    except ModuleNotFoundError as error:
        if error.name != "sklearn":
            raise
        raise MissingExtraError("the data set digits", "train") from error
    bunch = datasets.load_digits()
    images = np.rint(bunch.images * (255 / _LARGEST)).astype(np.uint8)[:, None]
    labels = bunch.target.astype(np.int64)
    train, test = split(len(images))
    return ImageDataset(
        name="digits",
        x_train=images[train],
        y_train=labels[train],
        x_test=images[test],
        y_test=labels[test],
        classes=tuple(str(digit) for digit in range(10)),
    )
