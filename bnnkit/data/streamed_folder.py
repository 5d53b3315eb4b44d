"""A folder of images that is too large for memory: workers decode its files when they are used."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bnnkit.data.image_files import ImageForm, LabelledFiles, read_images
from bnnkit.data.reading import Form, Reader, default_workers
from bnnkit.data.streamed import StreamedDataset, StreamedExamples


@dataclass(frozen=True)
class ImageFiles:
    """Image files with labels, as a map-style data set of torch.

    Attributes:
        paths: The files.
        labels: Their labels.
        form: What the images have in common.
    """

    paths: Sequence[Path]
    labels: Sequence[int]
    form: ImageForm

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, position: int) -> tuple[NDArray[np.uint8], int]:
        """Decode an image, uint8 (C, H, W); FileError if it cannot be used."""
        return read_images([self.paths[position]], self.form)[0], self.labels[position]


def streamed_folder(
    train: LabelledFiles,
    test: LabelledFiles,
    classes: tuple[str, ...],
    form: ImageForm,
    *,
    workers: int | None,
) -> StreamedDataset:
    """Make a data set of files.

    Args:
        train: The images for training.
        test: The images for testing.
        classes: The names of the classes.
        form: What the images have in common.
        workers: Processes that decode; None takes one for each CPU, at most 8.
    """
    shape = (form.channels, form.height, form.width)
    of_examples = Form(shape=shape, dtype="uint8", targets="classes", n_outputs=len(classes))
    count = default_workers() if workers is None else workers

    def examples(part: str, files: LabelledFiles) -> StreamedExamples:
        reader = Reader(ImageFiles(*files, form), f"folder, {part}", form=of_examples)
        return StreamedExamples(reader, workers=count)

    return StreamedDataset(
        name="folder",
        train=examples("train", train),
        test=examples("test", test),
        classes=classes,
        input_shape=shape,
        input_dtype="uint8",
        targets="classes",
    )
