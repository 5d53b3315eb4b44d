"""What a .tflite file says about itself: the artifact's own metadata (docs/artifact.md)."""

import json

import onnx

from bnnkit.artifact.format import DOMAIN, TFLITE_METADATA


def about(model: onnx.ModelProto) -> dict[str, bytes]:
    """The entry's content: the artifact's `bnnkit.` properties as a JSON object of strings."""
    entries = {
        entry.key: entry.value
        for entry in model.metadata_props
        if entry.key.startswith(f"{DOMAIN}.")
    }
    return {TFLITE_METADATA: json.dumps(entries, ensure_ascii=False).encode()}
