"""Early stopping: end a run when its validation loss no longer falls."""

from collections.abc import Sequence

from bnnkit.training.history import Record


def is_out_of_patience(records: Sequence[Record], patience: int | None) -> bool:
    """Return whether the lowest validation loss is at least `patience` epochs old.

    It depends on the records only, so a continued run stops where one without a break does.

    Args:
        records: The records of the epochs, in order; those without "validation_loss" do not count.
        patience: Number of epochs; None never stops.
    """
    if patience is None:
        return False
    lowest, of_epoch, last = float("inf"), 0, 0
    for record in records:
        if "validation_loss" in record:
            last = record["epoch"]
            if record["validation_loss"] < lowest:
                lowest, of_epoch = record["validation_loss"], last
    return last - of_epoch >= patience
