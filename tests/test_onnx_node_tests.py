"""ONNX's own tests of operators: what bnnkit accepts is right, the rest is refused by name."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper
from onnx_node_tests import NodeTest, node_tests

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.reference import Reference
from bnnkit.artifact.standard import STANDARD_OPERATORS, arguments
from bnnkit.errors import BnnkitError, UnsupportedError
from bnnkit.runtime import Model

Array = NDArray[Any]
Engine = Callable[[Artifact], Callable[[Array], Any]]

WITH_OPTIONAL_OUTPUTS = ["LayerNormalization", "Dropout", "BatchNormalization"]
pytestmark = pytest.mark.slow


def outcome(test: NodeTest, engine: Engine) -> str:
    """Run a test and return "right", or what else happened."""
    try:
        run = engine(Artifact(test.with_constants()))
    except BnnkitError as error:
        return "refused" if _names_a_cause(str(error), test) else f"{test.name}: {error}"
    try:
        results = run(test.inputs[0])
    except BnnkitError as error:
        is_input = "expected finite numbers" in str(error)  # the runtime takes no NaN
        return "refused" if is_input else f"{test.name}, after it was loaded: {error}"
    results = list(results) if isinstance(results, list | tuple) else [results]
    return "right" if test.is_right(results) else f"{test.name} is wrong"


def _names_a_cause(message: str, test: NodeTest) -> bool:
    """Whether a message names an operator of the model, its input or output, or says "input"."""
    graph = test.model.graph
    names = {node.op_type for node in graph.node} | {
        value.name for value in [*graph.input, *graph.output]
    }
    operators = {node.op_type for body in test.model.functions for node in body.node}
    return "input" in message or any(name in message for name in names | operators)


def outcomes(engine: Engine) -> Counter[str]:
    with np.errstate(all="ignore"):
        return Counter(outcome(test, engine) for test in node_tests() if test.inputs)


def test_the_runtime_is_right_or_refuses() -> None:
    found = outcomes(lambda artifact: Model(artifact).run)
    assert found.keys() == {"right", "refused"}, found
    assert found["right"] >= 430


@pytest.mark.filterwarnings("ignore")  # of ONNX's own code
def test_the_reference_is_right_or_refuses() -> None:
    found = outcomes(lambda artifact: Reference(artifact).run)
    assert found.keys() == {"right", "refused"}, found
    assert found["right"] >= 1800


def test_models_without_an_input_are_refused() -> None:
    for test in node_tests():
        if not test.inputs:
            for engine in (Model, Reference):
                with pytest.raises(UnsupportedError, match="input"):
                    engine(Artifact(test.model))


def test_the_operators_in_numpy_are_right_or_refuse() -> None:
    found: Counter[str] = Counter()
    for test in node_tests():
        nodes = test.model.graph.node
        if len(nodes) == 1 and nodes[0].op_type in STANDARD_OPERATORS and test.is_of_arrays:
            found[_numpy_outcome(test)] += 1
    assert found.keys() == {"right", "refused"}, found
    assert found["right"] >= 640


def _numpy_outcome(test: NodeTest) -> str:
    """Compute the first output of a test of one operator."""
    (node,) = test.model.graph.node
    values = dict(zip((v.name for v in test.model.graph.input), test.inputs, strict=True))
    inputs = arguments([values[name] if name else None for name in node.input])
    attributes = {
        a.name: tuple(value) if isinstance(value, list) else value
        for a in node.attribute
        for value in [helper.get_attribute_value(a)]
    }
    try:
        with np.errstate(all="ignore"):
            result = STANDARD_OPERATORS[node.op_type](attributes, *inputs)
    except UnsupportedError as error:
        is_named = any(word in str(error) for word in [node.op_type, *attributes])
        return "refused" if is_named else f"{test.name}: {error}"
    results = [result, *test.outputs[1:]]  # optional outputs are not computed
    return "right" if test.is_right(results) else f"{test.name} is wrong"


def test_an_optional_output_is_refused_by_name() -> None:
    refused = set()
    for test in node_tests():
        first, *others = test.model.graph.node
        if not others and first.op_type in WITH_OPTIONAL_OUTPUTS and len(first.output) > 1:
            with pytest.raises(UnsupportedError, match=rf"'{first.output[1]}'|training|batch"):
                Model(Artifact(test.with_constants()))
            refused.add(first.op_type)
    assert refused == set(WITH_OPTIONAL_OUTPUTS)
