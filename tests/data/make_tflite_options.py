"""Stores what schema.fbs says about the options of builtin operators: tflite_options.json.

    python tests/data/make_tflite_options.py

Reads the accessors that flatc generated from TensorFlow's schema, which larq-compute-engine ships.
"""

import importlib.util
import json
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ACCESSOR = re.compile(
    r"    def (?P<name>\w+)\(self\):\n"
    r"        o = .*self\._tab\.Offset\((?P<offset>\d+)\)\)\n"
    r"        if o != 0:\n"
    r"            return (?P<value>.*)\n"
    r"        return (?P<default>.*)\n"
)


def facts() -> dict[str, dict[str, Any]]:
    """Number and fields of each table; of each field the slot, the type and the default."""
    source = generated().read_text()
    union = source[source.index("class BuiltinOptions(") :].split("\n\n")[0]
    numbers = re.findall(r"    (\w+Options) = (\d+)", union)
    return {
        name: {"number": int(number), "fields": fields(source, name)} for name, number in numbers
    }


def generated() -> Path:
    package = importlib.util.find_spec("larq_compute_engine")
    assert package is not None
    assert package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / "mlir" / "python" / "tflite_schema.py"


def fields(source: str, table: str) -> dict[str, list[Any]]:
    """By the name of the accessor. The length of a vector stands for the vector."""
    start = source.index(f"class {table}(object):")
    found: dict[str, list[Any]] = {}
    for match in ACCESSOR.finditer(source[start : source.index("\nclass ", start)]):
        name, slot = match["name"], (int(match["offset"]) - 4) // 2
        scalar = re.search(r"number_types\.(\w+)Flags", match["value"])
        if name.endswith("Length"):
            found[name.removesuffix("Length")] = [slot, "Vector", None]
        elif scalar and not name.endswith("AsNumpy"):
            found[name] = [slot, scalar[1], json.loads(match["default"].lower())]
        elif "String" in match["value"]:
            found[name] = [slot, "String", None]
    return found


if __name__ == "__main__":
    lines = [f"  {json.dumps(name)}: {json.dumps(table)}" for name, table in facts().items()]
    (HERE / "tflite_options.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")
