"""The artifact, bnnkit's file format: its graph, bits, noise, metadata, checks and reports.

`Artifact` is such a file in memory. It is imported on first use, because it needs onnx.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnnkit.artifact.artifact import Artifact

__all__ = ["Artifact"]


def __getattr__(name: str) -> Any:
    if name != "Artifact":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from bnnkit.artifact.artifact import Artifact

    return Artifact
