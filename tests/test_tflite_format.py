"""The .tflite format: one table of operators for reader and writer, and networks both ways."""

import importlib.util
import json
from dataclasses import fields, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from artifacts import digits_like, noisy_digits_like
from lce_files import DATA, FILES

from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.export.tflite import Variant, to_tflite
from bnnkit.runtime.from_tflite.folding import FOLDS
from bnnkit.runtime.from_tflite.translations import TRANSLATIONS
from bnnkit.tflite.fields import Field, Options, fields_of
from bnnkit.tflite.lce_options import LceBMaxPool2dOptions, LceOptions, from_map
from bnnkit.tflite.network import Network, Operator, Quantization, Tensor
from bnnkit.tflite.operators import BUILTINS, CUSTOM, UnknownOptions, options_kind
from bnnkit.tflite.options import Pool2DOptions, SoftmaxOptions
from bnnkit.tflite.read import read
from bnnkit.tflite.read_flatbuffer import Buffer
from bnnkit.tflite.schema import Builtin, TensorType
from bnnkit.tflite.slots import ModelSlot, OperatorCodeSlot, OperatorSlot, SubGraphSlot
from bnnkit.tflite.write import write

SCHEMA: dict[str, dict[str, Any]] = json.loads((DATA / "tflite_options.json").read_text())
TABLES = {table["number"]: name for name, table in SCHEMA.items()}
OTHER_NAMES = {
    Builtin.AVERAGE_POOL_2D: "Pool2D",
    Builtin.MAX_POOL_2D: "Pool2D",
    Builtin.L2_NORMALIZATION: "L2Norm",
    Builtin.MAXIMUM: "MaximumMinimum",
    Builtin.MINIMUM: "MaximumMinimum",
    Builtin.RANDOM_UNIFORM: "Random",
    **dict.fromkeys((Builtin.MEAN, Builtin.SUM), "Reducer"),
    **dict.fromkeys((Builtin.REDUCE_MAX, Builtin.REDUCE_MIN, Builtin.REDUCE_PROD), "Reducer"),
}
"""Tables that are not named after their operator."""
CODES = [*BUILTINS, *CUSTOM]


def network(code: Builtin | str, options: Options | None) -> Network:
    tensors = tuple(
        Tensor(name=name, type=TensorType.FLOAT32, shape=(1, 2, 2, 3)) for name in ("x", "y")
    )
    operator = Operator(code=code, inputs=(0,), outputs=(1,), options=options)
    return Network(tensors=tensors, operators=(operator,), inputs=(0,), outputs=(1,))


def unusual(declared: Field, number: int) -> Any:
    """A value that is not the default of a field."""
    if declared.values is not None:
        return next(member for member in declared.values if member != declared.default)
    values: dict[str, Any] = {
        "Bool": not declared.default,
        "Float32": number + 0.25,
        "Int32Vector": (number, -1),
    }
    return values.get(declared.scalar, -number)


def unusual_options(code: Builtin | str) -> Options | None:
    kind = options_kind(code)
    if kind is None:
        return None
    if issubclass(kind, LceOptions):
        numbers: dict[str, int] = {entry.name: i for i, entry in enumerate(fields(kind), 300)}
        numbers |= {name: 1 for name in numbers if name in ("padding", "pad_values")}
        numbers |= {name: 3 for name in numbers if name == "fused_activation_function"}
        return kind(**numbers)
    declared = fields_of(kind)
    return kind(**{name: unusual(one, i) for i, (name, one) in enumerate(declared.items(), 2)})


@pytest.mark.parametrize("code", CODES, ids=str)
def test_options_are_read_as_they_were_written(code: Builtin | str) -> None:
    given = network(code, unusual_options(code))
    assert read(write(given)) == given


@pytest.mark.parametrize("code", [code for code in BUILTINS if options_kind(code)], ids=str)
def test_options_that_are_left_out_are_the_defaults(code: Builtin) -> None:
    """Both where the table lacks the fields and where the operator lacks the table."""
    kind = options_kind(code)
    assert kind is not None
    given = network(code, kind())
    content = bytearray(write(given))
    assert read(bytes(content)) == given
    content[place_of(content, OperatorSlot.OPTIONS_TYPE)] = 0
    slot = slot_of(content, OperatorSlot.OPTIONS)
    content[slot : slot + 2] = bytes(2)
    assert read(bytes(content)) == given


def operator_table(content: bytearray) -> Any:
    (graph,) = Buffer(bytes(content)).root().tables(ModelSlot.SUBGRAPHS, lambda table: table)
    (operator,) = graph.tables(SubGraphSlot.OPERATORS, lambda table: table)
    return operator


def place_of(content: bytearray, slot: OperatorSlot) -> int:
    """Where the value of a slot of the only operator is."""
    place = operator_table(content).place(slot)
    assert place is not None
    return int(place)


def slot_of(content: bytearray, slot: OperatorSlot) -> int:
    """Where the file says where the value is."""
    return int(operator_table(content)._slots) + 4 + 2 * slot


def camel(name: str) -> str:
    """A field's name as flatc writes the accessor."""
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


