"""Packed weights during the passes, and their draws in a stochastic artifact."""

from typing import Final

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from bnnkit.artifact.format.bits import pack_weight, unpack_weight
from bnnkit.export.ir.graph import array

_KEY: Final = "bnnkit.draws"


def draws_of(weight: ir.Value) -> NDArray[np.uint8] | None:
    """The packed draws of a packed weight, uint8 (M, bytes); None if it has none."""
    draws = weight.meta.get(_KEY)
    return draws if isinstance(draws, np.ndarray) else None


def set_draws(weight: ir.Value, draws: NDArray[np.uint8]) -> None:
    """Store packed draws with their packed weight."""
    weight.meta[_KEY] = draws


def negate_packed(weight: ir.Value, weight_shape: tuple[int, ...], side: NDArray[np.int8]) -> None:
    """Multiply the output channels of a packed weight and its draws by `side`, int8 (O,)."""
    column = side.reshape(-1, *[1] * (len(weight_shape) - 1))

    def negated(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return pack_weight(unpack_weight(packed, weight_shape) * column)

    content, draws = array(weight), draws_of(weight)
    if content is None:
        raise ValueError(f"{weight.name} is not constant")
    weight.const_value = ir.Tensor(negated(content), name=weight.name)
    if draws is not None:
        set_draws(weight, np.stack([negated(draw) for draw in draws]))
