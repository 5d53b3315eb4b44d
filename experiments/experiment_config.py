"""Configurations of experiments: typed, in YAML, with overrides."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pydantic

from bnnkit.errors import ConfigError, FileError, brief
from bnnkit.files.regular_file import read_bytes
from bnnkit.training.plain_yaml import load_keys

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


_MOST_PROBLEMS = 3


def load_config(kind: type[C], path: Path, overrides: Sequence[str] = ()) -> C:
    """Read a configuration of a type; overrides are KEY=VALUE, with dots between sections.

    Raises:
        FileError: If it cannot be read.
        ConfigError: If it is not YAML, or a key or value is wrong.
    """
    try:
        text = read_bytes(path, what="the configuration").decode()
    except UnicodeDecodeError as error:
        raise FileError(f"cannot read the configuration {path}: {error}") from error
    values = load_keys(text, overrides, str(path))
    try:
        return kind.model_validate(values)
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False)
        problems = [_explain(detail) for detail in details[:_MOST_PROBLEMS]]
        if len(details) > _MOST_PROBLEMS:
            problems.append(f"and {len(details) - _MOST_PROBLEMS} more")
        raise ConfigError(f"{path}: {'; '.join(problems)}") from error


def _explain(detail: Any) -> str:
    key = ".".join(map(str, detail["loc"]))
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key}"
    if detail["type"] == "missing":
        return f"the key {key} is missing"
    expected = detail["msg"].removeprefix("Input should be ")
    return f"{key}: expected {expected}, got {brief(detail['input'])}"
