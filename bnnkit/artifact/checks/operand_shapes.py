"""Shapes of operands that ONNX's shape inference does not check, and equations it hangs on."""

import re
from collections.abc import Callable
from typing import Final

import onnx

from bnnkit.artifact.checks.values import Values
from bnnkit.artifact.operators.attribute_rule import attributes_of
from bnnkit.artifact.operators.operand import shape_text
from bnnkit.errors import ArtifactError

Shape = tuple[int, ...]
_GATES: Final = {"LSTM": 4, "GRU": 3, "RNN": 1}
_TERM: Final = r"[A-Za-z]*(\.\.\.)?[A-Za-z]*"
_EQUATION: Final = re.compile(rf"{_TERM}(,{_TERM})*(->{_TERM})?")


def check_operand_shapes(node: onnx.NodeProto, values: Values) -> None:
    """Check the shapes of a node's operands, or its equation.

    Raises:
        ArtifactError: If they do not fit.
    """
    if node.op_type in _CHECKS:
        _CHECKS[node.op_type](node, values)


def _shapes(node: onnx.NodeProto, values: Values) -> list[Shape | None]:
    return [values.type_of(name).shape if name else None for name in node.input]


def _expect(what: str, found: Shape | None, expected: Shape) -> None:
    if found is not None and found != expected:
        raise ArtifactError(
            f"expected {what} of the shape {shape_text(expected)}, got {shape_text(found)}"
        )


def _check_places(node: onnx.NodeProto, values: Values) -> None:
    """Check GatherElements and ScatterElements: a place has an index for each axis of the data."""
    data, places, *updates = (values.type_of(name).shape for name in node.input)
    if len(data) != len(places) or not data:
        raise ArtifactError(
            f"expected data and indices of as many axes, got {shape_text(data)} and"
            f" {shape_text(places)}"
        )
    for found in updates:
        _expect("updates", found, places)


def _check_scattered(node: onnx.NodeProto, values: Values) -> None:
    """Check ScatterND: an update has the axes of the data that its place does not name."""
    data, places, updates = (values.type_of(name).shape for name in node.input)
    if not places or places[-1] > len(data):
        raise ArtifactError(
            f"expected indices of at most {len(data)} axes, got the shape {shape_text(places)}"
        )
    _expect("updates", updates, (*places[:-1], *data[places[-1] :]))


def _check_blocks(node: onnx.NodeProto, values: Values) -> None:
    """Check DepthToSpace: the channels fill blocks. Shape inference rounds their number down."""
    shape, block = values.type_of(node.input[0]).shape, attributes_of(node)["blocksize"]
    if block > 0 and len(shape) > 1 and shape[1] % block**2:
        raise ArtifactError(
            f"expected a multiple of {block}^2 channels, got the shape {shape_text(shape)}"
        )


def _check_recurrent(node: onnx.NodeProto, values: Values) -> None:
    """Check the weights, biases, lengths, states and peepholes of a recurrent layer."""
    attributes, gates = attributes_of(node), _GATES[node.op_type]
    is_batch_first = bool(attributes.get("layout", 0))
    directions = 1 + (attributes.get("direction", b"forward") == b"bidirectional")
    x, w, r, *others = _shapes(node, values)
    if x is None or r is None or len(x) != 3 or len(r) != 3:
        raise ArtifactError("expected an input and recurrent weights of three axes each")
    batch, size = x[0 if is_batch_first else 1], attributes.get("hidden_size", r[2])
    state = (batch, directions, size) if is_batch_first else (directions, batch, size)
    _expect("weights", w, (directions, gates * size, x[2]))
    _expect("recurrent weights", r, (directions, gates * size, size))
    expected = [
        ("a bias", (directions, 2 * gates * size)),
        ("lengths", (batch,)),
        ("a first state", state),
        ("a first cell", state),
        ("peepholes", (directions, 3 * size)),
    ]
    for (what, shape), found in zip(expected, others, strict=False):
        _expect(what, found, shape)


def _check_equation(node: onnx.NodeProto, _values: Values) -> None:
    """Check the equation of an Einsum: ONNX's shape inference does not end for a single dot."""
    equation = attributes_of(node)["equation"]
    text = equation.decode(errors="replace") if isinstance(equation, bytes) else str(equation)
    if not _EQUATION.fullmatch(text.replace(" ", "")):
        raise ArtifactError(
            f"expected an equation of letters, commas, '...' and one '->', got {text!r}"
        )


_CHECKS: Final[dict[str, Callable[[onnx.NodeProto, Values], None]]] = {
    "DepthToSpace": _check_blocks,
    "Einsum": _check_equation,
    "GatherElements": _check_places,
    "ScatterElements": _check_places,
    "ScatterND": _check_scattered,
    **dict.fromkeys(_GATES, _check_recurrent),
}
