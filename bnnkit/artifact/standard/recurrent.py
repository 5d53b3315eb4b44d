"""Recurrent layers: LSTM, GRU and RNN, step by step.

X is (T, N, I), W is (D, G * H, I), R is (D, G * H, H) and B is (D, 2 * G * H) for D directions and
G gates; Y is (T, D, N, H), the last states are (D, N, H).
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.standard.activations import ACTIVATIONS
from bnnkit.errors import UnsupportedError

Array = NDArray[Any]
Attributes = Mapping[str, Any]
State = tuple[Array, ...]
"""What a layer passes from step to step: (N, H) each; the first is its output."""
Step = Callable[[Array, State], State]
"""From the products of an input with W, (N, G * H), and the state before to that after."""

_REVERSED: Final = {b"forward": (False,), b"reverse": (True,), b"bidirectional": (False, True)}


def _lstm(
    a: Attributes, x: Array, w: Array, r: Array, bias: Array | None = None,
    lengths: Array | None = None, hidden: Array | None = None, cell: Array | None = None,
    peepholes: Array | None = None,
) -> State:  # fmt: skip
    """Return Y, the last hidden states and the last cells; peepholes are (D, 3 * H)."""
    couples = bool(a.get("input_forget", 0))

    def step(d: int) -> Step:
        gate, candidate, squash = _activations(a, d, 3)

        def run(inputs: Array, state: State) -> State:
            h, c = state
            # The order of the gates: input, output, forget, cell.
            i, o, f, g = np.split(inputs + h @ r[d].T, 4, axis=1)
            if peepholes is not None:
                of_i, of_o, of_f = np.split(peepholes[d], 3)
                i, f = i + of_i * c, f + of_f * c
            entry = gate(i)
            c = (1 - entry if couples else gate(f)) * c + entry * candidate(g)
            return gate(o if peepholes is None else o + of_o * c) * squash(c), c

        return run

    return _run(a, x, w, bias, lengths, [hidden, cell], step, r)


def _gru(
    a: Attributes, x: Array, w: Array, r: Array, bias: Array | None = None,
    lengths: Array | None = None, hidden: Array | None = None,
) -> State:  # fmt: skip
    """Return Y and the last hidden states."""
    size, late = r.shape[2], bool(a.get("linear_before_reset", 0))

    def step(d: int) -> Step:
        gate, candidate = _activations(a, d, 2)
        recurrent = r[d].T
        of_candidate = None if bias is None else bias[d, 5 * size :]

        def run(inputs: Array, state: State) -> State:
            (h,) = state
            z, reset, new = np.split(inputs, 3, axis=1)
            gates = h @ recurrent[:, : 2 * size]
            z, reset = gate(z + gates[:, :size]), gate(reset + gates[:, size:])
            shift = 0 if of_candidate is None else of_candidate
            if late:
                new = new + reset * (h @ recurrent[:, 2 * size :] + shift)
            else:
                new = new + (reset * h) @ recurrent[:, 2 * size :] + shift
            return ((1 - z) * candidate(new) + z * h,)

        return run

    return _run(a, x, w, _without_candidate(bias, size), lengths, [hidden], step, r)


def _without_candidate(bias: Array | None, size: int) -> Array | None:
    """Return biases of a GRU without the recurrent one of the candidate, which a gate scales."""
    if bias is None:
        return None
    kept: Array = bias.copy()
    kept[:, 5 * size :] = 0
    return kept


def _rnn(
    a: Attributes, x: Array, w: Array, r: Array, bias: Array | None = None,
    lengths: Array | None = None, hidden: Array | None = None,
) -> State:  # fmt: skip
    """Return Y and the last hidden states."""

    def step(d: int) -> Step:
        (activation,) = _activations(a, d, 1)
        return lambda inputs, state: (activation(inputs + state[0] @ r[d].T),)

    return _run(a, x, w, bias, lengths, [hidden], step, r)


def _activations(a: Attributes, direction: int, count: int) -> list[Callable[[Array], Array]]:
    """Return the functions of a direction: Sigmoid for gates and Tanh, or those that it names.

    Raises:
        UnsupportedError: If it names others than Sigmoid, Tanh and Relu, or has a clip.
    """
    default = [b"Tanh"] if count == 1 else [b"Sigmoid", b"Tanh", b"Tanh"][:count]
    given = list(a.get("activations") or ())
    names = given[direction * count : (direction + 1) * count] or default
    if a.get("clip", 0):
        raise UnsupportedError("recurrent layers with the attribute clip are not supported")
    if given and len(given) % count:
        raise UnsupportedError(f"expected {count} activations for each direction, got {given}")
    words = [name.decode() if isinstance(name, bytes) else name for name in names]
    for word in words:
        if word not in ("Sigmoid", "Tanh", "Relu"):
            raise UnsupportedError(
                f"expected activations among Sigmoid, Tanh and Relu, got {word}"
            )
    return [partial(ACTIVATIONS[word], {}) for word in words]


def _run(
    a: Attributes,
    x: Array,
    w: Array,
    bias: Array | None,
    lengths: Array | None,
    states: list[Array | None],
    step: Callable[[int], Step],
    r: Array,
) -> State:
    """Run all directions over all steps.

    Args:
        a: The attributes of the node.
        x: The inputs.
        w: The weights of the inputs.
        bias: Of the inputs and of the recurrent products, which are added here.
        lengths: Must be left out, or say that all sequences have all T steps.
        states: The first states; None for zeros.
        step: Makes the step of a direction.
        r: The recurrent weights, for their sizes.
    """
    is_batch_first = bool(a.get("layout", 0))
    if is_batch_first:
        x, states = x.swapaxes(0, 1), [s if s is None else s.swapaxes(0, 1) for s in states]
    if lengths is not None and (lengths != len(x)).any():
        raise UnsupportedError("recurrent layers with sequences of several lengths are missing")
    directions = _REVERSED[a.get("direction", b"forward")]
    size = r.shape[2]
    zeros = np.zeros((len(directions), x.shape[1], size), x.dtype)
    given = [zeros if s is None else s for s in states]
    y = np.empty((len(x), *zeros.shape), x.dtype)
    last = []
    for d, is_reversed in enumerate(directions):
        inputs = x @ w[d].T
        if bias is not None:
            inputs = inputs + bias[d].reshape(2, -1).sum(0)
        run, state = step(d), tuple(s[d] for s in given)
        for t in reversed(range(len(x))) if is_reversed else range(len(x)):
            state = run(inputs[t], state)
            y[t, d] = state[0]
        last.append(state)
    ends = [np.stack(each) for each in zip(*last, strict=True)]
    if is_batch_first:
        return np.moveaxis(y, 2, 0), *(end.swapaxes(0, 1) for end in ends)
    return y, *ends


RECURRENT: dict[str, Callable[..., tuple[Array, ...]]] = {"LSTM": _lstm, "GRU": _gru, "RNN": _rnn}
"""The functions by operator type; each gives Y, then the last states."""
