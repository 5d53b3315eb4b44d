"""metrics.csv: the records of a run as a table."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from bnnkit.files.atomic import write_text
from bnnkit.training.flat import flat
from bnnkit.training.history import Record


def write_metrics_csv(path: Path, records: Sequence[Record]) -> None:
    """Write one row per record and one column per key, such as flip_rates.features.4.

    Columns are in the order in which their keys first appear; a record without a key has an empty
    cell. Numbers are written with all their digits.

    Args:
        path: The file.
        records: The records of `History`.

    Raises:
        FileError: The file cannot be written.
    """
    rows = [flat(record) for record in records]
    columns = dict.fromkeys(key for row in rows for key in row)
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_text(path, text.getvalue())
