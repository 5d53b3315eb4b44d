"""The facts of each operator are complete and agree with its lowerings."""

from typing import Any

import numpy as np
import pytest
from artifacts import ArtifactBuilder

from bnnkit.artifact.operators import OPERATORS
from bnnkit.artifact.operators.facts import FACTS, MONOTONE, MOVES_SIGNS, with_result
from bnnkit.artifact.operators.functions import function
from bnnkit.artifact.rounding import signs_that_engines_may_round
from bnnkit.artifact.standard import SEVERAL_OUTPUTS
from bnnkit.artifact.standard import STANDARD_OPERATORS as STANDARD
from bnnkit.artifact.standard.elementwise import ELEMENTWISE
from bnnkit.export.analysis import monotone
from bnnkit.export.tflite.lower import LOWERINGS as TO_TFLITE
from bnnkit.runtime import Model
from bnnkit.runtime.lowering.fused_pool import is_fused_pool
from bnnkit.runtime.lowering.lower import LOWERINGS, lower
from bnnkit.verification.coverage import signs_in_memory

KERNELS = {"Conv"}
"""Standard operators that the runtime has in kernels alone."""
NOT_IN_TFLITE = {"BinaryMatMul", "BinaryWeight", "WeightDraw"}
"""The first is a constant there, the second is refused: a draw is not chosen by the file."""
IN_BODIES_ALONE = {"Philox"}


def test_every_standard_operator_of_the_runtime_has_a_fact() -> None:
    assert (STANDARD.keys() | SEVERAL_OUTPUTS.keys() | KERNELS) <= FACTS.keys(), (
        "add a line to operators/facts.py"
    )


def test_elementwise_operators_are_those_that_treat_each_element_alone() -> None:
    """`standard` runs them in any memory layout."""
    alone = with_result("same", "exact", "approximate") | {"Sum", "Mean"}
    elsewhere = {"BatchNormalization", "DequantizeLinear"}  # of one channel, with its constants
    assert (alone & STANDARD.keys()) - elsewhere == ELEMENTWISE.keys()


def test_each_operator_of_ours_is_in_its_three_places() -> None:
    """See operators/__init__.py."""
    ours = OPERATORS.keys() - IN_BODIES_ALONE
    lowered = {name.removeprefix("bnnkit.") for name in LOWERINGS}
    assert lowered == ours, "give the operator a lowering in bnnkit/runtime/lowering/lower.py"
    in_tflite = {name.removeprefix("bnnkit.") for name in TO_TFLITE if "." in name}
    assert in_tflite == ours - NOT_IN_TFLITE, (
        "give the operator a lowering in bnnkit/export/tflite/lower.py"
    )


@pytest.mark.parametrize("name", OPERATORS)
def test_schema_body_and_needs_agree(name: str) -> None:
    operator, body = OPERATORS[name], function(name)
    assert operator.name == name == body.name
    assert tuple(body.input) == tuple(operator.inputs)
    assert tuple(body.output) == tuple(operator.outputs)
    assert tuple(body.attribute) == tuple(operator.attributes)
    needed = {node.op_type for node in _nodes(body.node) if node.domain == "bnnkit"}
    assert needed == set(operator.needs)


def _nodes(nodes: Any) -> Any:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            yield from _nodes(attribute.g.node)


def test_passes_know_each_monotone_operator() -> None:
    assert monotone.MONOTONE_STEPS == MONOTONE


EXACT = [
    ("Floor", []), ("Ceil", []), ("Round", []), ("Sign", []), ("Not", []),
    ("Greater", [0.5]), ("GreaterOrEqual", [0.5]), ("Less", [0.5]), ("LessOrEqual", [0.5]),
    ("Equal", [0.5]), ("ReduceMin", []), ("Sqrt", []),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "constants"), EXACT)
def test_signs_behind_exact_operators_may_not_be_rounded(
    kind: str, constants: list[float]
) -> None:
    """Else verify would excuse a wrong sign."""
    a = ArtifactBuilder()
    value = a.add(kind, "x", *(a.constant(np.float32(number)) for number in constants))
    signs = a.sign(a.add("Cast", value, to=1))
    assert signs_that_engines_may_round(a.artifact((2, 8, 8), signs)) == {}


