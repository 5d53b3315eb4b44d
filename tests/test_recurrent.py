"""Recurrent layers inside a network: the batch is first before and after them."""

from typing import Any

import numpy as np
import pytest
from against_onnxruntime import assert_close, numbers
from artifacts import ArtifactBuilder
from onnx import helper

from bnnkit.artifact.budget import no_limits
from bnnkit.artifact.checks.check_nodes import all_faults
from bnnkit.artifact.checks.computed import COMPUTED
from bnnkit.errors import UnsupportedError
from bnnkit.runtime import Model

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def layer(a: ArtifactBuilder, kind: str, *states: str, direction: str = "forward") -> list[str]:
    """Add a layer of 5 units on x (N, 7, 3); returns its outputs."""
    count = 1 + (direction == "bidirectional")
    rows = 5 * GATES[kind]
    weights = [
        a.constant(a.rng.standard_normal(shape).astype(np.float32))
        for shape in ((count, rows, 3), (count, rows, 5), (count, 2 * rows))
    ]
    x = a.add("Transpose", "x", perm=[1, 0, 2])
    outputs = [f"{kind}/{name}" for name in ("y", "h", "c")[: 2 + (kind == "LSTM")]]
    inputs = [x, *weights, *(["", *states] if states else [])]
    options: dict[str, Any] = {"hidden_size": 5, "direction": direction}
    a.nodes.append(helper.make_node(kind, inputs, outputs, name=kind, **options))
    return outputs


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", GATES)
def test_layers(kind: str, direction: str) -> None:
    a = ArtifactBuilder()
    y, *ends = layer(a, kind, direction=direction)
    outs = [a.add("Transpose", y, perm=[2, 0, 1, 3]), a.add("Transpose", y, perm=[2, 1, 3, 0])]
    outs += [a.add("Transpose", end, perm=[1, 0, 2]) for end in ends]
    assert_close(a, numbers(a, 7, 3), *outs)


def test_states_that_are_computed() -> None:
    a = ArtifactBuilder()
    part = a.add("Slice", "x", *(a.constant(np.array([n])) for n in (0, 1, 1)))
    start = a.add("MatMul", part, a.constant(np.ones((3, 5), np.float32)))
    state = a.add("Transpose", start, perm=[1, 0, 2])
    y, *_ = layer(a, "LSTM", state, state)
    assert_close(a, numbers(a, 7, 3), a.add("Transpose", y, perm=[2, 0, 1, 3]))


def test_steps_over_the_images_are_refused() -> None:
    a = ArtifactBuilder()
    weights = [a.constant(np.ones(shape, np.float32)) for shape in ((1, 5, 3), (1, 5, 5))]
    out = a.add("RNN", "x", *weights, hidden_size=5)
    with pytest.raises(UnsupportedError, match="transposed from a value with the batch first"):
        Model(a.artifact((7, 3), out))


def test_states_as_outputs_are_refused() -> None:
    a = ArtifactBuilder()
    _, h = layer(a, "GRU")
    with pytest.raises(UnsupportedError, match="to have the batch first"):
        Model(a.artifact((7, 3), h))


def test_an_operand_left_out_does_not_depend_on_an_output_left_out() -> None:
    a = ArtifactBuilder()
    _, h = layer(a, "GRU")
    a.nodes[-1].output[0] = ""
    out = a.add("Transpose", h, perm=[1, 0, 2])
    sizes = a.add("Clip", a.add("Shape", out), "", a.constant(np.array(2**62)))
    model = a.artifact((7, 3), a.add("Reshape", out, sizes))
    assert all_faults(model, COMPUTED, no_limits()) == []
