"""One run of a sweep, and how far it is."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bnnkit.sweeps.grid import Variant
from bnnkit.training.history import Record, read_history
from bnnkit.training.run_folder import RunFolder, Stage

Status = Literal["finished", "diverged", "missing"]


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run of a sweep.

    Attributes:
        variant: Its values and configuration.
        status: "finished"; "diverged": its loss became infinite or NaN; "missing": not finished
            yet, for example because another process trains it.
        record: The last record of a finished run, with its scores; empty otherwise.
    """

    variant: Variant
    status: Status
    record: Record


def read_run(variant: Variant, path: Path, *, has_diverged: bool) -> Run:
    """Read the state of a run from its folder.

    Args:
        variant: The run.
        path: Its folder, which may be missing.
        has_diverged: The status of a run that is not finished.

    Raises:
        ConfigError, FileError: As for `RunFolder.stage` and `read_history`.
    """
    folder = RunFolder(path)
    if folder.stage(variant.config) is Stage.FINISHED:
        final = [record for record in read_history(folder.metrics) if record.get("final")]
        if final:
            return Run(variant=variant, status="finished", record=final[-1])
    return Run(variant=variant, status="diverged" if has_diverged else "missing", record={})
