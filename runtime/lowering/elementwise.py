"""Lowering of elementwise operators to chains that one kernel computes."""

from dataclasses import replace
from math import prod

import numpy as np

from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.operators.facts import COMMUTES
from bnnkit.runtime.kernels import reals
from bnnkit.runtime.lowering.constants import per_channel, per_last_channel, per_pixel
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import FLOAT, Array, Value
from bnnkit.runtime.memory.weights import LANES
from bnnkit.runtime.steps.convolution import KERNELS, Convolution
from bnnkit.runtime.steps.real import Chain, Operation

WITH_NUMBER = {"Add": reals.ADD, "Mul": reals.MULTIPLY, "Div": reals.DIVIDE, "PRelu": reals.SLOPE}
WITH_MAP = {"Add": reals.ADD_MAP, "Sub": reals.SUBTRACT_MAP, "Mul": reals.MULTIPLY_MAP}


def lower_elementwise(builder: PlanBuilder, node: Node) -> bool:
    """Lower an elementwise operator to a chain, or to the end of an existing one.

    Returns:
        Whether the kernel supports this form of the operator.
    """
    source, operations = _operations(builder, node)
    if not operations:
        return False
    value = builder.values[source].alike()
    if _extend(builder, node, source, operations):
        builder.values[node.outputs[0]] = value
    else:
        chain = Chain(name=node.name, source=source, target=node.outputs[0], operations=operations)
        builder.add(chain, value)
    return True


def _operations(builder: PlanBuilder, node: Node) -> tuple[str, tuple[Operation, ...]]:
    """Return the map that a node modifies and the operations; none if the kernel lacks them."""
    names = [name for name in node.inputs if name in builder.values]
    if not names or not all(_is_map(builder, name) for name in names):
        return "", ()
    if len({builder.values[name].layout for name in names}) > 1:
        return "", ()
    if builder.kind(names[0]) == "sums":
        to_float = node.kind == "Cast" and node.attributes["to"] == 1
        return (names[0], ((reals.CAST, np.zeros(1)),)) if to_float else ("", ())
    if len(names) == 2:
        return _with_map(builder, node, names)
    return names[0], _with_numbers(builder, node, names[0])


def _is_map(builder: PlanBuilder, name: str) -> bool:
    """Whether the chain kernel can read a value: float32 or sums, a map or a vector."""
    value = builder.values[name]
    is_float = value.kind == "real" and value.dtype == FLOAT
    return (is_float or value.kind == "sums") and value.is_map


def _with_map(
    builder: PlanBuilder, node: Node, names: list[str]
) -> tuple[str, tuple[Operation, ...]]:
    first, second = names
    shapes = [builder.values[name].shape for name in names]
    if node.kind not in WITH_MAP or builder.kind(second) != "real":
        return "", ()
    is_last = builder.values[first].layout == "channels last"
    broadcasts = _repeats_to if is_last else _broadcasts_to
    if node.kind in COMMUTES and (
        broadcasts(*shapes)
        # The chain that was computed last can be extended in place.
        or (shapes[0] == shapes[1] and builder.position(first) < builder.position(second))
    ):
        first, second = second, first
        shapes.reverse()
    if builder.kind(first) != "real" or not (shapes[0] == shapes[1] or broadcasts(*shapes[::-1])):
        return "", ()
    return first, ((WITH_MAP[node.kind], second),)


