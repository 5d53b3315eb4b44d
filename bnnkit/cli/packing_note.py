"""The note that a plain file could be packed."""

from pathlib import Path

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.packable import packing_hint
from bnnkit.cli.console import write_note


def write_packing_note(artifact: Artifact, path: Path) -> None:
    """Say on standard error that `bnnkit convert` packs a file, if it is plain and binary."""
    if (hint := packing_hint(artifact, str(path))) is not None:
        write_note(hint)
