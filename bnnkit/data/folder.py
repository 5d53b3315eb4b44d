"""Where the files of a data set are looked for, and how they are read."""

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
    """The folder that holds a data set's files.

    Args:
        name: The data set, for the message, and for the default folder data/NAME.
        data_dir: Where the user says that it is, or None for the default.
        below: Folders in which the set's archive keeps the files; "." is `data_dir` itself.
        files: Files that must be there.
        suffixes: What may follow their names.

    Raises:
        FileError: No folder holds them all; the message says which were expected where.
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


def read_bytes(path: Path) -> bytes:
    """A whole file.

    Raises:
        FileError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from error
