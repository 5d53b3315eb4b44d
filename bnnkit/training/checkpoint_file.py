"""Where the checkpoint of a run lies."""

from pathlib import Path

from bnnkit.errors import CheckpointError

CHECKPOINT = "checkpoint.safetensors"


def checkpoint_path(path: Path) -> Path:
    """Return the checkpoint's file, given a run's folder or the file itself.

    Raises:
        CheckpointError: The file is missing, or the run is not finished.
    """
    path = Path(path)
    file = path / CHECKPOINT if path.is_dir() else path
    if file.is_file():
        return file
    if (file.parent / "config.yaml").is_file():
        raise CheckpointError(
            f"the run in {file.parent} is not finished: repeat the command that started it; "
            f"it writes {file.name} at the end"
        )
    raise CheckpointError(
        f"{file}: no such checkpoint; expected a run's folder or its {CHECKPOINT}"
    )
