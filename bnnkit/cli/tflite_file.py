"""The files that `bnnkit export --to tflite` reads and writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnkit.cli import options
from bnnkit.errors import UsageError

if TYPE_CHECKING:
    from bnnkit.artifact.artifact import Artifact
    from bnnkit.artifact.format.constants import Mode
    from bnnkit.export.tflite import TfliteReport, Variant

_SUFFIXES = (".onnx", ".tflite")


def is_model_file(path: Path) -> bool:
    """Return whether a CKPT_OR_MODEL is a model file (even if missing) and not a checkpoint."""
    return path.suffix in _SUFFIXES or (path.is_file() and not options.is_checkpoint(path))


def check_for_model_file(path: Path, *, calibrates: bool, draws: int) -> None:
    """Check that no option is given that needs a checkpoint.

    Args:
        path: The model file.
        calibrates: Whether --calibrate is given.
        draws: The value of --sample-weights.

    Raises:
        UsageError: If one is.
    """
    given = {"--calibrate": calibrates, "--sample-weights": draws != 0}
    if names := " and ".join(name for name, is_given in given.items() if is_given):
        raise UsageError(f"{names}: expected a checkpoint, got the model file {path}")


@dataclass(frozen=True, kw_only=True)
class TfliteFile:
    """The options of a .tflite file to write.

    Attributes:
        mode: With noise ("samples") or without ("deterministic").
        variant: For Larq Compute Engine ("lce"), or with builtin operators only ("builtin").
        uniform_input: Whether its random numbers are inputs.
        seed: The seed of the random numbers that it draws; 0 for fresh ones in each run.
    """

    mode: "Mode"
    variant: "Variant"
    uniform_input: bool
    seed: int

    def artifact(self, path: Path, *, calibrates: bool, draws: int) -> "Artifact":
        """Read the artifact in a model file, with its noise or without.

        Args:
            path: The file.
            calibrates: Whether --calibrate is given, which needs a checkpoint.
            draws: The value of --sample-weights, which needs a checkpoint.

        Raises:
            ArtifactError: If the file is missing or damaged.
            UsageError: If an option needs a checkpoint, the file is TFLite already, or it has no
                noise and the mode is "samples".
        """
        from bnnkit.runtime.open_file import read

        check_for_model_file(path, calibrates=calibrates, draws=draws)
        artifact = read(path)
        if artifact.tflite_source is not None:
            raise UsageError(
                f"{path} is a TFLite file already; expected a checkpoint, or an .onnx file that"
                " bnnkit wrote"
            )
        if self.mode == "deterministic":
            return artifact.deterministic
        if not artifact.is_stochastic:
            raise UsageError(
                f"--mode samples: {path} has no noise; expected a checkpoint, or a file that was"
                " exported with its noise"
            )
        return artifact

    def write(self, artifact: "Artifact", path: Path) -> "TfliteReport":
        """Write an artifact as a .tflite file.

        Raises:
            UsageError, UnsupportedError, FileError: As `export_tflite`.
        """
        from bnnkit.export.tflite import GivenUniforms, RandomUniforms, export_tflite

        uniforms = GivenUniforms() if self.uniform_input else RandomUniforms(self.seed)
        return export_tflite(artifact, path, variant=self.variant, uniforms=uniforms)
