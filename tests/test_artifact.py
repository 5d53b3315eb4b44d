from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from typing import Any

import numpy as np
import onnx
import pytest
from artifacts import ArtifactBuilder, digits_like, noisy_digits_like
from onnx import helper, numpy_helper

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.graph import Graph, Node
from bnnkit.errors import ArtifactError, UnsupportedError

COMPUTED = ("graph", "metadata", "signs", "is_stochastic", "has_weight_draws", "fixed_batch")


@pytest.mark.parametrize("name", ["model", "tflite_source", *COMPUTED, "deterministic"])
def test_nothing_can_be_set(name: str) -> None:
    artifact = digits_like()[0]
    with pytest.raises(FrozenInstanceError):
        setattr(artifact, name, None)


@pytest.mark.parametrize("name", [*COMPUTED, "deterministic"])
def test_everything_is_computed_once(name: str) -> None:
    artifact = noisy_digits_like()[0]
    found = getattr(artifact, name)
    del artifact.model.graph.node[:]  # forbidden outside of this test
    assert getattr(artifact, name) is found


def test_metadata_is_what_bnnkit_wrote() -> None:
    model = digits_like()[0].model
    helper.set_model_props(model, {"bnnkit.mode": "deterministic", "author": "someone"})
    assert Artifact(model).metadata == {"mode": "deterministic"}


def test_signs_are_in_the_order_of_the_graph() -> None:
    a = ArtifactBuilder()
    first = a.sign("x")
    pooled = a.add("MaxPool", first, kernel_shape=[2, 2])
    second = a.binary_conv2d(pooled, 3, 8)
    real = a.to_real(second)
    assert a.artifact((3, 9, 9), real).signs == (first, pooled, second)


def test_a_deterministic_artifact_is_its_own_deterministic_form() -> None:
    artifact = digits_like()[0]
    assert not artifact.is_stochastic
    assert artifact.deterministic is artifact


def test_the_deterministic_form_of_a_stochastic_artifact() -> None:
    artifact = noisy_digits_like()[0]
    before = artifact.to_bytes()
    form = artifact.deterministic
    assert artifact.is_stochastic
    assert not form.is_stochastic
    assert form.deterministic is form
    assert artifact.deterministic is form
    assert artifact.to_bytes() == before


@pytest.mark.parametrize(("size", "expected"), [(0, None), (3, 3)])
def test_the_batch_that_a_file_fixes(size: int, expected: int | None) -> None:
    model = noisy_digits_like()[0].model
    if size:
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size
    assert Artifact(model).fixed_batch == expected


def test_the_constants_of_a_graph_cannot_be_changed() -> None:
    a = ArtifactBuilder()
    out = a.add("Mul", a.add("Add", "x", a.constant(np.ones(3, np.float32))), "two")
    artifact = a.artifact((3,), out)
    two = helper.make_node("Constant", [], ["two"], value_float=2.0)
    artifact.model.graph.node.insert(0, two)
    constants = artifact.graph.constants
    assert len(constants) == 2
    for name, array in constants.items():
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        with pytest.raises(TypeError):
            constants[name] = array  # type: ignore[index]
    assert artifact.graph.without_constants.constants == {}
    assert artifact.graph.without_constants.nodes == artifact.graph.nodes
    assert len(artifact.graph.constants) == 2


def _graph() -> Graph:
    a = ArtifactBuilder()
    return a.artifact((3, 9, 9), a.add("MaxPool", a.sign("x"), kernel_shape=[2, 2])).graph


@pytest.mark.parametrize("field", [field.name for field in fields(Graph)])
def test_the_fields_of_a_graph_cannot_be_set(field: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(_graph(), field, None)


@pytest.mark.parametrize("field", [field.name for field in fields(Node)])
def test_the_fields_of_a_node_cannot_be_set(field: str) -> None:
    with pytest.raises(FrozenInstanceError):
        setattr(_graph().nodes[0], field, None)


MAPPINGS: dict[str, Callable[[Graph], Any]] = {
    "attributes": lambda graph: graph.nodes[-1].attributes,
    "makers": lambda graph: graph.makers,
    "readers": lambda graph: graph._readers,
    "constants": lambda graph: graph.constants,
    "constants left out": lambda graph: graph.without_constants.constants,
}


@pytest.mark.parametrize("mapping", MAPPINGS)
def test_the_mappings_of_a_graph_cannot_be_changed(mapping: str) -> None:
    found = MAPPINGS[mapping](_graph())
    with pytest.raises(TypeError, match="does not support item assignment"):
        found["q"] = 1
    with pytest.raises(TypeError, match="does not support item deletion"):
        del found["q"]


def test_the_sequences_of_a_graph_are_tuples() -> None:
    graph = _graph()
    node = graph.nodes[-1]
    sequences = (graph.nodes, graph.outputs, graph.input_shape, graph.readers("x"))
    assert {type(found) for found in (*sequences, node.inputs, node.outputs)} == {tuple}
    assert node.attributes == {"kernel_shape": (2, 2)}


def test_the_readers_of_a_value() -> None:
    a = ArtifactBuilder()
    twice = a.add("Mul", "x", "x")
    out = a.add("Add", "x", twice)
    graph = a.artifact((3,), out).graph
    assert [node.name for node in graph.readers("x")] == ["Mul0", "Mul0", "Add1"]
    assert graph.readers(out) == ()
    assert graph.sole_reader(twice) is graph.makers[out]
    assert graph.sole_reader("x") is graph.sole_reader(out) is None


def test_two_inputs_have_one_batch() -> None:
    model = digits_like()[0].model
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 4
    model.graph.input.append(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 3]))
    artifact = Artifact(model)
    assert artifact.graph.input_names[1] == "y"
    assert artifact.graph.input_numbers == np.prod(artifact.graph.input_shape) + 3
    with pytest.raises(UnsupportedError, match="the same batch as first axis, got 1 and 4"):
        _ = artifact.fixed_batch


def test_a_network_without_inputs_is_refused() -> None:
    model = digits_like()[0].model
    del model.graph.input[:]
    with pytest.raises(UnsupportedError, match="expected a model with an input"):
        _ = Artifact(model).graph


def test_a_damaged_constant_is_named() -> None:
    model = digits_like()[0].model
    model.graph.initializer[0].raw_data = b"\x00" * 3
    artifact = Artifact(model)
    with pytest.raises(ArtifactError, match=f"constant '{model.graph.initializer[0].name}' is"):
        _ = artifact.graph


def test_an_operator_of_onnx_that_has_our_name_draws_no_weights() -> None:
    a = ArtifactBuilder()
    assert not a.artifact((3,), a.add("WeightDraw", "x")).has_weight_draws


def test_draws_of_weights() -> None:
    a = ArtifactBuilder()
    rows = a.constant(np.zeros((3, 5), np.uint8))
    a.add("bnnkit.WeightDraw", rows, "sample")
    assert Artifact(a.artifact((3,), a.sign("x")).model).has_weight_draws
    assert not noisy_digits_like()[0].has_weight_draws
    assert numpy_helper.to_array(a.constants[0]).shape == (3, 5)
