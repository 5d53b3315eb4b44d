"""What an operator of the domain `bnnkit` is: the type of each value in this folder."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from bnnkit.artifact.operators.macs import Macs

Array = NDArray[Any]
Reference = Callable[..., tuple[Array, ...]]
"""From the inputs, in their order, and the attributes, by name, to the outputs."""
Content = Literal["signs", "sums", "reals", "numbers", "packed weights", "words"]
"""What a value holds. signs: uint8, 0 is -1 and 2 is +1. sums: int32, exact. reals: float32.
numbers: uint8, such as pixels. packed weights: uint8, as in bits.py. words: uint32, random."""
LayerKind = Literal["binary", "integer"]
"""binary: binary weights on signs; integer: int16 weights on uint8 numbers."""


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An operator of docs/artifact.md.

    Attributes:
        name: Without the domain: "BinaryConv2d".
        inputs: Names of its inputs, in their order, as `body` uses them.
        attributes: Names of its attributes, all of which a node must have. `body` passes them on
            by reference: `@pads`.
        outputs: Names of its outputs.
        body: The same computation in standard operators, in ONNX's text format, so that a stock
            ONNX Runtime computes the same bits. docs/artifact.md says why each is as it is.
        reference: The definition in NumPy, which every engine is compared with.
        takes: What its first input holds.
        gives: What its first output holds.
        macs: Counts its multiply-accumulates for one input; None if it has none.
        needs: The operators of the domain `bnnkit` that `body` uses.
        is_sampled: Whether its result depends on the sample: a file with such a node is
            stochastic.
    """

    name: str
    inputs: tuple[str, ...]
    attributes: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ("y",)
    body: str
    reference: Reference
    takes: Content
    gives: Content
    macs: Macs | None = None
    needs: tuple[str, ...] = ()
    is_sampled: bool = False

    @property
    def layer(self) -> LayerKind | None:
        """What kind of layer it is; None if it is none."""
        if self.macs is None:
            return None
        return "binary" if self.takes == "signs" else "integer"
