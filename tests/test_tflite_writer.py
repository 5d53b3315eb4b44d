"""The bytes of a .tflite file, read by flatbuffers alone and by the schema that LCE ships."""

import importlib.util
import itertools
import json
from pathlib import Path
from typing import Any

import flatbuffers.encode
import numpy as np
import pytest
from artifacts import ArtifactBuilder, digits_like, noisy_digits_like
from flatbuffers import flexbuffers, number_types
from onnx import helper
from tflite_runs import VARIANTS, assert_equal_in_lce, needs_lce, normal, open_file, to_nhwc

from bnnkit.artifact.format.bits import pack_signs
from bnnkit.export.tflite import Variant, to_tflite
from bnnkit.export.tflite.lce_operators import pack_words
from bnnkit.export.tflite.zero_padding import outside_sums
from bnnkit.tflite.flexbuffer import write_map
from bnnkit.tflite.lce_options import (
    LceBconv2dOptions,
    LceBMaxPool2dOptions,
    LceOptions,
    from_map,
    to_map,
)
from bnnkit.tflite.metadata import to_entries
from bnnkit.tflite.schema import Builtin, Padding, TensorType
from bnnkit.tflite.window import Window


def read_by_schema(content: bytes) -> Any:
    package = importlib.util.find_spec("larq_compute_engine")
    assert package is not None
    assert package.submodule_search_locations
    path = f"{package.submodule_search_locations[0]}/mlir/python/tflite_schema.py"
    spec = importlib.util.spec_from_file_location("tflite_schema", path)
    assert spec is not None
    assert spec.loader is not None
    schema = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(schema)
    return schema, schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(content, 0))


def test_identifier_and_length() -> None:
    content = to_tflite(digits_like()[0]).content
    assert content[4:8] == b"TFL3"
    root = flatbuffers.encode.Get(number_types.UOffsetTFlags.packer_type, content, 0)
    assert root < len(content)


@needs_lce
def test_the_schema_reads_what_was_written() -> None:
    a = ArtifactBuilder()
    padded = a.pad_with_ones(a.sign("x"), 1, 1, 1, 1)
    bits = a.binary_conv2d(padded, 40, 33, stride=2)
    model = a.artifact((40, 6, 6), a.add("MaxPool", bits, kernel_shape=[2, 2], strides=[2, 2]))
    _, found = read_by_schema(to_tflite(model, batch=3).content)
    assert found.version == 3
    assert len(found.buffers[0].data or ()) == 0
    (graph,) = found.subgraphs
    codes = [found.operatorCodes[operator.opcodeIndex] for operator in graph.operators]
    names = [code.customCode.decode() if code.customCode else code.builtinCode for code in codes]
    expected = [Builtin.ADD, "LceQuantize", Builtin.PAD, "LceBconv2d", "LceBMaxPool2d"]
    assert names == expected
    shapes = [tuple(graph.tensors[op.outputs[0]].shape) for op in graph.operators]
    assert shapes == [(3, 6, 6, 40), (3, 6, 6, 2), (3, 8, 8, 2), (3, 3, 3, 2), (3, 1, 1, 2)]
    types = [graph.tensors[op.outputs[0]].type for op in graph.operators]
    assert types == [TensorType.FLOAT32] + [TensorType.INT32] * 4
    assert list(graph.operators[3].inputs)[2:4] == [-1, -1]
    options = flexbuffers.Loads(bytes(graph.operators[3].customOptions))
    assert options["channels_in"] == 40
    assert options["stride_height"] == options["stride_width"] == 2


@needs_lce
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("make", [digits_like, noisy_digits_like])
def test_the_file_says_what_the_artifact_says(make: Any, variant: Variant) -> None:
    model, images = make()
    about = {"bnnkit.format": "1", "bnnkit.mode": "samples", "bnnkit.classes": '["\u00fc", "b"]'}
    helper.set_model_props(model.model, {**about, "other": "x"})
    content = to_tflite(model, variant=variant).content
    _, found = read_by_schema(content)
    (entry,) = found.metadata
    assert entry.name == b"bnnkit"
    text = bytes(found.buffers[entry.buffer].data).decode()
    assert json.loads(text) == about
    assert "\u00fc" in text
    assert found.description.startswith(b"bnnkit ")
    assert not any(t.buffer == entry.buffer for graph in found.subgraphs for t in graph.tensors)
    for xnnpack in (False, True):
        open_file(content, xnnpack=xnnpack).predict([to_nhwc(images[:1])])


def test_the_metadata_of_an_artifact_without_any() -> None:
    assert to_entries({}) == {"bnnkit": b"{}"}


@needs_lce
def test_constants_are_aligned() -> None:
    content = to_tflite(digits_like()[0]).content
    schema, _ = read_by_schema(content)
    model = schema.Model.GetRootAsModel(content, 0)
    n_aligned = 0
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            slot = buffer._tab.Offset(4)
            assert buffer._tab.Vector(slot) % 16 == 0
            n_aligned += 1
    assert n_aligned > 5


