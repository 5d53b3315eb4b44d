"""Functions on a graph as passes: a failure names its pass, a refusal is raised as it is."""

import onnx_ir as ir
import pytest
from onnx_ir.passes import PassError

from bnnkit.errors import UnsupportedError
from bnnkit.export.passes.graph_pass import graph_pass, model_pass, run_pass, run_passes


def empty() -> ir.Model:
    return ir.Model(ir.Graph([], [], nodes=[]), ir_version=10)


def first(graph: ir.Graph) -> None:
    graph.name = "seen"


def broken(graph: ir.Graph, *, error: Exception) -> None:
    raise error


def test_a_failure_names_its_pass_and_those_before() -> None:
    model = empty()
    with pytest.raises(PassError, match=r"'broken' pass .*\['first'\]"):
        run_passes(model, graph_pass(first), graph_pass(broken, error=ValueError("a bug")))
    assert model.graph.name == "seen"


def test_the_result_of_a_function_is_returned() -> None:
    assert run_pass(empty(), repeated, "ab", times=2) == "abab"


def repeated(graph: ir.Graph, word: str, *, times: int) -> str:
    return word * times


def test_a_failure_of_a_function_with_a_result_names_it() -> None:
    with pytest.raises(PassError, match="'broken' pass"):
        run_pass(empty(), broken, error=ValueError("a bug"))


def test_a_pass_may_return_a_new_model() -> None:
    found = run_passes(empty(), graph_pass(first), model_pass(renewed, name="new"))
    assert found.graph.name == "new"


def renewed(model: ir.Model, *, name: str) -> ir.Model:
    assert model.graph.name == "seen"
    copy = empty()
    copy.graph.name = name
    return copy


@pytest.mark.parametrize("error", [UnsupportedError("no such layer"), MemoryError()])
def test_a_refusal_is_raised_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        run_passes(empty(), graph_pass(broken, error=error))
    assert raised.value is error