def _broadcasts_to(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether a map has one pixel, which is broadcast to all pixels of another."""
    return len(shape) == 3 == len(other) and shape == (other[0], 1, 1) != other


def _repeats_to(shape: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether a value with channels last is broadcast to the rows or columns of another."""
    if len(shape) != len(other) or len(shape) < 2 or shape[-1] != other[-1] or shape == other:
        return False
    has_rows = shape[:-2] == other[:-2] or prod(shape[:-2]) == 1
    return has_rows and shape[-2] in (1, other[-2])


def _with_numbers(builder: PlanBuilder, node: Node, source: str) -> tuple[Operation, ...]:
    """Return the operations of a node whose other operands are constants."""
    value = builder.values[source]
    shape = value.shape
    found = {i: builder.constants.get(n) for i, n in enumerate(node.inputs) if n != source}
    last = value.layout == "channels last"
    numbers = {
        i: per_last_channel(c, shape[-1]) if last else per_channel(c, shape[0], len(shape))
        for i, c in found.items()
        if c is not None and c.ndim <= len(shape) + 1
    }
    if len(numbers) < _count(node):
        return ()
    if any(number is None for number in numbers.values()):
        return _with_constant_map(node, shape, found) if last else ()
    known = {i: number for i, number in numbers.items() if number is not None}
    if any(np.isnan(number).any() for number in known.values()):
        return ()  # the kernels expect NaN in maps alone
    return _operations_with(node, value.map[0], known)


def _with_constant_map(
    node: Node, shape: tuple[int, ...], found: dict[int, Array | None]
) -> tuple[Operation, ...]:
    """Return the operation of a value with channels last and a constant that varies by pixel."""
    ((place, constant),) = found.items() if len(found) == 1 else ((0, None),)
    if constant is None or node.kind not in WITH_MAP or constant.dtype != FLOAT:
        return ()
    if place != 1 and node.kind not in COMMUTES:
        return ()
    pixels = per_pixel(constant, shape)
    return () if pixels is None else ((WITH_MAP[node.kind], pixels),)


def _count(node: Node) -> int:
    """Count the constants of a node, without omitted inputs."""
    return sum(1 for name in node.inputs if name) - 1


def _operations_with(
    node: Node, channels: int, numbers: dict[int, Array]
) -> tuple[Operation, ...]:
    zeros = np.zeros(channels, np.float32)
    if node.kind == "Round":
        return ((reals.ROUND, zeros[:1]),)
    if node.kind == "Relu":
        return ((reals.MAXIMUM, zeros),)
    if node.kind == "LeakyRelu":
        return ((reals.SLOPE, zeros + np.float32(node.attributes.get("alpha", 0.01))),)
    if node.kind == "Clip":
        bounds = [(reals.MAXIMUM, numbers.get(1)), (reals.MINIMUM, numbers.get(2))]
        return tuple((code, bound) for code, bound in bounds if bound is not None)
    if node.kind == "Sub" and 1 in numbers:
        return ((reals.ADD, -numbers[1]),)  # bit-equal to the subtraction
    if node.kind in WITH_NUMBER and (1 in numbers or (node.kind in COMMUTES and numbers)):
        ((_, number),) = numbers.items()
        return ((WITH_NUMBER[node.kind], number),)
    return ()


def _extend(
    builder: PlanBuilder, node: Node, source: str, operations: tuple[Operation, ...]
) -> bool:
    """Append operations to the chain that computes the source, if nothing else reads it.

    Returns:
        Whether the chain was extended.
    """
    position = builder.position(source)
    step = builder.steps[position] if position >= 0 else None
    if step is None or step.target != source:
        return False  # the source is an input, or a view of what the step computes
    if isinstance(step, Convolution):
        return _complete(builder, node, step, operations)
    if not isinstance(step, Chain) or step.signs or builder.graph.sole_reader(source) != node:
        return False
    later = [name for _, name in operations if isinstance(name, str)]
    if any(builder.position(name) > position for name in later):
        return False
    builder.steps[position] = replace(
        step, target=node.outputs[0], operations=step.operations + operations
    )
    del builder.values[source]
    return True


def _complete(
    builder: PlanBuilder, node: Node, step: Convolution, operations: tuple[Operation, ...]
) -> bool:
    """Let a binary convolution add a skip connection, if nothing else reads its own reals.

    Returns:
        Whether it does.
    """
    source, ((code, operand), *more) = step.target, operations
    if code != reals.ADD_MAP or not isinstance(operand, str) or more:
        return False
    value, position = builder.values[source], builder.position(source)
    if (
        step.added is not None
        or not _can_complete(builder, step, value)
        or builder.values[operand].shape != value.shape
        or builder.position(operand) >= position
        or builder.graph.sole_reader(source) != node
    ):
        return False
    builder.steps[position] = replace(step, target=node.outputs[0], added=operand)
    del builder.values[source]
    return True


def _can_complete(builder: PlanBuilder, step: Convolution, value: Value) -> bool:
    """Whether a kernel adds a map to the reals of a convolution, and packs their signs."""
    dtype = step.weights.dtype
    return (
        (dtype, "added real") in KERNELS
        and builder.forms.fuses
        and value.kind == "real"
        and step.window.output != (1, 1)
        and step.channels == value.map[0]
        and step.channels % max(16, LANES[dtype]) == 0
    )
