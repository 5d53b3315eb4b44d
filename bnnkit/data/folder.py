"""Finds and reads the files of a data set."""

from collections.abc import Sequence
from pathlib import Path

from bnnkit.errors import FileError


def find_folder(
    name: str,
    data_dir: Path | None,
    below: Sequence[str],
    files: Sequence[str],
    suffixes: Sequence[str] = ("",),
) -> Path:
    """Find the folder with the files of a data set.

    Args:
        name: The name of the data set, for the message and for the default folder data/NAME.
        data_dir: The folder given by the user, or None for the default.
        below: The folders to search, relative to `data_dir`; "." is `data_dir` itself.
        files: The names of the required files.
        suffixes: Suffixes that a file may have after its name.

    Raises:
        FileError: If no folder has all files; the message lists the files and the folders.
    """
    root = Path("data", name) if data_dir is None else Path(data_dir)
    candidates = [root / part for part in below]
    for folder in candidates:
        if all(any((folder / f"{f}{suffix}").is_file() for suffix in suffixes) for f in files):
            return folder
    optional = "".join(f"[{suffix}]" for suffix in suffixes if suffix)
    expected = ", ".join(f"{file}{optional}" for file in files)
    places = " or ".join(str(folder) for folder in candidates)
    raise FileError(
        f"{name}: expected the files {expected} in {places}; "
        "say where they are with --data-dir DIR (in a training config: data.dir)"
    )
