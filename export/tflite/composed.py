"""Lowers operators that TFLite lacks as several that it has.

Each function emits simpler operators of ONNX and returns the name of the last one's value.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.operators.subscripts import subscripts
from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite.source import Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder

Array = NDArray[Any]


@dataclass
class Parts:
    """The operators that stand for a node.

    Attributes:
        builder: Gets the operators.
        node: The node.
        lower: Lowers one of ONNX's operators.
    """

    builder: TfliteBuilder
    node: Node
    lower: Callable[[TfliteBuilder, Node], None]
    _count: int = field(default=0, init=False)

    def emit(self, kind: str, *inputs: str | Array | np.floating[Any], **attributes: Any) -> str:
        """Emit an operator; returns the name of its value."""
        self._count += 1
        name = f"{self.node.output}/{kind}{self._count}"
        names = tuple(x if isinstance(x, str) else self._constant(name, x) for x in inputs)
        self.lower(
            self.builder,
            Node(kind=kind, name=self.node.name, inputs=names, output=name, attributes=attributes),
        )
        return name

    def _constant(self, name: str, numbers: Array | np.floating[Any]) -> str:
        constants = self.builder.source.constants
        free = f"{name}/{len(constants)}"
        array = np.asarray(numbers)
        constants[free] = array.astype(np.float32) if array.dtype == np.float64 else array
        return free

    @property
    def x(self) -> str:
        """The name of the first input."""
        return self.node.inputs[0]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a value without the batch.

        Raises:
            UnsupportedError: It is constant.
        """
        if name not in self.builder.values:
            raise UnsupportedError("expected its first input to be computed, got a constant")
        return self.builder.values[name].shape

    def get(self, name: str, default: Any) -> Any:
        """An attribute of the node."""
        return self.node.attributes.get(name, default)

    def constant(self, index: int) -> Array:
        """An input that must be constant."""
        return self.builder.constant_of(self.node, index)

    def given(self, index: int) -> bool:
        """Whether the node has this input."""
        return index < len(self.node.inputs) and bool(self.node.inputs[index])

    def reshaped(self, name: str, shape: Sequence[int]) -> str:
        """A value in another shape, without the batch."""
        return self.emit("Reshape", name, np.array([0, *shape]))

    def moved(self, name: str, order: Sequence[int]) -> str:
        """A value with its axes in another order; the batch is axis 0."""
        is_same = list(order) == list(range(len(order)))
        return name if is_same else self.emit("Transpose", name, perm=list(order))


Form = Callable[[Parts], str]


