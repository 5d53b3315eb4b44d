"""Every node of a file is checked against the declaration of its operator before it is lowered."""

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from artifacts import ArtifactBuilder, digits_like, noisy_digits_like
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx_examples import examples

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.graph import graph_of
from bnnkit.artifact.operators import OPERATORS
from bnnkit.artifact.operators.attribute_rule import AttributeRule
from bnnkit.errors import ArtifactError, UnsupportedError
from bnnkit.runtime import Model

Array = NDArray[Any]
Change = Callable[[onnx.NodeProto], None]


def changed(place: int, kind: str, change: Change) -> Artifact:
    """An example whose first node of a kind is changed."""
    model = onnx.ModelProto()
    model.CopyFrom(examples()[place])
    change(next(node for node in model.graph.node if node.op_type == kind))
    return Artifact(model)


def test_whole_files_are_taken() -> None:
    for model in examples():
        Model(Artifact(model))


def setting(name: str, value: Any) -> Change:
    def change(node: onnx.NodeProto) -> None:
        kept = [attribute for attribute in node.attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, value)])

    return change


def removing(name: str) -> Change:
    def change(node: onnx.NodeProto) -> None:
        kept = [attribute for attribute in node.attribute if attribute.name != name]
        del node.attribute[:]
        node.attribute.extend(kept)

    return change


WINDOWS: list[tuple[str, list[int], str]] = [
    ("strides", [0, 1], "expected numbers of 1 to"),
    ("strides", [1], "expected 2 numbers as strides"),
    ("dilations", [-400, 1], "expected numbers of 1 to"),
    ("dilations", [1, 1, 1], "expected 2 numbers as dilations"),
    ("pads", [-1, -1, 1, 1], "expected numbers of 0 to"),
    ("pads", [0, 0], "expected 4 numbers as pads"),
    ("pads", [2**40] * 4, "expected numbers of 0 to"),
    ("group", 0, "expected numbers of 1 to"),  # type: ignore[list-item]
    ("weight_shape", [2**62, 3, 3, 33], "a number for each of 4611686018427387904 channels"),
    ("weight_shape", [65, 3, 2**60, 33], "bytes of packed weights"),
    ("weight_shape", [65, 3, 3], r"expected the shape \(O, KH, KW, J\)"),
    ("weight_shape", [65, 3, 3, 0], "numbers of at least 1"),
]


@pytest.mark.parametrize(("name", "value", "message"), WINDOWS)
def test_windows_of_binary_layers(name: str, value: list[int], message: str) -> None:
    with pytest.raises(ArtifactError, match=f"BinaryConv2dThreshold.*{message}"):
        Model(changed(0, "BinaryConv2dThreshold", setting(name, value)))


@pytest.mark.parametrize(
    ("kind", "name", "value", "message"),
    [
        ("Conv", "dilations", [-400, 1], "numbers of 1 to"),
        ("Conv", "pads", [-1, -1, 1, 1], "numbers of 0 to"),
        ("Conv", "strides", [0, 0], "numbers of 1 to"),
        ("Conv", "strides", [1], "strides has incorrect size"),
        ("Conv", "kernel_shape", [5, 5], "expected the kernel_shape of the weights"),
        ("Conv", "group", 3, "expected weights for its 3 inputs, got weights for 9"),
        ("MaxPool", "dilations", [-300, -300], "numbers of 1 to"),
        ("MaxPool", "kernel_shape", [30, 30], "larger than its input"),
        ("MaxPool", "kernel_shape", [2**40, 1], "numbers of 1 to"),
        ("AveragePool", "ceil_mode", 2, "numbers of 0 to 1"),
        ("Concat", "axis", 7, "axis must be in"),
        ("Transpose", "perm", [0, 1, 1, 2], "perm"),
        ("Gemm", "unheard", 1, "Gemm has no attribute 'unheard'"),
        ("Softmax", "axis", 0.5, "of type INT, got FLOAT"),
    ],
)
def test_attributes_of_standard_operators(kind: str, name: str, value: Any, message: str) -> None:
    with pytest.raises((ArtifactError, UnsupportedError), match=f"{kind}.*{message}"):
        Model(changed(3, kind, setting(name, value)))


