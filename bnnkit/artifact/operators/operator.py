"""The type `Operator`, of which each file in this folder holds one value."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from bnnkit.artifact.operators.attribute_rule import AttributeRule, Attributes
from bnnkit.artifact.operators.macs import Macs
from bnnkit.artifact.operators.operand import Operand, Sizes

Array = NDArray[Any]
Reference = Callable[..., tuple[Array, ...]]
"""A function from inputs (in order) and attributes (by name) to outputs."""
LargestSums = Callable[[Sizes, Mapping[str, Array], Attributes], NDArray[np.int64]]
"""A function from the lengths of the axes, the constants among the inputs, by name, and the
attributes to one number for each output channel."""
Content = Literal["signs", "sums", "reals", "numbers", "packed weights", "words"]
"""The content of a value. signs: uint8, 0 for -1 and 2 for +1. sums: int32, exact. reals:
float32. numbers: uint8, such as pixels. packed weights: uint8, as in bits.py. words: uint32,
random."""
LayerKind = Literal["binary", "integer"]
"""binary: binary weights on signs; integer: int16 weights on uint8 numbers."""

BYTES = TensorProto.UINT8
"""The element type of signs, packed weights, and numbers such as pixels."""
SUMS = TensorProto.INT32
REALS = TensorProto.FLOAT


@dataclass(frozen=True, kw_only=True)
class Operator:
    """An operator of docs/artifact.md.

    Attributes:
        name: The name without the domain: "BinaryConv2d".
        inputs: What it expects of its inputs, in order, by the names that `body` uses.
        attributes: What it expects of its attributes, all of which a node must have. `body` refers
            to them as `@pads` etc.
        outputs: What it gives, by name.
        sizes: Completes the lengths of the axes: gets those of the inputs and the attributes, and
            adds those of the outputs that are missing. Raises ArtifactError if they contradict
            each other.
        largest_sums: K of docs/artifact.md, the largest absolute sum of each output channel, (O,);
            None if it gives no sums, or sums of no output channels.
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
    inputs: Mapping[str, Operand]
    attributes: Mapping[str, AttributeRule] = field(default_factory=dict)
    outputs: Mapping[str, Operand]
    sizes: Callable[[Sizes, Attributes], None] = lambda sizes, attributes: None
    largest_sums: LargestSums | None = None
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
