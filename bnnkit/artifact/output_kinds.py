"""What the outputs of a network hold, which decides how samples of them are averaged.

The file says it (metadata `outputs`, docs/artifact.md), or its last operators do:

1. `Softmax` over the last axis gives class probabilities, `LogSoftmax` or `Log` of them their
   logarithms; also written out in other operators.
2. `Sigmoid`, and what is computed from such numbers by moving them, by 1 - p, products, means or
   maxima, gives probabilities of labels, each on its own. So do `Softmax` over another axis, such
   as the channels of a map, and the logarithms of all these: `Log`, `LogSoftmax`.
3. int64 (class numbers of `ArgMax`) and booleans are integers.
4. Two or more numbers for each input, (N, K), are class scores, unless they are limited to [0, 1].
5. One number for each input is the log-odds of the second class if the metadata name two classes.
6. All else are real values.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import onnx
import onnx.shape_inference

from bnnkit.artifact.format.graph import Graph, Node
from bnnkit.artifact.operators.facts import KEEPS_ELEMENTS, with_result

OutputKind = Literal[
    "scores",
    "probabilities",
    "log-probabilities",
    "label-probabilities",
    "label-log-probabilities",
    "log-odds",
    "values",
    "integers",
]
OUTPUT_KINDS: Final[tuple[OutputKind, ...]] = get_args(OutputKind)
OF_CLASSES: Final[tuple[OutputKind, ...]] = ("scores", "probabilities", "log-probabilities")
"""The kinds that give probabilities of classes, which exclude each other."""
OF_LABELS: Final[tuple[OutputKind, ...]] = (
    "label-probabilities",
    "label-log-probabilities",
    "log-odds",
)
"""The kinds that give probabilities of labels, each on its own."""
AVERAGED: Final[Mapping[OutputKind, str]] = {
    "scores": "class scores: predict averages their softmax",
    "probabilities": "class probabilities: predict averages them",
    "log-probabilities": "logarithms of class probabilities: predict averages the probabilities",
    "label-probabilities": "a probability for each label: predict averages them",
    "label-log-probabilities": (
        "the logarithm of a probability for each label: predict averages the probabilities"
    ),
    "log-odds": "log-odds: predict averages their sigmoid",
    "values": "real values: predict averages them; ensembles have their spread",
    "integers": "integers: predict gives the most frequent one",
}
"""What an output of each kind holds and what `predict` does with it, in words."""

KEY: Final = "outputs"
"""The key in the metadata, without the prefix."""
_MOVES: Final = KEEPS_ELEMENTS | with_result("copied", "chosen") | {"Clip", "ReduceMean", "Cast"}
_MOVES_LOGARITHMS: Final = KEEPS_ELEMENTS | {"Slice", "Gather"}
_INTEGERS: Final = {onnx.TensorProto.INT64, onnx.TensorProto.BOOL}  # int32 are integer sums


def output_kinds(
    model: onnx.ModelProto, graph: Graph, metadata: Mapping[str, str]
) -> tuple[OutputKind, ...]:
    """Find what each output of a network holds.

    Args:
        model: The network; the types of its outputs are read.
        graph: The same network as plain data.
        metadata: The metadata of the file. An entry that does not fit is ignored.
    """
    stated = _stated(metadata, len(graph.outputs))
    if stated is not None:
        return stated
    types = _output_types(model)
    is_binary = len(_list(metadata.get("classes"))) == 2
    return tuple(_recognised(graph, name, types[name], is_binary) for name in graph.outputs)


@dataclass(frozen=True)
class _Type:
    """The element type and the sizes of an output, None where a size is not known."""

    element: int
    sizes: tuple[int | None, ...] | None

    @property
    def n_numbers(self) -> int | None:
        """The numbers for one input; None if they are not known."""
        if self.sizes is None or None in self.sizes[1:]:
            return None
        return int(np.prod([size or 1 for size in self.sizes[1:]]))


def _stated(metadata: Mapping[str, str], n_outputs: int) -> tuple[OutputKind, ...] | None:
    stated = _list(metadata.get(KEY))
    if len(stated) != n_outputs or not all(kind in OUTPUT_KINDS for kind in stated):
        return None
    return tuple(stated)


def _list(text: str | None) -> list[Any]:
    try:
        found = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    return found if isinstance(found, list) else []


def _output_types(model: onnx.ModelProto) -> dict[str, _Type]:
    found = {value.name: _type_of(value) for value in model.graph.output}
    if all(kind.n_numbers is not None for kind in found.values()):
        return found
    try:
        inferred = onnx.shape_inference.infer_shapes(model).graph.output
    except Exception:  # the file states what ONNX cannot infer; its errors have no common class
        return found
    return {value.name: _type_of(value) for value in inferred}


def _type_of(value: onnx.ValueInfoProto) -> _Type:
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return _Type(tensor.elem_type, None)
    axes = tensor.shape.dim
    sizes = tuple(axis.dim_value if axis.HasField("dim_value") else None for axis in axes)
    return _Type(tensor.elem_type, sizes)


def _recognised(graph: Graph, name: str, kind: _Type, is_binary: bool) -> OutputKind:
    ends = _Ends(graph, None if kind.sizes is None else len(kind.sizes))
    if kind.element in _INTEGERS:
        return "integers"  # rule 3
    if ends.are_class_probabilities(name):
        return "probabilities"  # rule 1
    if ends.are_log_probabilities(name):
        return "log-probabilities"
    if ends.are_probabilities(name):
        return "label-probabilities"  # rule 2
    if ends.are_label_logarithms(name):
        return "label-log-probabilities"
    is_row = kind.sizes is None or len(kind.sizes) == 2
    if is_row and kind.n_numbers != 1:
        return "values" if ends.are_clipped(name) else "scores"  # rule 4
    return "log-odds" if is_binary and kind.n_numbers == 1 else "values"  # rules 5 and 6


class _Ends:
    """The last operators before an output.

    Args:
        graph: The network.
        rank: The number of axes of the output; None if it is not known.
    """

    def __init__(self, graph: Graph, rank: int | None) -> None:
        self._graph = graph
        self._rank = rank
        self._known: dict[str, bool] = {}

    def are_class_probabilities(self, name: str) -> bool:
        """Whether numbers are the probabilities of classes along the last axis of (N, K)."""
        node = self._maker(name, KEEPS_ELEMENTS)
        if node is None:
            return False
        if node.kind == "Softmax":
            return self._is_over_classes(node)
        # exp(x) / sum of exp(x)
        numerator, total = self._makers(node) if node.kind == "Div" else (None, None)
        if total is None or not _is_part_of_sum(numerator, total):
            return False
        return self._is_over_classes(total)

    def are_log_probabilities(self, name: str) -> bool:
        """Whether numbers are the logarithms of such probabilities."""
        node = self._maker(name, KEEPS_ELEMENTS)
        if node is None:
            return False
        if node.kind == "LogSoftmax":
            return self._is_over_classes(node)
        if node.kind == "Log":
            return self.are_class_probabilities(node.inputs[0])
        # x - log of the sum of exp(x)
        _, total = self._makers(node) if node.kind == "Sub" else (None, None)
        summed = total and self._summed_powers(total, node.inputs[0])
        return summed is not None and self._is_over_classes(summed)

    def are_label_logarithms(self, name: str) -> bool:
        """Whether numbers are logarithms of probabilities, each on its own."""
        node = self._maker(name, _MOVES_LOGARITHMS)
        if node is None:
            return False
        if node.kind == "Log":
            return self.are_probabilities(node.inputs[0])
        _, total = self._makers(node) if node.kind == "Sub" else (None, None)
        is_written = total is not None and self._summed_powers(total, node.inputs[0]) is not None
        return node.kind == "LogSoftmax" or is_written

    def are_probabilities(self, name: str) -> bool:
        """Whether every number is a probability."""
        if name not in self._known:
            self._known[name] = False  # while it is being found out: a damaged file has circles
            node = self._maker(name, frozenset())
            self._known[name] = node is not None and self._gives_probabilities(node)
        return self._known[name]

    def _gives_probabilities(self, node: Node) -> bool:
        if node.kind in ("Sigmoid", "HardSigmoid", "Softmax"):
            return True
        if node.kind in ("Concat", "Max", "Min", "Mul", "Mean"):
            return all(map(self.are_probabilities, node.inputs))
        if node.kind == "Sub":
            return self._is_one(node.inputs[0]) and self.are_probabilities(node.inputs[1])
        if node.kind == "Div":
            return self._is_written_sigmoid(node) or _is_part_of_sum(*self._makers(node))
        return node.kind in _MOVES and self.are_probabilities(node.inputs[0])

    def are_clipped(self, name: str) -> bool:
        """Whether numbers are limited to [0, 1]."""
        node = self._maker(name, KEEPS_ELEMENTS)
        limits = node.inputs[1:3] if node is not None and node.kind == "Clip" else ()
        found = [self._graph.constants.get(limit) for limit in limits]
        return [None if limit is None else limit.item() for limit in found] == [0, 1]

    def _is_over_classes(self, node: Node) -> bool:
        """Whether a softmax or sum is over the last axis of (N, K), as far as the file says."""
        axes = np.ravel(node.attributes.get("axes", node.attributes.get("axis", -1)))
        if len(node.inputs) > 1:
            axes = np.ravel(self._graph.constants.get(node.inputs[1], -1))
        return self._rank is None or self._rank == 2 or axes.tolist() in ([-1], [self._rank - 1])

    def _summed_powers(self, node: Node, scores: str) -> Node | None:
        """The sum if a node is the logarithm of a sum of exponentials of scores; None if not."""
        if node.kind == "ReduceLogSumExp":
            return node if node.inputs[0] == scores else None
        total = self._maker(node.inputs[0], frozenset()) if node.kind == "Log" else None
        powers = self._maker(total.inputs[0], frozenset()) if total is not None else None
        if total is None or powers is None or total.kind != "ReduceSum":
            return None
        return total if powers.kind == "Exp" and powers.inputs[0] == scores else None

    def _is_written_sigmoid(self, node: Node) -> bool:
        """Whether a node is 1 / (1 + exp(-x))."""
        _, total = self._makers(node)
        if total is None or total.kind != "Add" or not self._is_one(node.inputs[0]):
            return False
        ones = [self._is_one(name) for name in total.inputs]
        powers = [made for made in self._makers(total) if made is not None and made.kind == "Exp"]
        return any(ones) and len(powers) == 1

    def _is_one(self, name: str) -> bool:
        constant = self._graph.constants.get(name)
        return constant is not None and constant.size == 1 and constant.item() == 1

    def _makers(self, node: Node) -> tuple[Node | None, Node | None]:
        """What computes the two operands of a node."""
        left, right = (self._maker(name, frozenset()) for name in node.inputs[:2])
        return left, right

    def _maker(self, name: str, seen_through: frozenset[str]) -> Node | None:
        """What computes a value, seen through operators."""
        makers: Callable[[str], Node | None] = self._graph.makers.get
        node = makers(name)
        while node is not None and node.kind in seen_through:
            node = makers(node.inputs[0])
        return node


def _is_part_of_sum(part: Node | None, total: Node | None) -> bool:
    """Whether one node is the exponential of scores, and the other the sum of its result."""
    if part is None or total is None or (part.kind, total.kind) != ("Exp", "ReduceSum"):
        return False
    return total.inputs[0] == part.outputs[0]