@pytest.mark.parametrize("operator", sorted(OPERATORS.keys() - {"Philox"}))
def test_unknown_and_missing_attributes_of_each_operator(operator: str) -> None:
    place = next(
        i for i, m in enumerate(examples()) if any(n.op_type == operator for n in m.graph.node)
    )
    with pytest.raises(ArtifactError, match=f"{operator} has no attribute 'dilation'"):
        Model(changed(place, operator, setting("dilation", [0, 0])))
    for name in OPERATORS[operator].attributes:
        with pytest.raises(ArtifactError, match=f"the attribute '{name}' of type .* missing"):
            Model(changed(place, operator, removing(name)))
        with pytest.raises(ArtifactError, match=f"the attribute '{name}' of type .* got STRING"):
            Model(changed(place, operator, setting(name, "text")))


def test_a_dense_layer_has_no_window() -> None:
    for name, value in (("dilations", [0, 0]), ("pads", [8, 8, 8, 8]), ("group", 2)):
        with pytest.raises(ArtifactError, match=f"BinaryLinear has no attribute '{name}'"):
            Model(changed(0, "BinaryLinear", setting(name, value)))


@pytest.mark.parametrize("dtype", ["int16", "int64", "float32", "uint8"])
def test_thresholds_of_another_type(dtype: str) -> None:
    a = ArtifactBuilder(1)
    sums = a.binary_conv2d(a.sign("x"), 8, 12, thresholds=False, groups=2)
    signs = a.add("bnnkit.Threshold", sums, a.constant(np.ones((12, 1, 1), dtype)))
    with pytest.raises(ArtifactError, match=r"Threshold.*expected int32 as its input threshold"):
        Model(a.artifact((8, 6, 6), signs))


@pytest.mark.parametrize(("threshold", "is_valid"), [(-10, 0), (-9, 1), (10, 1), (11, 0)])
def test_the_range_of_thresholds(threshold: int, is_valid: int) -> None:
    a = ArtifactBuilder(1)
    separate = a.threshold(a.binary_linear(a.sign("x"), 9, 3), [0, 0, threshold])
    b = ArtifactBuilder(1)
    operands = [b.sign("x"), b.constant(np.zeros(4, np.uint8))]
    window = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    limits = b.constant(np.array([0, 0, threshold], np.int32))
    fused = b.add(
        "bnnkit.BinaryConv2dThreshold", *operands, limits, weight_shape=[3, 3, 3, 1], **window
    )
    for model in (a.artifact((9,), separate), b.artifact((1, 3, 3), fused)):
        if is_valid:
            Model(model)
        else:
            with pytest.raises(
                ArtifactError, match=rf"-K to K \+ 1 .* got {threshold} for channel 2"
            ):
                Model(model)


def test_the_range_of_thresholds_of_images() -> None:
    """K counts a pixel's largest distance from the zero point."""
    for threshold, is_valid in ((766, True), (767, False), (-765, True), (-766, False)):
        a = ArtifactBuilder(1)
        weight = a.constant(np.array([[[[1]], [[-2]]]], np.int16))
        zero_point = a.constant(np.array([[[0]], [[255]]], np.uint8))
        window = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
        sums = a.add("bnnkit.IntegerConv2d", "x", weight, zero_point, **window)
        signs = a.threshold(sums, np.full((1, 1, 1), threshold))
        model = a.artifact((2, 3, 3), signs, dtype=TensorProto.UINT8)
        if is_valid:
            Model(model)
        else:
            with pytest.raises(ArtifactError, match="K = 765"):
                Model(model)


def test_sums_that_float32_cannot_hold() -> None:
    a = ArtifactBuilder(1)
    weight = a.constant(np.full((1, 3, 5, 5), 2047, np.int16))
    zero_point = a.constant(np.zeros((3, 1, 1), np.uint8))
    window = {"strides": [1, 1], "pads": [0] * 4, "dilations": [1, 1], "group": 1}
    sums = a.add("bnnkit.IntegerConv2d", "x", weight, zero_point, **window)
    with pytest.raises(ArtifactError, match=r"sums below 2\^24"):
        Model(a.artifact((3, 6, 6), sums, dtype=TensorProto.UINT8))


def test_maps_of_unequal_size_are_not_joined() -> None:
    a = ArtifactBuilder(1)
    small = a.add("MaxPool", "x", kernel_shape=[8, 8])
    joined = a.add("Concat", small, a.add("Relu", "x"), axis=1)
    with pytest.raises(ArtifactError, match=r"Concat.*not valid"):
        Model(a.artifact((16, 64, 64), joined))


