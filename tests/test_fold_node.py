"""Constants are the same bits, whether the runtime folds them or the exporter does."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import helper

from bnnkit.artifact.budget import no_limits
from bnnkit.artifact.fold_node import fold_node
from bnnkit.artifact.operators.facts import FACTS, with_result
from bnnkit.artifact.standard import STANDARD_OPERATORS

Array = NDArray[Any]

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 4, 6, 6)).astype(np.float32)
Y = RNG.standard_normal((4, 1, 1)).astype(np.float32)
WHOLE = RNG.integers(-99, 99, X.shape)
TRUTHS = X > 0, Y > 0
POOL: dict[str, Any] = {"kernel_shape": [2, 2], "strides": [2, 2]}
INPUTS: dict[str, list[Array]] = {
    "And": list(TRUTHS),
    "Or": list(TRUTHS),
    "Xor": list(TRUTHS),
    "Not": [TRUTHS[0]],
    "Where": [TRUTHS[0], X, Y],
    "PRelu": [X, Y],
    "Sqrt": [np.abs(X)],
    "Clip": [X, np.float32(-0.5), np.float32(0.5)],  # type: ignore[list-item]
    "Reshape": [X, np.array([2, 4, 36])],
    "Squeeze": [Y, np.array([1])],
    "Unsqueeze": [X, np.array([0])],
    "Slice": [X, np.array([1]), np.array([3]), np.array([2])],
    "Pad": [X, np.array([0, 0, 1, 1, 0, 0, 2, 2]), np.array(0.5, np.float32)],
    "Tile": [X, np.array([1, 2, 1, 1])],
    "Expand": [Y, np.array([4, 2, 3])],
    "Gather": [X, np.array([1, 0])],
    **{f"Bitwise{name}": [WHOLE, WHOLE[1] * 3] for name in ("And", "Or", "Xor")},
    "BitwiseNot": [WHOLE],
    "BitShift": [np.abs(WHOLE).astype(np.uint32), np.array(2, np.uint32)],
    "IsInf": [np.where(X > 1, np.inf, X).astype(np.float32)],
    "IsNaN": [np.where(X > 1, np.nan, X).astype(np.float32)],
    "GatherElements": [X, np.abs(WHOLE) % 2],
    "GatherND": [X, np.array([[0, 3], [1, 2]])],
    "OneHot": [WHOLE % 7 - 3, np.array(4), np.array([0.5, 2], np.float32)],
    "ConstantOfShape": [np.array([2, 3])],
    "Range": [np.array(2), np.array(9), np.array(3)],
    "EyeLike": [X[0, 0]],
    "DequantizeLinear": [
        np.arange(9, dtype=np.uint8),
        np.array(0.3, np.float32),
        np.array(4, np.uint8),
    ],
}
ATTRIBUTES: dict[str, dict[str, Any]] = {
    "Cast": {"to": 6},
    "Concat": {"axis": 1},
    "MaxPool": POOL,
    "DepthToSpace": {"blocksize": 2},
    "SpaceToDepth": {"blocksize": 2},
    "Transpose": {"perm": [0, 2, 3, 1]},
    "LeakyRelu": {"alpha": 0.3},
    "BitShift": {"direction": "LEFT"},
    "EyeLike": {"k": 1},
}
EXACT = sorted(
    with_result("same", "rearranged", "copied", "chosen", "exact", "counted")
    & STANDARD_OPERATORS.keys()
)


@pytest.mark.parametrize("kind", EXACT)
def test_exact_operators_are_the_same_bits_in_numpy_and_in_the_reference(kind: str) -> None:
    two = [X, Y] if FACTS[kind].broadcasts else [X, X] if kind == "Concat" else [X]
    inputs = [np.asarray(x) for x in INPUTS.get(kind, two)]
    attributes = ATTRIBUTES.get(kind, {})
    names = [f"x{index}" for index in range(len(inputs))]
    node = helper.make_node(kind, names, ["y"], **attributes)
    (expected,) = fold_node(node, dict(zip(names, inputs, strict=True)), no_limits())
    words = {k: v.encode() if isinstance(v, str) else v for k, v in attributes.items()}
    found = STANDARD_OPERATORS[kind](words, *inputs)
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_operators_that_numpy_lacks_are_folded() -> None:
    node = helper.make_node("Expand", ["x", "shape"], ["y"])
    (found,) = fold_node(
        node, {"x": np.float32(2).reshape(1), "shape": np.array([2, 3])}, no_limits()
    )
    np.testing.assert_array_equal(found, np.full((2, 3), 2, np.float32))


def test_outputs_that_are_left_out_are_not_given() -> None:
    node = helper.make_node("Split", ["x"], ["first", ""], axis=1, num_outputs=2)
    (found,) = fold_node(node, {"x": X, "other": Y}, no_limits())
    np.testing.assert_array_equal(found, X[:, :2])
