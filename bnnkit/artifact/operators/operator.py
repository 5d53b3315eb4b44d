"""The type `Operator`, of which each file in this folder holds one value."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

from bnnkit.artifact.operators.macs import Macs

Array = NDArray[Any]
Reference = Callable[..., tuple[Array, ...]]
"""A function from inputs (in order) and attributes (by name) to outputs."""
Content = Literal["signs", "sums", "reals", "numbers", "packed weights", "words"]
"""The content of a value. signs: uint8, 0 for -1 and 2 for +1. sums: int32, exact. reals:
float32. numbers: uint8, such as pixels. packed weights: uint8, as in bits.py. words: uint32,
random."""
LayerKind = Literal["binary", "integer"]
"""binary: binary weights on signs; integer: int16 weights on uint8 numbers."""


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An operator of docs/artifact.md.

    Attributes:
        name: The name without the domain: "BinaryConv2d".
        inputs: The names of its inputs, in order, as `body` uses them.
        attributes: The names of its attributes, all of which a node must have. `body` refers to
            them as `@pads` etc.
        outputs: The names of its outputs.
        body: The same computation in standard operators, in ONNX's text format, so that a stock
            ONNX Runtime computes the same bits. docs/artifact.md explains each body.
        reference: The definition in NumPy, with which every engine is compared.
        takes: The content of its first input.
        gives: The content of its first output.
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
        """The kind of layer; None if the operator is not a layer."""
        if self.macs is None:
            return None
        return "binary" if self.takes == "signs" else "integer"
