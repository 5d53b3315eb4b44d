"""Finds the elements of a value that are the same for every input, and those that are often 0.

Padding, masks, filters of zeros and batch norms with a scale of 0 give constant elements, in
tensors that otherwise depend on the input. A `Relu` gives elements that are often 0, and so does
the maximum of a value and a constant 0.

1. Each operator is evaluated for several images at once. Elements that depend on the input are
   drawn again for each image: 0, large, small and negative numbers. An element of the result is
   constant if it is the same for all of them.
2. In some images, elements that are often 0 are 0, and all others are not. An element of the
   result is often 0 if it is 0 in one of them. A sum of products (`LAYERS`) is not: if it is 0, it
   is by chance.
3. An element of a convolution is constant if all its weights are 0 at elements that are not.
4. `Equal` of something that depends on the input is not constant, as equality is rarely drawn.
   Nothing is known of what cannot be computed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import onnx
import onnx_ir as ir
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bnnkit.artifact.budget import no_limits
from bnnkit.artifact.fold_node import fold_node
from bnnkit.artifact.operators.facts import BENDS, JUMPS, LAYERS
from bnnkit.artifact.standard import STANDARD_OPERATORS, arguments
from bnnkit.export.ir.graph import array

Array = NDArray[Any]
_SCALES: Final = np.array([0, 1e30, -1e30, 50, -50, 1, -1e-3, 50, -50, 1, -1e-3])
"""What numbers between 1/2 and 1 are multiplied with, one for each image. Those of 1e30 reach
every limit, those of 50 do not overflow."""
_FIRST_OF_ZEROS: Final = 7
"""From this image on, elements that are often 0 are 0."""
_COUNTED: Final = slice(3, None)
"""The images in which zeros are counted (rule 2)."""
_NEVER: Final = frozenset({"Equal", "IsNaN", "IsInf", "Mod"})
_SLOW: Final = frozenset({"Resize"})
"""Operators that are slow to evaluate; of those without known operands, nothing is known."""
_BENDS: Final = BENDS | JUMPS | {"HardSigmoid", "HardSwish", "ThresholdedRelu", "Shrink"}
"""Operators that can be 0 for an interval of their operand."""


_MOVES_BY_CONSTANT: Final = frozenset({"Add", "Sub", "Div"})
_SCALES_BY_CONSTANT: Final = frozenset({"Mul", "Conv", "MatMul", "Gemm"})
"""Operators of unknown elements and a constant, whose result is unknown; those of the second kind
if none of its numbers is 0."""


@dataclass(frozen=True)
class Elements:
    """What is known of the elements of a value, (1, ...).

    Attributes:
        content: The constant elements; all others are 0.
        is_constant: Which elements are constant.
        is_often_zero: Which elements are not constant, and 0 for an interval of inputs.
    """

    content: Array
    is_constant: NDArray[np.bool_]
    is_often_zero: NDArray[np.bool_]

    @property
    def is_known(self) -> bool:
        """Whether anything is known."""
        return bool(self.is_constant.any() or self.is_often_zero.any())


class ConstantElements:
    """Finds and keeps elements; the part of the graph above a value must not have changed."""

    def __init__(self) -> None:
        self._found: dict[ir.Value, Elements | None] = {}

    def of(self, value: ir.Value) -> Elements | None:
        """What is known of a value whose first axis is the batch; None if nothing is."""
        waiting = [value]
        while waiting:
            node = waiting[-1].producer()
            unknown = [] if node is None else [x for x in _computed(node) if x not in self._found]
            if unknown:
                waiting += unknown
                continue
            last = waiting.pop()
            if last not in self._found:
                self._found[last] = None if node is None else self._evaluate(node, last)
        return self._found[value]

    def _evaluate(self, node: ir.Node, value: ir.Value) -> Elements | None:
        if node.domain != "" or not self._can_be_known(node):
            return None
        try:
            if node.op_type == "Conv":
                found = _of_convolution(node, self._elements(node.inputs[0]))
            else:
                found = self._of_images(node, value)
        except Exception:  # the implementations' errors have no common class; rule 4
            return None
        return found if found is not None and found.is_known else None

    def _can_be_known(self, node: ir.Node) -> bool:
        """Whether anything may be known of a result; most operators need not be evaluated."""
        computed = _computed(node)
        if any(self._found[x] is not None for x in computed):
            return node.op_type not in _NEVER
        if len(set(computed)) < len(computed):
            return True  # such as x - x
        constants = [content for x in node.inputs if (content := array(x)) is not None]
        is_candidate = bool(constants) or node.op_type in _BENDS
        if not is_candidate or node.op_type in _NEVER | _SLOW | _MOVES_BY_CONSTANT:
            return False
        return node.op_type not in _SCALES_BY_CONSTANT or not _has_dense_factor(node, constants[0])

    def _elements(self, x: ir.Value | None) -> Elements:
        """The elements of a value or a constant; none of them known if nothing is."""
        assert x is not None
        content = array(x)
        if content is not None:
            none = np.zeros(content.shape, np.bool_)
            return Elements(content, ~none, none)
        sizes = (1, *(int(str(size)) for size in (x.shape or ())[1:]))
        dtype = np.float32 if x.dtype is None else x.dtype.numpy()
        none = np.zeros(sizes, np.bool_)
        return self._found[x] or Elements(np.zeros(sizes, dtype), none, none)

    def _of_images(self, node: ir.Node, value: ir.Value) -> Elements | None:
        """Rules 1 and 2."""
        rng = np.random.default_rng(0)
        given: dict[str, Array] = {}
        for x in node.inputs:
            if x is not None and str(x.name) not in given:
                content = array(x)
                images = _drawn(self._elements(x), rng) if content is None else content
                given[str(x.name)] = images
        result = _run(node, given)[list(node.outputs).index(value)]
        if result.shape[:1] != _SCALES.shape:
            return None
        is_constant = (result == result[:1]).all(0, keepdims=True)
        content = np.where(is_constant, result[:1], 0).astype(result.dtype)
        is_zero = (result[_COUNTED] == 0).any(0, keepdims=True) & ~is_constant
        return Elements(content, is_constant, is_zero & (node.op_type not in LAYERS))


def _computed(node: ir.Node) -> list[ir.Value]:
    """The inputs of a node that are not constants."""
    return [x for x in node.inputs if x is not None and array(x) is None]


def _has_dense_factor(node: ir.Node, factor: Array) -> bool:
    """Whether every element of a product depends on an element of the operand."""
    pads = node.attributes.get_ints("pads", ())
    is_tight = max(node.attributes.get_ints("dilations", ()), default=1) == 1
    # No window may lie in the padding.
    is_inside = not pads or (is_tight and max(pads) < min(factor.shape[2:]))
    return is_inside and bool((factor != 0).all())


def _drawn(elements: Elements, rng: np.random.Generator) -> Array:
    """One image for each of `_SCALES`, with the constant elements in all of them."""
    content, shape = elements.content, (len(_SCALES), *elements.content.shape[1:])
    if content.dtype == np.bool_:
        images = rng.random(shape) < 0.5
        images[0], images[1] = False, True
    elif content.dtype.kind == "f":
        scales = _SCALES.reshape(-1, *[1] * (content.ndim - 1))
        images = (scales * (0.5 + rng.random(shape) / 2)).astype(content.dtype)
    else:
        limits = np.iinfo(content.dtype)
        images = rng.integers(max(limits.min, -999), min(limits.max, 999), shape, content.dtype)
        images[0], images[1] = 0, min(limits.max, 999)
    zeros = images[_FIRST_OF_ZEROS:]
    zeros[np.broadcast_to(elements.is_often_zero, zeros.shape)] = 0
    return np.where(elements.is_constant, content, images)


def _run(node: ir.Node, given: dict[str, Array]) -> list[Array]:
    """The results of a node."""
    proto = ir.to_proto(node)
    if len(node.outputs) > 1 or node.op_type not in STANDARD_OPERATORS:
        return fold_node(proto, given, no_limits())  # value_sizes.py has checked the sizes
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in proto.attribute}
    inputs = [given[name] if name else None for name in proto.input]
    with np.errstate(all="ignore"):
        return [np.asarray(STANDARD_OPERATORS[node.op_type](attributes, *arguments(inputs)))]


def _of_convolution(node: ir.Node, x: Elements) -> Elements | None:
    """Rule 3."""
    weight, bias = array(node.inputs[1]), None
    if len(node.inputs) > 2 and node.inputs[2] is not None:
        bias = array(node.inputs[2])
        if bias is None:
            return None
    if weight is None or node.attributes.get_string("auto_pad", "NOTSET") != "NOTSET":
        return None
    convolve = convolution(node, weight.ndim - 2)
    varying = convolve(1.0 - x.is_constant, (weight != 0).astype(np.float64))
    content = convolve(x.content.astype(np.float64), weight.astype(np.float64))
    if bias is not None:
        content += bias.reshape(-1, *[1] * (weight.ndim - 2))
    is_constant = varying < 0.5  # a count
    content = np.where(is_constant, content, 0).astype(np.float32)
    return Elements(content, is_constant, np.zeros_like(is_constant))


def convolution(node: ir.Node, rank: int) -> Callable[[Array, Array], Array]:
    """A convolution of maps with `rank` axes, with the attributes of a node."""
    pads = node.attributes.get_ints("pads", (0,) * (2 * rank))
    strides = node.attributes.get_ints("strides", (1,) * rank)
    dilations = node.attributes.get_ints("dilations", (1,) * rank)
    group = node.attributes.get_int("group", 1)
    # Torch takes the pads of the last axis first.
    widths = [pads[axis + end * rank] for axis in reversed(range(rank)) for end in (0, 1)]

    def convolve(x: Array, weight: Array) -> Array:
        padded = functional.pad(torch.from_numpy(x), widths)
        function = (functional.conv1d, functional.conv2d, functional.conv3d)[rank - 1]
        y = function(
            padded, torch.from_numpy(weight), None, tuple(strides), 0, tuple(dilations), group
        )
        return np.asarray(y.numpy())

    return convolve
