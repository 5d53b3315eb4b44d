"""Tables as CSV files."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bnnkit.files.atomic import write_text


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table atomically, with a column for each key that any row has.

    Columns are in the order in which their keys first appear; a row without a key has an empty
    cell. Numbers are written with all their digits.

    Raises:
        FileError: The file cannot be written.
    """
    text = io.StringIO()
    columns = dict.fromkeys(key for row in rows for key in row)
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())