@pytest.mark.parametrize("kind", sorted(with_result("approximate", "summed") & STANDARD.keys()))
def test_signs_behind_other_operators_may_be_rounded(kind: str) -> None:
    a = ArtifactBuilder()
    value = a.add(kind, "x")
    signs = a.sign(value)
    assert signs_that_engines_may_round(a.artifact((2, 8, 8), signs)) == {signs: value}


def test_signs_behind_an_operator_without_a_fact_may_be_rounded() -> None:
    a = ArtifactBuilder()
    value = a.add("Unheard", "x")
    signs = a.sign(value)
    assert signs_that_engines_may_round(a.artifact((2, 8, 8), signs)) == {signs: value}


def test_an_operator_of_ours_passes_rounding_on() -> None:
    a = ArtifactBuilder()
    total = a.add("ReduceSum", "x", keepdims=1)
    passed = a.add("bnnkit.BinaryWeight", total)  # stands for any that gives real numbers
    signs = a.sign(passed)
    assert signs_that_engines_may_round(a.artifact((2, 8, 8), signs)) == {signs: passed}


@pytest.mark.parametrize("kind", sorted(MOVES_SIGNS))
def test_moved_signs_are_signs(kind: str) -> None:
    a = ArtifactBuilder()
    signs = a.sign("x")
    moved = a.add(kind, signs)
    assert a.artifact((2, 8, 8), moved).signs == (signs, moved)


POOLS: list[tuple[bool, dict[str, Any], int]] = [
    (True, {"kernel_shape": [2, 2], "strides": [2, 2]}, 1),
    (False, {"kernel_shape": [2, 2], "strides": [2, 2]}, 2),
    (False, {"kernel_shape": [2, 2], "strides": [1, 1]}, 1),
    (False, {"kernel_shape": [2, 2]}, 1),
    (False, {"kernel_shape": [3, 3], "strides": [2, 2]}, 1),
    (False, {"kernel_shape": [2, 2], "strides": [2, 2], "pads": [0, 0, 1, 1]}, 1),
    (False, {"kernel_shape": [2, 2], "strides": [2, 2], "dilations": [2, 2]}, 1),
    (False, {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}, 1),
]


@pytest.mark.parametrize(("is_fused", "attributes", "groups"), POOLS)
def test_the_runtime_and_verify_agree_on_which_pools_are_fused(
    is_fused: bool, attributes: dict[str, Any], groups: int
) -> None:
    a = ArtifactBuilder()
    signs = a.binary_conv2d(a.sign("x"), 4, 8, groups=groups)
    pooled = a.add("MaxPool", signs, **attributes)
    model = a.artifact((4, 9, 9), pooled)
    graph = model.graph
    assert [is_fused_pool(graph, node) for node in graph.nodes] == [False, False, is_fused]
    targets = {step.target for step in lower(graph).steps}
    assert (signs not in targets) == is_fused
    assert (signs in signs_in_memory(model)) == (not is_fused)
    traced = Model(model).trace(a.rng.standard_normal((1, 4, 9, 9)).astype(np.float32))
    assert signs_in_memory(model) <= traced.keys()


def test_a_pool_of_signs_that_something_else_reads_is_not_fused() -> None:
    a = ArtifactBuilder()
    signs = a.binary_conv2d(a.sign("x"), 2, 3)
    pooled = a.add("MaxPool", signs, kernel_shape=[2, 2], strides=[2, 2])
    both = a.artifact((2, 8, 8), pooled, signs)
    graph = both.graph
    assert not any(is_fused_pool(graph, node) for node in graph.nodes)
    assert signs in signs_in_memory(both)


def test_a_pool_that_only_the_deterministic_pass_fuses_need_not_be_traced() -> None:
    a = ArtifactBuilder()
    sums = a.binary_conv2d(a.sign("x"), 2, 3, thresholds=False)
    signs = a.noisy_sum(sums, 3, 2)
    pooled = a.add("MaxPool", signs, kernel_shape=[2, 2], strides=[2, 2])
    model = a.artifact((2, 8, 8), pooled)
    assert signs not in signs_in_memory(model)
    assert pooled in signs_in_memory(model)
