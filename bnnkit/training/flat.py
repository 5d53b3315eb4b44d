"""Flatten nested dictionaries."""

from collections.abc import Mapping
from typing import Any


def flat(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of nested dictionaries under names such as "latent.lr", in order."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= {f"{key}.{name}": item for name, item in flat(value).items()}
        else:
            found[key] = value
    return found
