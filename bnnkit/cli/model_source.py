"""Model files as the source of `bnnkit export`, which otherwise exports a checkpoint."""

from pathlib import Path
from typing import TYPE_CHECKING

from bnnkit.cli import options
from bnnkit.errors import UsageError

if TYPE_CHECKING:
    from bnnkit.artifact.artifact import Artifact
    from bnnkit.artifact.format.constants import Mode

_SUFFIXES = (".onnx", ".tflite")


def is_model_file(path: Path) -> bool:
    """Return whether a CKPT_OR_MODEL is a model file (even if missing) and not a checkpoint."""
    return path.suffix in _SUFFIXES or (path.is_file() and not options.is_checkpoint(path))


def read_model_file(path: Path, *, calibrates: bool, draws: int) -> "Artifact":
    """Read the artifact in a model file.

    Args:
        path: The file.
        calibrates: Whether --calibrate is given, which needs a checkpoint.
        draws: The value of --sample-weights, which needs a checkpoint.

    Raises:
        ArtifactError: If the file is missing or damaged.
        UsageError: If an option needs a checkpoint.
    """
    from bnnkit.runtime.open_file import read

    given = {"--calibrate": calibrates, "--sample-weights": draws != 0}
    if names := " and ".join(name for name, is_given in given.items() if is_given):
        raise UsageError(f"{names}: expected a checkpoint, got the model file {path}")
    return read(path)


def in_mode(artifact: "Artifact", mode: "Mode | None", path: Path) -> "Artifact":
    """Return the artifact with its noise or without.

    Args:
        artifact: The network.
        mode: With noise ("samples") or without ("deterministic"); None for what the file has.
        path: Its file, for the error message.

    Raises:
        UsageError: If the file has no noise and the mode is "samples".
    """
    if mode == "deterministic":
        return artifact.deterministic
    if mode == "samples" and not artifact.is_stochastic:
        raise UsageError(
            f"--mode samples: {path} has no noise; expected a checkpoint, or a file that was"
            " exported with its noise"
        )
    return artifact
