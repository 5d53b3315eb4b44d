"""The files that a recipe writes."""

from pathlib import Path
from typing import Final

from bnnkit.errors import FileError

FLOAT: Final = "float.yaml"
TWIN: Final = "binary.yaml"


def check_recipe_folder(folder: Path) -> None:
    """Check that nothing is in the way of the files, which are not written over.

    Raises:
        FileError: The path is not a folder, or holds one of the files.
    """
    if folder.exists() and not folder.is_dir():
        raise FileError(f"cannot create {folder}: expected a folder, got a file")
    for name in (FLOAT, TWIN):
        if (folder / name).exists():
            raise FileError(f"{folder / name} exists; remove it, or choose another folder")
