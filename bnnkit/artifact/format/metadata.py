"""The entries of an artifact's metadata that bnnkit wrote."""

from typing import Final

import onnx

from bnnkit.artifact.format.constants import DOMAIN

METADATA_PREFIX: Final = f"{DOMAIN}."


def metadata_of(model: onnx.ModelProto) -> dict[str, str]:
    """Return the entries by key, without the prefix "bnnkit."."""
    return {
        entry.key.removeprefix(METADATA_PREFIX): entry.value
        for entry in model.metadata_props
        if entry.key.startswith(METADATA_PREFIX)
    }
