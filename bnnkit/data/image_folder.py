"""Images in folders, one folder for each class: DIR/train/CLASS/*.png and DIR/test/CLASS/*.png."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from bnnkit.border import border
from bnnkit.data.dataset import Dataset
from bnnkit.data.image_files import ImageForm, LabelledFiles, form_of_images, read_images
from bnnkit.data.streamed import StreamedDataset
from bnnkit.errors import FileError, MissingExtraError, UsageError
from bnnkit.images.opened import SUFFIXES

MOST_BYTES: Final = 2 << 30
"""The largest size of images that `open_image_folder` holds in memory."""
_PARTS = ("train", "test")


def load_image_folder(data_dir: Path | None = None) -> Dataset:
    """Load the images of a folder, uint8 (N, C, H, W), all of one size.

    Classes are the folders in DIR/train, images the files *.png, *.jpg and *.jpeg in them; both
    are in the order of their names. Other files and hidden ones are left out. The orientation in
    the metadata of a JPEG is not applied.

    Args:
        data_dir: DIR; data/folder by default.

    Raises:
        MissingExtraError: If Pillow is not installed.
        FileError: If a folder is missing or has no images, or DIR/test has a class that DIR/train
            lacks; or an image cannot be used, as in `read_images`.
    """
    files = _files(data_dir)
    return _loaded(files, form_of_images(files.paths))


def open_image_folder(
    data_dir: Path | None = None, *, workers: int | None = None
) -> Dataset | StreamedDataset:
    """Load the images of a folder, or open it if they have more than `MOST_BYTES` bytes.

    Args:
        data_dir: As in `load_image_folder`.
        workers: Processes that decode images; None takes one for each CPU, at most 8.

    Raises:
        MissingExtraError: If Pillow is not installed, or torch for a folder that is opened.
        FileError: As `load_image_folder`; a damaged image of a folder that is opened is found when
            it is read.
    """
    files = _files(data_dir)
    form = form_of_images(files.paths)
    if len(files.paths) * form.n_bytes <= MOST_BYTES:
        return _loaded(files, form)
    try:
        from bnnkit.data.streamed_folder import streamed_folder
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtraError("a folder of images larger than memory", "train") from error
    return streamed_folder(files.train, files.test, files.classes, form, workers=workers)


@dataclass(frozen=True, kw_only=True)
class _Files:
    """The images of a folder, their labels, and the names of the classes."""

    root: Path
    classes: tuple[str, ...]
    train: LabelledFiles
    test: LabelledFiles

    @property
    def paths(self) -> list[Path]:
        """All images, those for training first."""
        return [*self.train.paths, *self.test.paths]


def _files(data_dir: Path | None) -> _Files:
    root = Path("data", "folder") if data_dir is None else Path(data_dir)
    classes = _classes(root)
    train, test = (_labelled(root / part, classes) for part in _PARTS)
    return _Files(root=root, classes=classes, train=train, test=test)


def _loaded(files: _Files, form: ImageForm) -> Dataset:
    images = read_images(files.paths, form)
    n_train = len(files.train.paths)
    try:
        return Dataset(
            name="folder",
            x_train=images[:n_train],
            y_train=np.array(files.train.labels, np.int64),
            x_test=images[n_train:],
            y_test=np.array(files.test.labels, np.int64),
            classes=files.classes,
        )
    except UsageError as error:
        raise FileError(f"{files.root}: {error}") from error


def _classes(root: Path) -> tuple[str, ...]:
    """Return the names of the folders in train; test must have no others."""
    for part in _PARTS:
        if not (root / part).is_dir():
            raise FileError(
                f"folder: expected images in {root}/train/CLASS and {root}/test/CLASS, got no "
                f"folder {root / part}; say where they are with --data-dir DIR (in a training "
                "config: data.dir)"
            )
    train, test = (_folders_in(root / part) for part in _PARTS)
    unknown = [name for name in test if name not in train]
    if unknown:
        raise FileError(
            f"{root / 'test' / unknown[0]}: expected the classes of {root / 'train'}, which has "
            f"no folder {unknown[0]}"
        )
    empty = [name for name in train if not _images_in(root / "train" / name)]
    if empty:
        raise FileError(
            f"{root / 'train' / empty[0]}: expected images ({', '.join(SUFFIXES)}), got none"
        )
    return tuple(train)


def _labelled(part: Path, classes: Sequence[str]) -> LabelledFiles:
    """Return the images in train or test, and their labels."""
    images = [(path, k) for k, name in enumerate(classes) for path in _images_in(part / name)]
    if not images:
        raise FileError(f"{part}: expected images in {part}/CLASS, got none")
    return LabelledFiles([path for path, _ in images], [label for _, label in images])


def _folders_in(folder: Path) -> list[str]:
    return [path.name for path in _listed(folder) if path.is_dir()]


def _images_in(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return [path for path in _listed(folder) if path.suffix.lower() in SUFFIXES]


def _listed(folder: Path) -> list[Path]:
    """Return what a folder holds, in the order of names, without hidden files."""
    with border(FileError, folder):
        shown = [path for path in folder.iterdir() if not path.name.startswith(".")]
    return sorted(shown, key=lambda path: path.name)
