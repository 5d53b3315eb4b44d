"""The page of the keys of a training configuration, from the pydantic models."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import pydantic

from bnnkit.training.config import Config, DataConfig, DistillationConfig, LatentConfig
from bnnkit.training.model_config import BinarizeConfig, ModelConfig

SECTIONS: dict[str, type[pydantic.BaseModel]] = {
    "": Config,
    "data": DataConfig,
    "model": ModelConfig,
    "model.binarize": BinarizeConfig,
    "latent": LatentConfig,
    "distillation": DistillationConfig,
}
HEAD = """# Configuration

The keys of the YAML file of `bnnkit train`, made from the models that check it. An unknown key \
or an impossible value is an error that names it. On the command line, `key=value` replaces a \
value, with dots for sections: `lr=0.001 model.width=64`. A default None is written `null` in \
YAML. [Training](../training.md) explains how the keys work together, and \
[examples/configs](../../examples/configs) has whole recipes.
"""


def configuration_page() -> str:
    """Return the page in Markdown."""
    return "\n".join([HEAD, *(text for name in SECTIONS for text in _section(name))])


def _section(name: str) -> Iterator[str]:
    model = SECTIONS[name]
    schema = model.model_json_schema()
    described = described_attributes(model.__doc__ or "")
    yield f"## {name or 'The run'}\n"
    yield "| Key | Value | Default | Meaning |\n| --- | --- | --- | --- |"
    for key, field in model.model_fields.items():
        full = f"{name}.{key}" if name else key
        value = _value(schema["properties"][key], schema.get("$defs", {}))
        yield f"| `{full}` | {_cell(value)} | {_default(field)} | {_cell(described[key])} |"
    if name == "model":
        yield "\nEvery other key is an option of the network ([networks](api/models.md))."
    yield ""


def described_attributes(docstring: str) -> dict[str, str]:
    """Return the text of each entry under "Attributes:"."""
    _, _, rest = docstring.partition("Attributes:\n")
    rest = re.split(r"\n    \w+:\n", rest)[0]
    entries = re.findall(r"^        (\w+): (.*(?:\n            .*|\n(?=\n))*)", rest, re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in entries}


def _default(field: Any) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, pydantic.BaseModel):
        return "see below"
    return f"`{value}`"


def _value(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    """Say in words what a JSON schema allows."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        target = definitions.get(name, {})
        return "a section" if target.get("type") == "object" else _value(target, definitions)
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "anyOf" in schema:
        parts = [_value(part, definitions) for part in schema["anyOf"]]
        return " or ".join(part for part in parts if part != "nothing")
    if schema.get("type") == "array":
        items = schema.get("items") or {}
        return f"a list of {_value(items, definitions) if items else 'values'}"
    return _plain(schema)


def _plain(schema: Mapping[str, Any]) -> str:
    words = {
        "integer": "an integer", "number": "a number", "string": "text", "null": "nothing",
        "boolean": "true or false", "object": "keys and values",
    }.get(str(schema.get("type")), "a value")  # fmt: skip
    limits = {
        "minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most",
        "exclusiveMaximum": "below",
    }  # fmt: skip
    return ", ".join(
        [words, *(f"{w} {schema[key]}" for key, w in limits.items() if key in schema)]
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
