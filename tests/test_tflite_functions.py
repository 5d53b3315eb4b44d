"""Functions of real numbers that TFLite has in another form than ONNX."""

from typing import Any

import numpy as np
import pytest
from artifacts import Array, ArtifactBuilder
from tflite_runs import assert_equal_in_tflite, needs_lce, normal

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import to_tflite

pytestmark = needs_lce

CASES: list[tuple[str, dict[str, Any]]] = [
    ("Gelu", {}),
    ("Gelu", {"approximate": "tanh"}),
    ("Elu", {}),
    ("Elu", {"alpha": 0.3}),
    ("HardSigmoid", {}),
    ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    ("Softplus", {}),
]


def wide() -> Array:
    """Numbers of all sizes that a network has, zeros among them."""
    numbers = normal((2, 5, 4, 3)) * np.float32(4)
    numbers.ravel()[:6] = [0, -0.0, 60, -60, 1e-3, -1e-3]
    return numbers


@pytest.mark.parametrize(("kind", "attributes"), CASES)
def test_functions(kind: str, attributes: dict[str, Any]) -> None:
    a = ArtifactBuilder()
    value = a.add(kind, "x", **attributes)
    flat = a.add(kind, a.add("Flatten", "x"), **attributes)
    assert_equal_in_tflite(a.artifact((5, 4, 3), value, flat), wide())


@pytest.mark.parametrize("exponent", [2, 0.5, 3, 1.5])
def test_powers(exponent: float) -> None:
    a = ArtifactBuilder()
    base = a.add("Abs", "x")
    outputs = [a.add("Pow", base, a.constant(np.float32(exponent)))]
    exponents = a.constant(a.rng.uniform(0, 2, (5, 1, 1)).astype(np.float32))
    outputs += [a.add("Pow", base, exponents), a.add("Sqrt", base)]
    if exponent == 2:
        outputs.append(a.add("Pow", "x", a.constant(np.float32(2))))
    assert_equal_in_tflite(a.artifact((5, 4, 3), *outputs), normal((2, 5, 4, 3)))


def test_a_square_is_a_product() -> None:
    a = ArtifactBuilder()
    report = to_tflite(a.artifact((5, 4, 3), a.add("Pow", "x", a.constant(np.float32(2))))).report
    assert report.operators == {"MUL": 1}


@pytest.mark.parametrize("kind", ["Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_choices(kind: str) -> None:
    a = ArtifactBuilder()
    zero, channels = (a.constant(x) for x in (np.float32(0), normal((5, 1, 1))))
    other = a.add("Neg", "x")
    truths = [a.add(kind, "x", zero), a.add(kind, channels, "x"), a.add(kind, "x", other)]
    mean = a.add("GlobalAveragePool", "x")
    pairs = [("x", other), (channels, "x"), (zero, mean)]
    outputs = [a.add("Where", truth, *pair) for truth, pair in zip(truths, pairs, strict=True)]
    outputs.append(a.sign(outputs[0]))
    flat = a.add("Flatten", "x")
    row = a.constant(normal((60,)))
    outputs.append(a.add("Where", a.add(kind, flat, row), flat, row))
    model = a.artifact((5, 4, 3), *outputs)
    assert_equal_in_tflite(model, wide())


@pytest.mark.parametrize("axes", [[2, 3], [1], [3], [1, 2], [1, 2, 3], [-1, -3]])
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions(axes: list[int], keep: int) -> None:
    a = ArtifactBuilder()
    where = a.constant(np.array(axes))
    kinds = ("ReduceMean", "ReduceMax", "ReduceSum")
    outputs = [a.add(kind, "x", where, keepdims=keep) for kind in kinds]
    outputs += [a.add("Relu", name) for name in outputs]
    flat = a.add("Flatten", "x")
    outputs.append(a.add("ReduceMax", flat, a.constant(np.array([1])), keepdims=1))
    assert_equal_in_tflite(a.artifact((5, 4, 3), *outputs), normal((2, 5, 4, 3)))


def test_what_is_refused() -> None:
    a = ArtifactBuilder()
    truth = a.add("Greater", "x", a.constant(np.float32(0)))
    for name, said in (
        (a.add("Where", "x", "x", "x"), "expected bools, got real"),
        (a.add("Add", truth, "x"), "expected real numbers, got bool"),
        (a.add("Elu", a.sign("x")), "expected real numbers, got signs"),
    ):
        model = a.artifact((3, 4, 4), name)
        kept = [
            node
            for node in model.model.graph.node
            if node.name[:-1] not in ("Where", "Add", "Elu")
        ]
        kept.append(next(node for node in model.model.graph.node if node.name == name))
        del model.model.graph.node[:]
        model.model.graph.node.extend(kept)
        with pytest.raises(UnsupportedError, match=rf"^{name} \(\w+\): {said}$"):
            to_tflite(model)
