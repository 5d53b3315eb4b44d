"""LSTM, GRU and RNN of the reference executor: the equations of ONNX, in float64.

ONNX's own reference has one direction alone, and ignores activations and limits. Activations are
Sigmoid, Tanh and Relu, which have no alpha and beta.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun

from bnnkit.artifact.format.graph_view import attribute
from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Function = Callable[[Array], Array]

_FUNCTIONS: Final[dict[str, Function]] = {
    "Sigmoid": lambda x: np.exp(-np.logaddexp(0, -x)),
    "Tanh": np.tanh,
    "Relu": lambda x: np.maximum(x, 0),
}
_DEFAULTS: Final = {
    "LSTM": ["Sigmoid", "Tanh", "Tanh"],
    "GRU": ["Sigmoid", "Tanh"],
    "RNN": ["Tanh"],
}
_ORDER: Final = {"forward": [1], "reverse": [-1], "bidirectional": [1, -1]}


def check_recurrent(node: onnx.NodeProto) -> None:
    """Check that the reference has the activations of a node, if it is a recurrent layer.

    Raises:
        UnsupportedError: If it lacks one of them, or the node has a clip.
    """
    if node.op_type not in _DEFAULTS:
        return
    given: Any = attribute(node, "activations", [])
    direction: Any = attribute(node, "direction", b"forward")
    count = len(_DEFAULTS[node.op_type]) * len(_ORDER[direction.decode()])
    names = [name.decode() for name in given]
    if attribute(node, "clip", 0):
        raise UnsupportedError(f"node {node.name!r} ({node.op_type}): expected no clip, got one")
    if len(names) not in (0, count) or not set(names) <= _FUNCTIONS.keys():
        raise UnsupportedError(
            f"node {node.name!r} ({node.op_type}): expected {count} activations among"
            f" {', '.join(_FUNCTIONS)}, got {', '.join(names)}"
        )


def _functions(kind: str, given: list[str] | None, d: int) -> list[Function]:
    """Return the functions of a direction."""
    count = len(_DEFAULTS[kind])
    names = (given or [])[d * count : (d + 1) * count] or _DEFAULTS[kind]
    return [_FUNCTIONS[name] for name in names]


def _layer(kind: str, x: Array, w: Array, r: Array, *more: Array | None, **a: Any) -> list[Array]:
    """Run a layer: Y, and the last state of each kind."""
    given: list[Any] = [*more, *[None] * (5 - len(more))]
    bias, lengths, hidden, cell, peepholes = given
    states = [hidden, cell]
    if lengths is not None and len(set(lengths)) > 1:
        raise UnsupportedError(f"{kind} with sequences of several lengths")
    layout = a.get("layout") or 0
    x = np.asarray(x.swapaxes(0, 1) if layout else x, np.float64)
    w, r = w.astype(np.float64), r.astype(np.float64)
    size, order = r.shape[2], _ORDER[a.get("direction") or "forward"]
    b = np.zeros((len(order), 2 * w.shape[1])) if bias is None else bias.astype(np.float64)
    y, ends = np.zeros((len(x), len(order), x.shape[1], size)), []
    for d, step in enumerate(order):
        functions = _functions(kind, a.get("activations"), d)
        state = [np.zeros((x.shape[1], size)) for _ in range(1 + (kind == "LSTM"))]
        for i, start in enumerate(states[: len(state)]):
            if start is not None:
                state[i] = (start[:, d] if layout else start[d]).astype(np.float64)
        for t in range(len(x))[::step]:
            p = None if peepholes is None else peepholes[d].astype(np.float64)
            state = _STEPS[kind](x[t], state, w[d], r[d], b[d], functions, {**a, "p": p})
            y[t, d] = state[0]
        ends.append(state)
    lasts = [np.stack(each, axis=layout) for each in zip(*ends, strict=True)]
    return [y.transpose(2, 0, 1, 3) if layout else y, *lasts]


def _gates(
    x: Array, h: Array, w: Array, r: Array, b: Array, count: int
) -> list[tuple[Array, ...]]:
    """Return what each gate gets from the input, and what it gets from the state."""
    size = r.shape[1]
    rows = [slice(k * size, (k + 1) * size) for k in range(count)]
    return [(x @ w[k].T + b[k], h @ r[k].T + b[count * size :][k]) for k in rows]


def _lstm_step(x: Any, state: Any, w: Any, r: Any, b: Any, functions: Any, a: Any) -> list[Array]:
    h, c = state
    f, g, last = functions
    i, o, forget, cell = (one + other for one, other in _gates(x, h, w, r, b, 4))
    of_i, of_o, of_forget = (0, 0, 0) if a["p"] is None else np.split(a["p"], 3)
    i, forget, before = i + of_i * c, forget + of_forget * c, c
    c = (1 - f(i) if a.get("input_forget") else f(forget)) * before + f(i) * g(cell)
    return [f(o + of_o * c) * last(c), c]


def _gru_step(x: Any, state: Any, w: Any, r: Any, b: Any, functions: Any, a: Any) -> list[Array]:
    (h,) = state
    f, g = functions
    z, reset, (of_x, of_h) = _gates(x, h, w, r, b, 3)
    update, keep = f(sum(z)), f(sum(reset))
    if not a.get("linear_before_reset"):
        _, _, (_, of_h) = _gates(x, keep * h, w, r, b, 3)
        keep = 1
    new = g(of_x + keep * of_h)
    return [(1 - update) * new + update * h]


def _rnn_step(x: Any, state: Any, w: Any, r: Any, b: Any, functions: Any, a: Any) -> list[Array]:
    (gate,) = _gates(x, state[0], w, r, b, 1)
    return [functions[0](sum(gate))]


_STEPS: Final[dict[str, Callable[..., list[Array]]]] = {
    "LSTM": _lstm_step,
    "GRU": _gru_step,
    "RNN": _rnn_step,
}


def _op_run(kind: str) -> type[OpRun]:
    def run(self: OpRun, x: Array, *inputs: Array | None, **attributes: Any) -> tuple[Array, ...]:
        found = _layer(kind, x, *inputs, **attributes)  # type: ignore[arg-type]
        return tuple(each.astype(x.dtype) for each in found[: len(self.onnx_node.output)])

    return type(kind, (OpRun,), {"op_domain": "", "_run": run})


RECURRENT_OPERATORS: Final = tuple(map(_op_run, _STEPS))
"""The classes, for `ReferenceEvaluator(..., new_ops=...)`."""
