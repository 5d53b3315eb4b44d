"""Operators for which the runtime has no kernel, as calls of the exported C."""

from collections.abc import Callable
from typing import Final

import numpy as np

from bnnkit.artifact.operators.facts import with_result
from bnnkit.artifact.standard import STANDARD_OPERATORS, arguments
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.c_code.average_pool import average_pool
from bnnkit.runtime.c_code.buffers import Call, bytes_of
from bnnkit.runtime.c_code.calls import Values, apply_numbers, copy, size_of, unary
from bnnkit.runtime.c_code.constants import Constants
from bnnkit.runtime.c_code.moves import move, place_of
from bnnkit.runtime.c_code.pads import is_filled, pad
from bnnkit.runtime.lowering.constants import per_channel
from bnnkit.runtime.lowering.plan_builder import from_codes
from bnnkit.runtime.memory.values import FLOAT, Array
from bnnkit.runtime.steps.probabilities import softmax_operator
from bnnkit.runtime.steps.real import NumpyOperator

KINDS: Final[dict[Callable[..., Array], str]] = {
    softmax_operator: "Softmax",
    **{function: kind for kind, function in STANDARD_OPERATORS.items()},
}
"""The kind of an operator, by its function."""
UNNAMED: Final = "an operation"
"""Stands in messages for the kind of the node, where the function does not tell it."""
MOVES: Final = with_result("same", "rearranged", "copied")
FUNCTIONS: Final = {"Softmax": "bnn_softmax", "Sigmoid": "bnn_sigmoid", "Exp": "bnn_exponentials"}
WITH_NUMBER: Final = {
    "Add": "BNN_ADD",
    "Sub": "BNN_ADD",
    "Mul": "BNN_MULTIPLY",
    "Div": "BNN_DIVIDE",
}


def numpy_operator(
    step: NumpyOperator, values: Values, constants: Constants, shapes: dict[str, Array]
) -> list[Call]:
    """Return the calls of an operator.

    Args:
        step: The operator.
        values: Kind and shape of each value.
        constants: Receives the constants.
        shapes: Numbers of the shapes for a batch of one, to which those of a shape are added.

    Raises:
        UnsupportedError: If the exported C lacks it.
    """
    kind = "codes" if step.function is from_codes else KINDS.get(step.function, "")
    if values[step.target].kind == "shape":
        shapes[step.target] = step.function(step.attributes, *_examples(step, values, shapes))
        return []
    computed = [one for one in step.sources if isinstance(one, str) and one not in shapes]
    if len(computed) != 1:
        raise UnsupportedError(f"{kind or UNNAMED} of several values")
    (source,) = computed
    if kind == "codes":
        count = bytes_of(values[step.target]) // 4
        return [unary(f"bnn_reals_of_codes({{x}}, {count}, {{y}});", source, step.target)]
    if kind in MOVES:
        examples = _examples(step, values, shapes)
        if kind == "Pad" and is_filled(step, examples):
            return [pad(step, source, examples, values, constants)]
        return [move(step, kind, source, examples, values, constants)]
    if kind == "Cast":
        return [as_reals(values, source, step.target)]
    if kind == "AveragePool":
        return average_pool(step.attributes, source, step.target, values, constants)
    if kind in FUNCTIONS:
        return [_function(step, kind, source, values)]
    if kind == "Neg":
        return _negated(step, source, values, constants)
    if kind in WITH_NUMBER:
        return _with_number(step, kind, source, values, constants)
    raise UnsupportedError(kind or UNNAMED)


def as_reals(values: Values, source: str, target: str) -> Call:
    """Return the conversion of a value to float32, as it is stored.

    Raises:
        UnsupportedError: If the exported C lacks it.
    """
    value = values[source]
    is_float = value.dtype == FLOAT and value.kind in ("image", "real")
    if values[target].dtype != FLOAT or len(value.shape) not in (1, 3):
        raise UnsupportedError(f"a conversion of {value.dtype} to {values[target].dtype}")
    if value.kind == "image" and value.dtype == np.uint8:
        return unary(
            f"bnn_reals_of_bytes({{x}}, {size_of(values, source)}, {{y}});", source, target
        )
    if value.kind == "sums":
        count = bytes_of(value) // 4
        return unary(f"bnn_cast_sums({{x}}, {count}, {{y}});", source, target, in_place=True)
    if value.kind == "image" and is_float and len(value.shape) == 3:
        channels, height, width = value.shape
        code = f"bnn_transpose({{x}}, {channels}, {height * width}, 4, {{y}});"
        return unary(code, source, target)
    if is_float:
        return copy(values, source, target)
    raise UnsupportedError(f"a conversion of {value.kind} of {value.dtype} to float32")


def _examples(step: NumpyOperator, values: Values, shapes: dict[str, Array]) -> list[Array | None]:
    """Return the inputs for a batch of one: zeros, except for shapes and constants."""
    found: list[Array | None] = []
    for source in step.sources:
        if not isinstance(source, str):
            found.append(source)
        elif source in shapes:
            found.append(shapes[source])
        else:
            found.append(np.zeros((1, *values[source].shape), values[source].dtype))
    return arguments(found)


def _function(step: NumpyOperator, kind: str, source: str, values: Values) -> Call:
    """Return the call of a function of outputs (docs/artifact.md, Probabilities).

    The runtime computes Sigmoid and Exp inside a file in NumPy, whose last bits may differ.
    """
    value = values[step.target]
    axis = int(step.attributes.get("axis", -1))
    if value.dtype != FLOAT or values[source].kind != "real":
        raise UnsupportedError(f"{kind} of {values[source].dtype}")
    if kind == "Softmax" and not (len(value.shape) == 1 and axis in (-1, 1)):
        raise UnsupportedError(f"{kind} of a map")
    code = f"{FUNCTIONS[kind]}({{x}}, {bytes_of(value) // 4}, {{y}});"
    return unary(code, source, step.target, in_place=True)


def _negated(step: NumpyOperator, source: str, values: Values, constants: Constants) -> list[Call]:
    """Return the product with -1, which only changes the sign."""
    first = as_reals(values, source, step.target)
    minus = np.full(values[step.target].map[0], -1, FLOAT)
    code = apply_numbers("BNN_MULTIPLY", values, step.target, minus, constants)
    return [first, unary(code, step.target, step.target)]


def _with_number(
    step: NumpyOperator, kind: str, source: str, values: Values, constants: Constants
) -> list[Call]:
    """Return the operation of an image with one number per channel."""
    value, index = values[step.target], place_of(step, source)
    operands = [one for one in step.sources if isinstance(one, np.ndarray)]
    rank = len(value.shape)
    numbers = None
    if len(operands) == 1 and operands[0].ndim <= rank + 1 and rank in (1, 3):
        numbers = per_channel(operands[0], value.shape[0], rank)
    is_first = index == 0 or kind in ("Add", "Mul")
    if (
        numbers is None
        or value.dtype != FLOAT
        or value.shape != values[source].shape
        or not is_first
    ):
        raise UnsupportedError(kind)
    operand = -numbers if kind == "Sub" else numbers
    first = as_reals(values, source, step.target)
    code = apply_numbers(WITH_NUMBER[kind], values, step.target, operand, constants)
    return [first, unary(code, step.target, step.target)]
