"""The images that a user names: files, and folders of them."""

import os
from collections.abc import Iterable
from pathlib import Path

from bnnkit.border import border
from bnnkit.errors import FileError
from bnnkit.images.opened import SUFFIXES


def image_paths(paths: Iterable[Path]) -> list[Path]:
    """Return the files, and for a folder those in it: *.png, *.jpg, *.jpeg, by name.

    Hidden files are left out, and so are folders in a folder. A symbolic link counts as the file
    that it leads to.

    Raises:
        FileError: If a folder cannot be read or holds no images.
    """
    found: list[Path] = []
    for path in paths:
        found += _images_in(path) if path.is_dir() else [path]
    return found


def _images_in(folder: Path) -> list[Path]:
    with border(FileError, folder):
        names = sorted(os.listdir(folder))
        shown = [folder / name for name in names if not name.startswith(".")]
        images = [path for path in shown if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not images:
        inside = [path.name for path in shown if path.is_dir()]
        hint = f"; name a folder in it, such as {folder / inside[0]}" if inside else ""
        raise FileError(f"{folder}: expected images ({', '.join(SUFFIXES)}), got none{hint}")
    return images
