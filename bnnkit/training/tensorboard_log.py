"""The records of a run for TensorBoard, which need not be installed."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from bnnkit.errors import ConfigError
from bnnkit.training.flat import flat
from bnnkit.training.history import Record


def check_tensorboard() -> None:
    """Check that TensorBoard is installed.

    Raises:
        ConfigError: It is not.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ConfigError(
            "log: tensorboard is not installed: pip install tensorboard, or leave it out"
        )


def write_tensorboard(folder: Path, records: Sequence[Record]) -> None:
    """Write the numbers of all records as scalars over the epochs.

    A tag is the record's key; the shares of layers are grouped, as in flip_rates/features.4, and
    so are the scores of the finished network, as in final/test_accuracy. Events that an earlier
    call wrote into the folder are replaced.

    Args:
        folder: The folder of the events.
        records: The records of `History`.
    """
    from torch.utils.tensorboard import SummaryWriter

    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    with SummaryWriter(str(folder)) as writer:
        for record in records:
            group = "final/" if record.get("final") else ""
            for key, value in flat(record).items():
                if type(value) in (int, float) and key != "epoch":
                    tag = f"{group}{key.replace('.', '/', 1)}"
                    writer.add_scalar(tag, value, record["epoch"])
