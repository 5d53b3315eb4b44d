"""The file that `bnnkit export --to tflite` writes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnkit.cli.model_source import in_mode, read_model_file
from bnnkit.errors import UsageError

if TYPE_CHECKING:
    from bnnkit.artifact.artifact import Artifact
    from bnnkit.artifact.format.constants import Mode
    from bnnkit.export.tflite import TfliteReport, Variant


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
        artifact = read_model_file(path, calibrates=calibrates, draws=draws)
        if artifact.tflite_source is not None:
            raise UsageError(
                f"{path} is a TFLite file already; expected a checkpoint, or an .onnx file that"
                " bnnkit wrote"
            )
        return in_mode(artifact, self.mode, path)

    def write(self, artifact: "Artifact", path: Path) -> "TfliteReport":
        """Write an artifact as a .tflite file.

        Raises:
            UsageError, UnsupportedError, FileError: As `export_tflite`.
        """
        from bnnkit.export.tflite import GivenUniforms, RandomUniforms, export_tflite

        uniforms = GivenUniforms() if self.uniform_input else RandomUniforms(self.seed)
        return export_tflite(artifact, path, variant=self.variant, uniforms=uniforms)
