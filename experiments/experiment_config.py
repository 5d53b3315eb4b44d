"""Configurations of experiments: typed, in YAML, with overrides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pydantic
import yaml

from bnnkit.errors import ConfigError

Record = dict[str, Any]
"""What JSON can hold."""


class Config(pydantic.BaseModel):
    """The base of configurations: unknown keys are errors.

    Attributes:
        places: Keys that say where data are, which results do not store.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    places: ClassVar[dict[str, Any]] = {"data": {"dir"}}

    def stored(self) -> Record:
        """The keys and values that decide the result."""
        return self.model_dump(mode="json", exclude=self.places)


C = TypeVar("C", bound=Config)


def load_config(kind: type[C], path: Path, overrides: Sequence[str] = ()) -> C:
    """Read a configuration of a type; overrides are KEY=VALUE, with dots between sections.

    Raises:
        ConfigError: If it is not YAML, or a key or value is wrong.
    """
    try:
        values = yaml.safe_load(path.read_text()) or {}
        for override in overrides:
            key, _, text = override.partition("=")
            *sections, name = key.split(".")
            section = values
            for part in sections:
                section = section.setdefault(part, {})
            section[name] = yaml.safe_load(text)
        return kind.model_validate(values)
    except (yaml.YAMLError, pydantic.ValidationError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from error
