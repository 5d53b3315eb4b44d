"""What a .tflite file says about itself: the artifact's own metadata (docs/artifact.md)."""

import json
from typing import Final

import onnx

from bnnkit.artifact_format import DOMAIN

ENTRY: Final = "bnnkit"
"""The name of the entry in TFLite's list of metadata."""


def about(model: onnx.ModelProto) -> dict[str, bytes]:
    """The entry's content: the artifact's `bnnkit.` properties as a JSON object of strings."""
    entries = {
        entry.key: entry.value
        for entry in model.metadata_props
        if entry.key.startswith(f"{DOMAIN}.")
    }
    return {ENTRY: json.dumps(entries, ensure_ascii=False).encode()}
