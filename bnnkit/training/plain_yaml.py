"""YAML text as plain values, in time and memory that its length bounds."""

from collections.abc import Sequence
from math import inf
from typing import Any

import yaml
from yaml.constructor import ConstructorError

from bnnkit.errors import ConfigError, brief

_LONGEST_TEXT = 1 << 16
_DEEPEST, _MOST_VALUES = 20, 10_000


def load_yaml(text: str, source: str) -> Any:
    """Read values from YAML text; `source` is its name in errors.

    Raises:
        ConfigError: The text is not YAML, too long, nested too deeply, has a key twice or one that
            is not text, or repeats values by aliases too often.
    """
    if len(text) > _LONGEST_TEXT:
        raise ConfigError(
            f"{source} is no configuration: expected at most {_LONGEST_TEXT:,} characters, got "
            f"{len(text):,}"
        )
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f", line {error.problem_mark.line + 1}"
        fault = "" if isinstance(error, ConstructorError) else " is not valid YAML"
        raise ConfigError(f"{source}{fault}{line}: {error.problem}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from error
    except Exception as error:  # its constructors of numbers, dates, ... raise almost anything
        raise ConfigError(f"{source}: a value cannot be read ({error})") from error


def load_keys(text: str, overrides: Sequence[str], source: str) -> dict[str, Any]:
    """Read keys and values from YAML text, which may be empty, and set those of the overrides.

    Args:
        text: The YAML text.
        overrides: "key=value", with dots for the keys of a section; the value is YAML.
        source: The name of the text in errors.

    Raises:
        ConfigError: As for `load_yaml`, the text holds no keys, or an override is wrong.
    """
    values = load_yaml(text, source)
    if values is None:
        values = {}
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: expected 'key: value' lines, got {type(values).__name__}")
    for override in overrides:
        _apply(values, override, source)
    return values


def _apply(values: dict[str, Any], override: str, source: str) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise ConfigError(f"{source}: expected an override key=value, got {override!r}")
    set_key(values, key, load_yaml(text, f"{source}: {override}"), source)


def set_key(values: dict[str, Any], key: str, value: Any, source: str) -> None:
    """Set a key, with dots for the keys of a section; `source` is the text's name in errors.

    Raises:
        ConfigError: The key lies in a section that is a value.
    """
    *sections, name = key.split(".")
    section = values
    for part in sections:
        section = section.setdefault(part, {})
        if not isinstance(section, dict):
            raise ConfigError(f"{source}: cannot set {key}: {part} is a value, not a section")
    section[name] = value


class _Loader(yaml.SafeLoader):
    """A loader that rejects duplicate keys (YAML's own takes the last) and hostile texts.

    A text can nest values until Python's stack is full, or repeat a value by an alias that repeats
    another one, which makes a gigabyte of a few lines.
    """

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._values = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        self._values += 1
        if self._values > _MOST_VALUES:
            raise ConstructorError(problem=f"it has more than {_MOST_VALUES:,} values")
        if self._depth > _DEEPEST:
            raise ConstructorError(problem=f"values are nested more than {_DEEPEST} deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def compose_document(self) -> yaml.Node | None:
        node = super().compose_document()
        if node is not None and _count(node, {}) > _MOST_VALUES:
            problem = f"aliases repeat its values more than {_MOST_VALUES:,} times"
            raise ConstructorError(problem=problem)
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                hint = "; put it in quotes" if isinstance(key_node, yaml.ScalarNode) else ""
                problem = f"expected text as a key, got {brief(key)}{hint}"
                raise ConstructorError(problem=problem, problem_mark=key_node.start_mark)
            if key in seen:
                problem = f"the key {brief(key)} is given twice; remove one"
                raise ConstructorError(problem=problem, problem_mark=key_node.start_mark)
            seen.add(key)
        return super().construct_mapping(node, deep)


def _count(node: yaml.Node, counted: dict[int, float]) -> float:
    """Count the values below a node as often as aliases repeat them; inf if one holds itself."""
    if not isinstance(node, yaml.CollectionNode):
        return 1
    if id(node) not in counted:
        counted[id(node)] = inf
        below = [
            part for item in node.value for part in (item if isinstance(item, tuple) else (item,))
        ]
        counted[id(node)] = 1 + sum(_count(one, counted) for one in below)
    return counted[id(node)]