@pytest.mark.parametrize("size", [1, 5])
def test_a_bias_of_another_size(size: int) -> None:
    a = ArtifactBuilder(1)
    weight = a.constant(np.zeros((4, 2, 3, 3), np.float32))
    out = a.add("Conv", "x", weight, a.constant(np.zeros(size, np.float32)))
    with pytest.raises(ArtifactError, match="a bias for each of 4 channels"):
        Model(a.artifact((2, 6, 6), out))


def stated(model: onnx.ModelProto, name: str) -> onnx.TypeProto.Tensor:
    values = [*model.graph.value_info, *model.graph.output]
    found: onnx.TypeProto.Tensor
    (found,) = (value.type.tensor_type for value in values if value.name == name)
    return found


@pytest.mark.parametrize("what", ["size", "rank", "type"])
def test_types_that_the_file_states_agree(what: str) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(examples()[0])
    node = next(node for node in model.graph.node if node.op_type == "MaxPool")
    found = stated(model, node.output[0])
    if what == "size":
        found.shape.dim[2].dim_value += 1
    elif what == "rank":
        found.shape.dim.pop()
    else:
        found.elem_type = TensorProto.INT8
    with pytest.raises(ArtifactError, match=r"MaxPool.*its output .* is uint8 \(N, .* states"):
        Model(Artifact(model))


def test_a_file_may_state_a_fixed_batch() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(examples()[0])
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        value.type.tensor_type.shape.dim[0].dim_value = 5
    images = digits_like()[1]
    want = Model(digits_like()[0]).run(images)
    np.testing.assert_array_equal(Model(Artifact(model)).run(images), want)


def test_noise_for_other_channels() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(noisy_digits_like()[0].model)
    sign = next(node for node in model.graph.node if node.op_type == "StochasticSign")
    tensor = next(t for t in model.graph.initializer if t.name == sign.input[2])
    tensor.CopyFrom(numpy_helper.from_array(np.ones((8, 1, 1), np.float32), tensor.name))
    with pytest.raises(ArtifactError, match="a number for each of 33 channels as its input scale"):
        Model(Artifact(model))


def test_a_rule_names_what_bnnkit_computes() -> None:
    rule = AttributeRule(supported=(b"NOTSET", b"VALID"))
    rule.check("auto_pad", b"VALID")
    with pytest.raises(UnsupportedError, match="with auto_pad NOTSET or VALID, not SAME_UPPER"):
        rule.check("auto_pad", b"SAME_UPPER")


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"value_string": "text"}, "expected numbers, got 'value_string'"),
        (
            {"value_int": 1, "value_float": 2.0},
            r"got the attributes \['value_float', 'value_int'\]",
        ),
        ({}, "expected one value and one output"),
        (
            {"sparse_value": onnx.SparseTensorProto(dims=[4])},
            "expected numbers, got 'sparse_value'",
        ),
    ],
)
def test_constants_without_numbers(attributes: dict[str, Any], message: str) -> None:
    constant = helper.make_node("Constant", [], ["one"], **attributes)
    graph = helper.make_graph(
        [constant, helper.make_node("Add", ["x", "one"], ["y"])],
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
    )
    model = helper.make_model(graph)
    with pytest.raises((ArtifactError, UnsupportedError), match=message):
        graph_of(model)


@pytest.mark.parametrize("kind", ["Clip", "Pad"])
def test_an_operand_that_must_be_one_number(kind: str) -> None:
    a = ArtifactBuilder(1)
    pads = a.constant(np.array([0, 0, 1, 1, 0, 0, 1, 1]))
    numbers = a.constant(np.ones(3, np.float32))
    out = a.add("Pad", "x", pads, numbers) if kind == "Pad" else a.add("Clip", "x", numbers)
    with pytest.raises(ArtifactError, match=f"{kind}.*expected one number as input"):
        Model(a.artifact((3, 4, 4), out))


def test_an_input_without_an_element_type() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(examples()[0])
    model.graph.input[0].type.tensor_type.elem_type = 99
    with pytest.raises(ArtifactError, match="no known element type"):
        Model(Artifact(model))
