"""An artifact's own metadata in a .tflite file: a JSON object of strings (docs/artifact.md)."""

import json
from collections.abc import Mapping

from bnnkit.artifact.format.constants import DOMAIN, TFLITE_METADATA
from bnnkit.errors import ArtifactError

_PREFIX = f"{DOMAIN}."


def to_entries(properties: Mapping[str, str]) -> dict[str, bytes]:
    """`Network.metadata` of a file that is made from an artifact.

    Args:
        properties: Of the artifact; those whose names begin with `bnnkit.` are kept.
    """
    return {TFLITE_METADATA: json.dumps(_own(properties), ensure_ascii=False).encode()}


def from_entries(entries: Mapping[str, bytes]) -> dict[str, str]:
    """Properties of the artifact that a file was made from; none if bnnkit did not write it.

    Args:
        entries: `Network.metadata` of the file.

    Raises:
        ArtifactError: bnnkit's entry is damaged.
    """
    if TFLITE_METADATA not in entries:
        return {}
    try:
        found = json.loads(entries[TFLITE_METADATA])
    except (ValueError, RecursionError) as error:
        raise ArtifactError("bnnkit's metadata in the TFLite file is damaged") from error
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise ArtifactError("bnnkit's metadata in the TFLite file is damaged")
    return _own(found)


def _own(properties: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in properties.items() if key.startswith(_PREFIX)}
