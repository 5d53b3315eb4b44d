"""metrics.jsonl: one JSON object per line, one line per epoch, and one for the end."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bnnkit.errors import FileError
from bnnkit.files.atomic import write_text
from bnnkit.files.regular_file import read_bytes

Record = dict[str, Any]
_QUALITIES = {"loss", "accuracy", "mae"}
"""Words in the keys of numbers that say how good a network is."""


class History:
    """The records of a run, in memory and in its file.

    Each has "epoch", and a record that closes the run has "final": true.

    Args:
        path: The file; it need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []

    def restart_after(self, epoch: int) -> None:
        """Keep the records up to an epoch; drop those that a stopped run wrote after it.

        Raises:
            FileError: The file cannot be read or written.
        """
        kept = [record for record in read_history(self.path) if record["epoch"] <= epoch]
        self.records = [record for record in kept if not record.get("final")]
        write_text(self.path, "".join(_line(record) for record in self.records))

    def forget(self, epoch: int, is_dropped: Callable[[str], bool]) -> None:
        """Drop entries of an epoch on disk, by their names; call `restart_after` next.

        Raises:
            FileError: The file cannot be read or written.
        """
        records = read_history(self.path)
        for record in records:
            if record["epoch"] == epoch:
                for key in filter(is_dropped, list(record)):
                    del record[key]
        write_text(self.path, "".join(_line(record) for record in records))

    def append(self, record: Record) -> None:
        """Add a record and write it to disk at once.

        Raises:
            FileError: The file cannot be written.
        """
        self.records.append(record)
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_line(record))
        except OSError as error:
            raise FileError(f"cannot write {self.path}: {error.strerror or error}") from error


def read_history(path: Path) -> list[Record]:
    """Read the records of a metrics.jsonl, without a truncated last line.

    Returns:
        The records; none if the file is missing.

    Raises:
        FileError: The file cannot be read, or a line before the last is not a record.
    """
    if not path.exists():
        return []
    lines = read_bytes(path).decode("utf-8", "replace").splitlines()
    records = [_record(line) for line in lines]
    if records and records[-1] is None:
        records.pop()
    if None in records:
        raise FileError(
            f"{path}, line {records.index(None) + 1} is not the record of an epoch: remove the "
            "line, or the file"
        )
    return [record for record in records if record is not None]


def _record(line: str) -> Record | None:
    """Read a line; None if it is not a record: a dict with an epoch and numbers of its quality."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or type(found.get("epoch")) is not int:
        return None
    qualities = [value for key, value in found.items() if _QUALITIES.intersection(key.split("_"))]
    return found if all(type(value) in (int, float) for value in qualities) else None


def _line(record: Record) -> str:
    return json.dumps(record) + "\n"
