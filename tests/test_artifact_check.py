"""What ONNX itself calls invalid is refused before anything reads the graph."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from bnnkit.artifact.check import check
from bnnkit.errors import ArtifactError


def _without_an_input(model: onnx.ModelProto) -> None:
    model.graph.node[-1].input[0] = "nowhere"


def _out_of_order(model: onnx.ModelProto) -> None:
    model.graph.node.append(model.graph.node.pop(0))


def _twice_one_name(model: onnx.ModelProto) -> None:
    model.graph.node.append(model.graph.node[-1])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (_without_an_input, "nowhere"),
        (_out_of_order, "sorted"),
        (_twice_one_name, "output names"),
    ],
)
def test_a_graph_that_onnx_calls_invalid(
    model: Path, damage: Callable[[onnx.ModelProto], None], reason: str
) -> None:
    network = onnx.load(model)
    check(network, "m.onnx")
    damage(network)
    with pytest.raises(ArtifactError, match=f"m.onnx is not a valid ONNX model: .*{reason}"):
        check(network, "m.onnx")
