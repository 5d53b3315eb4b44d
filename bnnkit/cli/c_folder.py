"""The folder of C that `bnnkit export --to c` writes, and the report on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bnnkit.cli.console import print_table, write
from bnnkit.cli.model_source import in_mode, read_model_file
from bnnkit.cli.report_table import size
from bnnkit.errors import FileError, UsageError
from bnnkit.files.kinds import SUFFIXES

if TYPE_CHECKING:
    from bnnkit.artifact.artifact import Artifact
    from bnnkit.artifact.format.constants import Mode
    from bnnkit.runtime.c_code import CReport


@dataclass(frozen=True, kw_only=True)
class CFolder:
    """The options of a folder of C to write.

    Attributes:
        mode: With noise ("samples") or without ("deterministic"); None for what the file has.
        name: The prefix of functions and files.
    """

    mode: "Mode | None"
    name: str

    def artifact(self, path: Path, *, calibrates: bool, draws: int) -> "Artifact":
        """Read the artifact in a model file, with its noise or without.

        Args:
            path: The file.
            calibrates: Whether --calibrate is given, which needs a checkpoint.
            draws: The value of --sample-weights, which needs a checkpoint.

        Raises:
            ArtifactError: If the file is missing or damaged.
            UsageError: If an option needs a checkpoint, or the file has no noise and the mode is
                "samples".
        """
        artifact = read_model_file(path, calibrates=calibrates, draws=draws)
        return in_mode(artifact, self.mode, path)

    def write(self, artifact: "Artifact", path: Path) -> "CReport":
        """Write an artifact as C.

        Raises:
            UsageError, UnsupportedError, FileError: As `export_c`.
        """
        from bnnkit.runtime.c_code import export_c

        return export_c(artifact, path, name=self.name)


def check_folder(path: Path) -> None:
    """Check, before long work, that a folder can be written.

    Raises:
        UsageError: If its suffix is that of a file in another format.
        FileError: If the path is something else, or the folder above it is missing.
    """
    named = SUFFIXES.get(path.suffix.lower(), "c")
    if named != "c":
        raise UsageError(
            f"--to c: expected -o to name a folder, got {path}, whose suffix names {named};"
            " change --to or the name"
        )
    if path.exists() and not path.is_dir():
        raise FileError(f"cannot write {path}: expected a folder, it is a file; choose another")
    if not path.parent.is_dir():
        raise FileError(f"cannot write {path}: there is no folder {path.parent}")


def print_c_report(report: "CReport") -> None:
    """Print what the network needs on a device."""
    rows = [
        ("flash: constants, without the code", size(report.constant_bytes)),
        ("RAM: workspace of a call", size(report.workspace_bytes)),
        ("of which a pass without noise uses", size(report.pass_bytes)),
        ("RAM: stack of a call besides, at most", size(report.stack_bytes)),
    ]
    print_table("memory", ("what", "bytes"), rows, left=("what",))
    write(f"functions: {report.name}_run and {report.name}_predict, declared in {report.name}.h")