LCE_MADE = sorted((Path(__file__).parent / "data" / "lce").glob("*.tflite"))


def written_again(options: LceOptions) -> bytes:
    return write_map(to_map(options))


def options_of(content: bytes, custom: str) -> set[bytes]:
    """The options of all operators of a kind."""
    _, found = read_by_schema(content)
    return {
        bytes(operator.customOptions)
        for graph in found.subgraphs
        for operator in graph.operators
        if found.operatorCodes[operator.opcodeIndex].customCode == custom.encode()
    }


@needs_lce
def test_options_are_those_of_the_converter() -> None:
    """The same bytes, of every layer in the files that it made."""
    n_layers = 0
    for path in LCE_MADE:
        for written in options_of(path.read_bytes(), "LceBconv2d"):
            found = flexbuffers.Loads(written)
            options = from_map(LceBconv2dOptions, written)
            assert to_map(options) == found
            assert written_again(options) == written, path.name
            n_layers += 1
    assert n_layers > 10


def test_options_of_pools_are_as_long_as_those_of_the_converter() -> None:
    """None of the files that it made has one; the length is that of its test."""
    options = LceBMaxPool2dOptions(
        padding=Padding.VALID, stride_width=1, stride_height=1, filter_width=3, filter_height=3
    )
    assert len(written_again(options)) == 84


@pytest.mark.parametrize("channels", [1, 31, 32, 33, 64, 65, 96, 97])
def test_words_of_32_bits_are_those_of_64(channels: int) -> None:
    signs = np.random.default_rng(channels).choice([-1, 1], (2, 3, channels))
    words = pack_words(signs)
    assert words.shape == (2, 3, -(-channels // 32))
    whole = pack_signs(signs).view("<i4")
    np.testing.assert_array_equal(words, whole[..., : words.shape[-1]])
    assert not whole[..., words.shape[-1] :].any()


@pytest.mark.parametrize(
    ("n", "kernel", "stride", "dilation"),
    list(itertools.product([1, 2, 5, 6], [1, 2, 3, 5], [1, 2, 3], [1, 2])),
)
def test_same_counts_as_tensorflow_does(n: int, kernel: int, stride: int, dilation: int) -> None:
    window = Window(kernel=(kernel, 1), strides=(stride, 1), dilations=(dilation, 1))
    top, _, bottom, _ = pads = window.same_pads((n, 4))
    same = window.with_pads(pads)
    assert same.output((n, 4)) == (-(-n // stride), 4)
    assert same.is_same((n, 4))
    assert bottom - top in (0, 1)
    assert not window.with_pads((top + 1, 0, bottom, 0)).is_same((n, 4))


@needs_lce
@pytest.mark.parametrize(
    ("n", "kernel", "stride", "dilation"),
    [
        sizes
        for sizes in itertools.product([1, 2, 5, 6], [2, 3, 5], [1, 2, 3], [1, 2])
        if max(Window(kernel=sizes[1:2] * 2, strides=sizes[2:3] * 2).same_pads(sizes[:1] * 2))
    ],
)
def test_same_is_what_lce_and_tflite_do(n: int, kernel: int, stride: int, dilation: int) -> None:
    """Layers that leave their pads to SAME give what the reference gives with these pads."""
    a, size = ArtifactBuilder(), (n, 4)
    window = Window(kernel=(kernel, 1), strides=(stride, stride), dilations=(dilation, dilation))
    pads = window.same_pads(size)
    form: dict[str, Any] = {"stride": stride, "dilation": dilation, "thresholds": False}
    ones = a.binary_conv2d(a.pad_with_ones(a.sign("x"), *pads), 32, 5, (kernel, 1), **form)
    weight = a.constant(a.rng.standard_normal((5, 32, kernel, 1)).astype(np.float32))
    strides, dilations = [stride] * 2, [dilation] * 2
    zeros = a.add("Conv", "x", weight, pads=pads, strides=strides, dilations=dilations)
    model = a.artifact((32, *size), ones, zeros)
    operators = to_tflite(model).report.operators
    assert operators.get("PAD", 0) == int(window.has_gaps and any(pads))
    assert_equal_in_lce(model, normal((1, 32, *size)))


def test_what_ones_outside_of_the_map_add() -> None:
    rng = np.random.default_rng(0)
    weight = rng.choice([-1, 1], (2, 3, 3, 5)).astype(np.int8)
    window = Window(kernel=(3, 3), strides=(2, 1), pads=(1, 1, 1, 1))
    found = outside_sums(weight, window, (4, 2))
    assert found.shape == (1, 2, 2, 2)
    rows, columns = weight[:, 0].sum(axis=(1, 2)), weight[:, :, 0].sum(axis=(1, 2))
    np.testing.assert_array_equal(found[0, 1, 0], columns)
    np.testing.assert_array_equal(found[0, 0, 0], rows + columns - weight[:, 0, 0].sum(axis=1))
