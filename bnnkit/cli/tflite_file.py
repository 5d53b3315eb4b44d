"""What `bnnkit export --to tflite` reads and writes."""

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
    """Whether a CKPT_OR_MODEL is a model file, which need not exist, and no checkpoint."""
    return path.suffix in _SUFFIXES or (path.is_file() and not options.is_checkpoint(path))


@dataclass(frozen=True, kw_only=True)
class TfliteFile:
    """What kind of file it shall be.

    Attributes:
        mode: With noise or without.
        variant: For Larq Compute Engine, or of builtin operators.
        uniform_input: Whether its random numbers are inputs.
        seed: Of its own random numbers; 0 for fresh ones.
    """

    mode: "Mode"
    variant: "Variant"
    uniform_input: bool
    seed: int

    def artifact(self, path: Path, *, calibrates: bool, draws: int) -> "Artifact":
        """The artifact in a model file, with its noise or without.

        Args:
            path: The file.
            calibrates: Whether --calibrate is given, which a model file has no use for.
            draws: Of --sample-weights, likewise.

        Raises:
            ArtifactError: The file is missing or damaged.
            UsageError: An option needs a checkpoint, or the seed has no use; or the file is TFLite
                already, or has no noise and shall be sampled.
        """
        from bnnkit.runtime.open_file import read

        given = {"--calibrate": calibrates, "--sample-weights": draws != 0}
        if names := " and ".join(name for name, is_given in given.items() if is_given):
            raise UsageError(f"{names}: expected a checkpoint for that, got the model file {path}")
        if self.seed and (self.mode == "deterministic" or self.uniform_input):
            raise UsageError(
                "--seed is of the random numbers that the file draws: give --mode samples, without"
                " --uniform-input"
            )
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