def _group_norm(p: Parts) -> str:
    shape, groups = p.shape(p.x), p.node.attributes["num_groups"]
    by_group = p.reshaped(p.x, (groups, int(np.prod(shape)) // groups))
    normal = p.reshaped(_normalized(p, by_group, [2]), shape)
    column = (-1,) + (1,) * (len(shape) - 1)
    numbers = [p.constant(index) for index in (1, 2)]
    scale, bias = (np.repeat(n, shape[0] // n.size).reshape(column) for n in numbers)
    return p.emit("Add", p.emit("Mul", normal, scale), bias)


def _instance_norm(p: Parts) -> str:
    shape = p.shape(p.x)
    column = (-1,) + (1,) * (len(shape) - 1)
    normal = _normalized(p, p.x, list(range(2, 1 + len(shape))))
    scaled = p.emit("Mul", normal, p.constant(1).reshape(column))
    return p.emit("Add", scaled, p.constant(2).reshape(column))


def _layer_norm(p: Parts) -> str:
    rank = 1 + len(p.shape(p.x))
    normal = _normalized(p, p.x, list(range(p.get("axis", -1) % rank, rank)))
    scaled = p.emit("Mul", normal, p.constant(1))
    return p.emit("Add", scaled, p.constant(2)) if p.given(2) else scaled


def _normalized(p: Parts, x: str, axes: list[int]) -> str:
    """Normalise to mean 0 and variance 1 along axes."""
    centred = p.emit("Sub", x, p.emit("ReduceMean", x, np.array(axes), keepdims=1))
    square = p.emit("Mul", centred, centred)
    variance = p.emit("ReduceMean", square, np.array(axes), keepdims=1)
    shifted = p.emit("Add", variance, np.float32(p.get("epsilon", 1e-5)))
    return p.emit("Div", centred, p.emit("Sqrt", shifted))


def _selu(p: Parts) -> str:
    bent = p.emit("Elu", p.x, alpha=p.get("alpha", 1.67326319217681884765625))
    return p.emit("Mul", bent, np.float32(p.get("gamma", 1.05070102214813232421875)))


def _celu(p: Parts) -> str:
    alpha = np.float32(p.get("alpha", 1.0))
    return p.emit("Mul", p.emit("Elu", p.emit("Div", p.x, alpha)), alpha)


def _softsign(p: Parts) -> str:
    return p.emit("Div", p.x, p.emit("Add", p.emit("Abs", p.x), np.float32(1)))


def _sign(p: Parts) -> str:
    above = p.emit("Where", p.emit("Greater", p.x, np.float32(0)), np.float32(1), np.float32(0))
    below = p.emit("Less", p.x, np.float32(0))
    return p.emit("Where", below, np.float32(-1), above)


def _triangle(p: Parts) -> str:
    offset = int(p.constant(1).reshape(())) if p.given(1) else 0
    rows, columns = (np.arange(size) for size in p.shape(p.x)[-2:])
    difference = columns - rows[:, None]
    inside = difference >= offset if p.get("upper", 1) else difference <= offset
    leading = (1,) * (len(p.shape(p.x)) - 1)
    return p.emit("Where", inside.reshape(leading + inside.shape), p.x, np.float32(0))


def _norm(p: Parts) -> str:
    before, after = _NORMS[p.node.kind]
    size = p.emit(*before(p))
    total = p.emit("ReduceSum", size, _axes(p), keepdims=p.get("keepdims", 1))
    return p.emit(after, total) if after else total


_NORMS: Final[dict[str, tuple[Callable[[Parts], Any], str]]] = {
    "ReduceL1": (lambda p: ("Abs", p.x), ""),
    "ReduceL2": (lambda p: ("Mul", p.x, p.x), "Sqrt"),
    "ReduceSumSquare": (lambda p: ("Mul", p.x, p.x), ""),
    "ReduceLogSum": (lambda p: ("Identity", p.x), "Log"),
}


def _log_sum_exp(p: Parts) -> str:
    axes, rank = _axes(p), 1 + len(p.shape(p.x))
    largest = p.emit("ReduceMax", p.x, axes, keepdims=1)
    grown = p.emit("Exp", p.emit("Sub", p.x, largest))
    total = p.emit("Log", p.emit("ReduceSum", grown, axes, keepdims=1))
    result = p.emit("Add", total, largest)
    if p.get("keepdims", 1):
        return result
    gone = {int(axis) % rank for axis in axes}
    return p.reshaped(result, [n for i, n in enumerate(p.shape(p.x), start=1) if i not in gone])


def _axes(p: Parts) -> Array:
    if p.given(1):
        return p.constant(1)
    return np.array(p.get("axes", range(1 + len(p.shape(p.x)))))


def _cumulative_sum(p: Parts) -> str:
    """A product with a triangle of ones along the last axis."""
    rank = 1 + len(p.shape(p.x))
    axis = int(p.constant(1).reshape(())) % rank
    order = [i for i in range(rank) if i != axis] + [axis]
    size = p.shape(p.x)[axis - 1]
    ones = np.triu(np.ones((size, size), np.float32), int(bool(p.get("exclusive", 0))))
    ones = ones.T if p.get("reverse", 0) else ones
    product = p.emit("MatMul", p.moved(p.x, order), ones)
    return p.moved(product, np.argsort(order).tolist())


def _expand(p: Parts) -> str:
    target = [int(size) for size in p.constant(1)]
    shape = p.shape(p.x)
    missing = max(0, len(target) - 1 - len(shape))
    if missing:
        raise UnsupportedError("expected the batch to stay the first axis")
    target = [1] * (1 + len(shape) - len(target)) + target
    times = [1 if n in (1, size) else n for n, size in zip(target[1:], shape, strict=True)]
    return p.emit("Tile", p.x, np.array([1, *times]))


def _einsum(p: Parts) -> str:
    """Products of two operands as a matrix product for each index that both and the result have.

    More operands are multiplied one after the other.
    """
    terms, result = subscripts(p.node.attributes, len(p.node.inputs))
    if any("..." in term or len(set(term)) < len(term) for term in (*terms, result)):
        raise UnsupportedError(
            f"expected single letters, and no ellipsis, got {','.join(terms)}->{result}"
        )
    name, term = p.node.inputs[0], terms[0]
    if name not in p.builder.values or term[:1] != result[:1]:
        raise UnsupportedError(
            f"expected the batch first in the first operand and the result, got {','.join(terms)}"
        )
    for i, (other, other_term) in enumerate(zip(p.node.inputs[1:], terms[1:], strict=True), 1):
        later = set(result).union(*terms[i + 1 :])
        name, term = _product(p, name, term, other, other_term, later)
    gone = [axis for axis, letter in enumerate(term) if letter not in result]
    if gone:
        name = p.emit("ReduceSum", name, np.array(gone), keepdims=0)
        term = "".join(letter for letter in term if letter in result)
    return p.moved(name, [term.index(letter) for letter in result])


def _product(
    p: Parts, x: str, x_term: str, y: str, y_term: str, kept: set[str]
) -> tuple[str, str]:
    """Multiply two operands, and sum over the letters that nothing keeps."""
    both = [letter for letter in x_term if letter in y_term]
    shared = "".join(letter for letter in both if letter in kept)
    summed = "".join(letter for letter in both if letter not in kept)
    rows = "".join(letter for letter in x_term if letter not in both)
    columns = "".join(letter for letter in y_term if letter not in both)
    sizes = dict(zip(x_term[1:], p.shape(x), strict=True))
    is_constant = y not in p.builder.values
    if is_constant:
        array = p.builder.source.constants[y]
        sizes |= dict(zip(y_term, array.shape, strict=True))
        if shared:
            raise UnsupportedError(
                f"expected a constant that shares only summed letters, got {x_term},{y_term}"
            )
    else:
        sizes |= dict(zip(y_term[1:], p.shape(y), strict=True))
    sizes[x_term[0]] = 1  # the batch is not counted
    count = [
        int(np.prod([sizes[letter] for letter in part], dtype=int))
        for part in (rows, summed, columns)
    ]
    batches = [sizes[letter] for letter in shared[1:]]
    x_order = [x_term.index(letter) for letter in shared + rows + summed]
    if is_constant:
        y_order = [y_term.index(letter) for letter in summed + columns]
        rows = x_term[0] + "".join(letter for letter in x_term[1:] if letter in rows)
        x_order = [x_term.index(letter) for letter in rows + summed]
        left = p.reshaped(p.moved(x, x_order), [*(sizes[k] for k in rows[1:]), count[1]])
        matrix = array.transpose(y_order).reshape(count[1], count[2])
        found = p.emit("MatMul", left, matrix)
        return p.reshaped(found, [sizes[k] for k in rows[1:] + columns]), rows + columns
    if shared[:1] != x_term[:1] or y_term[:1] != x_term[:1]:
        raise UnsupportedError(
            f"expected the batch first in all operands and the result, got {x_term},{y_term}"
        )
    left = p.reshaped(p.moved(x, x_order), [*batches, count[0], count[1]])
    y_order = [y_term.index(letter) for letter in shared + summed + columns]
    right = p.reshaped(p.moved(y, y_order), [*batches, count[1], count[2]])
    found = p.emit("MatMul", left, right)
    term = shared + rows + columns
    return p.reshaped(found, [sizes[letter] for letter in term[1:]]), term


COMPOSED: Final[Mapping[str, Form]] = {
    "Celu": _celu,
    "CumSum": _cumulative_sum,
    "Einsum": _einsum,
    "Expand": _expand,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "Mish": lambda p: p.emit("Mul", p.x, p.emit("Tanh", p.emit("Softplus", p.x))),
    "Reciprocal": lambda p: p.emit("Div", np.float32(1), p.x),
    "ReduceLogSumExp": _log_sum_exp,
    "Selu": _selu,
    "Sign": _sign,
    "Softsign": _softsign,
    "Trilu": _triangle,
    **dict.fromkeys(_NORMS, _norm),
}
"""By the operator that TFLite lacks."""