@pytest.mark.parametrize("code", [code for code, table in BUILTINS.items() if table.number])
def test_tables_are_those_of_the_schema(code: Builtin) -> None:
    """All fields of each table, with slots, types and defaults."""
    table = BUILTINS[code]
    name = TABLES[table.number]
    stem = OTHER_NAMES.get(code, code.name.replace("_", ""))
    assert name.removesuffix("Options").lower() == stem.lower()
    declared = {} if table.kind is None else fields_of(table.kind)
    ours = {
        camel(name): [one.slot, "Vector", None]
        if one.scalar == "Int32Vector"
        else [one.slot, one.scalar, one.default]
        for name, one in declared.items()
    }
    assert ours == SCHEMA[name]["fields"]


def test_operators_without_a_table_have_none_in_the_schema() -> None:
    names = {name.removesuffix("Options").lower() for name in SCHEMA}
    for code, table in BUILTINS.items():
        if not table.number:
            assert code.name.replace("_", "").lower() not in names


@pytest.mark.skipif(
    importlib.util.find_spec("larq_compute_engine") is None, reason="needs larq-compute-engine"
)
def test_the_stored_schema_is_that_of_lce() -> None:
    path = DATA / "make_tflite_options.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.facts() == SCHEMA


def test_enumerations_fit_into_their_type() -> None:
    for table in BUILTINS.values():
        for one in () if table.kind is None else fields_of(table.kind).values():
            assert (one.scalar == "Int8") == (one.values is not None)
            if one.values is not None:
                assert issubclass(one.values, IntEnum)
                assert isinstance(one.default, one.values)


def test_every_operator_that_is_translated_is_in_the_table() -> None:
    assert {*TRANSLATIONS, *FOLDS} <= {*BUILTINS, *CUSTOM}


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_stored_files_are_read_as_they_were_written(path: Path) -> None:
    """Files of LCE's converter, with the quantization of each channel and foreign metadata."""
    given = read(path.read_bytes())
    assert not any(isinstance(operator.options, UnknownOptions) for operator in given.operators)
    assert read(write(given)) == given


@pytest.mark.parametrize("variant", ["lce", "builtin"])
@pytest.mark.parametrize("make", [digits_like, noisy_digits_like])
def test_own_files_are_written_again_byte_for_byte(make: Any, variant: Variant) -> None:
    content = to_tflite(make()[0], variant=variant).content
    assert write(read(content)) == content


def test_scales_of_channels_are_read_as_they_were_written() -> None:
    given = network(Builtin.RELU, None)
    scale = tuple(np.array([0.1, 2.0, 1e-30], np.float32).tolist())
    quantization = Quantization(scale=scale, zero_point=(0, -3, 100), axis=3)
    tensors = (replace(given.tensors[0], quantization=quantization), given.tensors[1])
    given = replace(given, tensors=tensors, description="x", metadata={"a": b"\0\xff", "b": b""})
    assert read(write(given)) == given


def test_an_unknown_value_of_an_enumeration_is_named() -> None:
    options = Pool2DOptions(padding=7)  # type: ignore[arg-type]
    with pytest.raises(UnsupportedError, match=r"operator 0 \(MAX_POOL_2D\): unknown padding 7"):
        read(write(network(Builtin.MAX_POOL_2D, options)))


def test_an_unknown_value_in_a_map_is_named() -> None:
    options = LceBMaxPool2dOptions(
        padding=7,  # type: ignore[arg-type]
        stride_width=1,
        stride_height=1,
        filter_width=1,
        filter_height=1,
    )
    with pytest.raises(UnsupportedError, match=r"operator 0 \(LceBMaxPool2d\): unknown padding 7"):
        read(write(network("LceBMaxPool2d", options)))


def test_a_map_without_options_lacks_all_of_them() -> None:
    with pytest.raises(ArtifactError, match="the options lack filter_height, filter_width, pad"):
        from_map(LceBMaxPool2dOptions, b"")


def test_options_of_another_operator_are_not_written() -> None:
    with pytest.raises(TypeError, match="MAX_POOL_2D cannot have SoftmaxOptions"):
        write(network(Builtin.MAX_POOL_2D, SoftmaxOptions()))


def test_unknown_options_are_kept_apart() -> None:
    """Those of a builtin operator cannot be written; those of a custom one are bytes."""
    content = bytearray(write(network(Builtin.SOFTMAX, SoftmaxOptions())))
    code = Builtin.LOCAL_RESPONSE_NORMALIZATION
    (used,) = Buffer(bytes(content)).root().tables(ModelSlot.OPERATOR_CODES, lambda table: table)
    for slot in (OperatorCodeSlot.BUILTIN_CODE, OperatorCodeSlot.DEPRECATED_BUILTIN_CODE):
        place = used.place(slot)
        assert place is not None
        content[place] = code
    found = read(bytes(content))
    assert found.operators[0].code is code
    with pytest.raises(UnsupportedError, match="LOCAL_RESPONSE_NORMALIZATION are unknown"):
        write(found)
    own = Operator(code="Other", inputs=(0,), outputs=(1,), custom_options=b"any bytes")
    given = replace(network("Other", None), operators=(own,))
    assert read(write(given)) == given
