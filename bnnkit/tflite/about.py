"""What a .tflite file of bnnkit says about itself: the metadata of its artifact."""

import json
from typing import Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format import DOMAIN, TFLITE_METADATA
from bnnkit.errors import ArtifactError
from bnnkit.tflite.flatbuffer import Table

_METADATA, _NAME, _BUFFER = 6, 0, 1
"""Slots: of the list in the table Model, and of the table Metadata."""
_OF_THE_FILE: Final = frozenset(
    f"{DOMAIN}.{key}" for key in ("format", "mode", "input", "signs", "source")
)
"""What a file that is read says of itself anew."""


def about(root: Table, buffers: list[NDArray[np.uint8] | None]) -> dict[str, str]:
    """Metadata of the artifact that a file was made of; empty in files of others.

    Args:
        root: The table Model.
        buffers: Of the file.

    Raises:
        ArtifactError: The entry is damaged.
    """
    entries = root.tables(_METADATA, lambda table: (table.text(_NAME), table.number(_BUFFER, "I")))
    place = next((place for name, place in entries if name == TFLITE_METADATA), None)
    if place is None:
        return {}
    data = buffers[place] if place < len(buffers) else None
    try:
        found = json.loads(b"" if data is None else data.tobytes())
    except ValueError as error:
        raise ArtifactError("the TFLite file's metadata of bnnkit is damaged") from error
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ArtifactError("the TFLite file's metadata of bnnkit is damaged")
    return {
        key: text
        for key, text in found.items()
        if key.startswith(f"{DOMAIN}.") and key not in _OF_THE_FILE
    }
