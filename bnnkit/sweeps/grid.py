"""The runs of a sweep: every combination of the values that some keys of a configuration take."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, Final

import yaml

from bnnkit.errors import ConfigError
from bnnkit.training.config import Config, complete_config, load_values
from bnnkit.training.flat import flat
from bnnkit.training.plain_yaml import load_yaml, set_key

SECTION: Final = "sweep"
_LONGEST_NAME: Final = 100
_EXAMPLE: Final = "such as seed=1,2,3, or in the file sweep: {seed: [1, 2, 3]}"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One run of a sweep.

    Attributes:
        values: The value of each key that the sweep varies, with dots for the keys of a section.
        config: The whole configuration.
    """

    values: Mapping[str, Any]
    config: Config

    @property
    def name(self) -> str:
        """The name of the run's folder, such as "lr=0.1,seed=2".

        A name that would be too long, or have characters that are not for names of files, is
        shortened and ends in a hash of the values.
        """
        text = words(self.values)
        name = re.sub(r"[^\w.=,+-]", "_", text)[:_LONGEST_NAME]
        return name if name == text else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def words(values: Mapping[str, Any]) -> str:
    """Write values as on the command line: "lr=0.1,seed=2"."""
    return ",".join(f"{key}={value_words(value)}" for key, value in values.items())


def value_words(value: Any) -> str:
    """Write a value as YAML in one line."""
    text: str = yaml.safe_dump(value, default_flow_style=True, width=float("inf"))
    return text.removesuffix("...\n").strip()


def load_grid(path: Path, overrides: Sequence[str] = ()) -> list[Variant]:
    """Read a configuration in which some keys have several values.

    Args:
        path: A YAML file, with or without a section `sweep`, which holds a list of values for each
            key that varies: sweep: {seed: [1, 2, 3], model.width: [32, 64]}.
        overrides: "key=value" as for `load_config`, or "key=value,value", which varies the key.

    Returns:
        A variant for each combination of values; the last key varies fastest.

    Raises:
        FileError: The file cannot be read.
        ConfigError: The file or an override is wrong, no key has several values, or a value is
            listed twice or invalid.
    """
    given = dict(_key_and_values(override, str(path)) for override in overrides)
    fixed = [o for o in overrides if given[o.partition("=")[0]] is None]
    values = load_values(path, fixed)
    varied = _section(values.pop(SECTION, {}), str(path))
    for override in fixed:
        varied.pop(override.partition("=")[0], None)
    varied |= {key: items for key, items in given.items() if items is not None}
    if not varied:
        raise ConfigError(f"{path}: expected several values of at least one key, {_EXAMPLE}")
    _check_distinct(varied, str(path))
    return [
        _variant(values, dict(zip(varied, combination, strict=True)), str(path))
        for combination in product(*varied.values())
    ]


def _key_and_values(override: str, source: str) -> tuple[str, list[Any] | None]:
    """Return the key of an override, and its values, or None if it has only one.

    Commas inside of brackets and quotes do not separate values.
    """
    key, equals, text = override.partition("=")
    if not (key and equals and "," in text):
        return key, None
    items = load_yaml(f"[{text}]", f"{source}: {override}")
    return key, items if len(items) > 1 else None


def _section(section: Any, source: str) -> dict[str, list[Any]]:
    if not isinstance(section, dict):
        raise ConfigError(f"{source}: expected keys with lists of values in sweep, {_EXAMPLE}")
    found = flat(section)
    for key, items in found.items():
        if not isinstance(items, list) or not items:
            raise ConfigError(f"{source}: expected a list of values for {key} in sweep")
    return found


def _check_distinct(varied: Mapping[str, list[Any]], source: str) -> None:
    for key, items in varied.items():
        texts = [value_words(item) for item in items]
        twice = next((text for text in texts if texts.count(text) > 1), None)
        if twice is not None:
            raise ConfigError(f"{source}: the value {twice} of {key} is listed twice; remove one")


def _variant(values: Mapping[str, Any], chosen: dict[str, Any], source: str) -> Variant:
    whole = deepcopy(dict(values))
    for key, value in chosen.items():
        set_key(whole, key, value, source)
    return Variant(values=chosen, config=complete_config(whole, f"{source} with {words(chosen)}"))
