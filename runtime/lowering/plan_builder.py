"""A plan under construction: its values and steps so far, and deferred operations.

Three operations on signs are deferred until a reader needs their result, because most readers do
not: padding with +1 (a convolution reads it from the margin), flattening (a dense layer reorders
its weights instead) and moves to other places (a matrix product packs its operands itself).
"""

from dataclasses import dataclass, field

import numpy as np

from bnnkit.artifact.format.graph import Graph, Node
from bnnkit.artifact.standard import STANDARD_OPERATORS
from bnnkit.artifact.standard.elementwise import Attributes
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.lowering.kernel_forms import KernelForms
from bnnkit.runtime.memory.quantiles import Quantiles
from bnnkit.runtime.memory.shared_weights import SharedWeights
from bnnkit.runtime.memory.values import Array, Kind, Value
from bnnkit.runtime.steps.real import NumpyOperator
from bnnkit.runtime.steps.signs import CopySigns, PackSigns, UnpackSigns
from bnnkit.runtime.steps.step import Step

Pads = tuple[int, int, int, int]
"""Padding in pixels: top, left, bottom, right."""


@dataclass(frozen=True, kw_only=True)
class MovedSigns:
    """Signs that are to be moved.

    Attributes:
        source: The value that holds them, packed.
        nodes: The operators that move them, in order.
        places: For each moved sign of an image, its place among those of the source, which are
            numbered in ONNX's order.
    """

    source: str
    nodes: tuple[Node, ...]
    places: Array


@dataclass(kw_only=True)
class PlanBuilder:
    """The state of lowering.

    Attributes:
        graph: The network.
        weight_draw: Index of the stored draw of the weights; 0 where none are stored.
        forms: The forms of the kernels.
        kernel_weights: Weights of this plan and of the network's other plans.
        constants: Those of the graph and those computed from them, by name.
        values: Every value computed so far, by name.
        steps: Steps in order.
        padded: Deferred padding with +1: name to source and pads.
        flattened: Deferred flattening: name of signs (F,) to their source, a map.
        moved: Deferred moves of signs to other places.
        done: Names of nodes that were lowered together with an earlier node.
        binary_weights: int8 signs of weights for real activations, in ONNX's layout, by name.
        noise_dependent: Names of values and constants that depend on the noise.
        quantiles: Tables of quantiles, by the name of the constant.
        batch_sizes: Names of shapes that depend on the number of images.
        shapes: Numbers of shapes for each batch size of `numpy_operator.BATCHES`, by name.
        time_first: Values of recurrent layers whose batch is not first: name to what is stored,
            with the batch first, and the axes of the value in that order.
        sums: Sums that were only cast to reals: name of the reals to name of the sums.
    """

    graph: Graph
    weight_draw: int = 0
    forms: KernelForms
    kernel_weights: SharedWeights = field(default_factory=SharedWeights)
    constants: dict[str, Array] = field(init=False)
    values: dict[str, Value] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    padded: dict[str, tuple[str, Pads]] = field(default_factory=dict)
    flattened: dict[str, str] = field(default_factory=dict)
    moved: dict[str, MovedSigns] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    binary_weights: dict[str, Array] = field(default_factory=dict)
    noise_dependent: set[str] = field(default_factory=set)
    quantiles: dict[str, Quantiles] = field(default_factory=dict)
    batch_sizes: set[str] = field(default_factory=set)
    shapes: dict[str, dict[int, Array]] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)
    time_first: dict[str, tuple[str, tuple[int, ...]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants = dict(self.graph.constants)

    def add(self, step: Step, value: Value) -> None:
        """Append a step that computes a value."""
        self.steps.append(step)
        self.values[step.target] = value

    def constant(self, node: Node, index: int) -> Array:
        """Return an input of a node that must be constant.

        Raises:
            UnsupportedError: If the input is computed.
        """
        name = node.inputs[index]
        if name not in self.constants:
            raise UnsupportedError(
                f"node {node.name!r} ({node.kind}): expected input {index} to be a constant,"
                f" {name!r} is computed"
            )
        return self.constants[name]

    def position(self, name: str) -> int:
        """Return the index of the last step that computes a value; -1 for the input.

        A view is computed by the step of the value that it shows.
        """
        value = self.values.get(name)
        while value is not None and value.view_of is not None:
            name = value.view_of
            value = self.values.get(name)
        for index in reversed(range(len(self.steps))):
            if self.steps[index].target == name:
                return index
        return -1

    def kind(self, name: str) -> Kind | None:
        """Return the kind of a value, or None for a constant."""
        return self.values[name].kind if name in self.values else None

    def packed_signs(self, name: str) -> str:
        """Return the name of a buffer with the packed signs, appending steps if needed.

        Raises:
            UnsupportedError: If the value does not hold signs.
        """
        if name in self.padded:
            source, (top, left, _, _) = self.padded.pop(name)
            source = self.packed_signs(source)
            self.steps.append(CopySigns(name=name, source=source, target=name, top=top, left=left))
        elif name in self.flattened:
            self._flatten(name, self.flattened.pop(name))
        kind = self.kind(name)
        if kind == "signs" and self.values[name].layout != "onnx":
            return self._pack_codes(self._codes(name))
        if kind == "codes":
            return self._pack_codes(name)
        if kind != "signs":
            raise UnsupportedError(f"expected the value {name!r} to hold signs, got {kind}")
        return name

    def packed_value(self, name: str) -> Value:
        """Return the value that `packed_signs` names."""
        return self.values[self.packed_signs(name)]

    def _codes(self, name: str) -> str:
        """Return signs in another layout as codes. Rare, so simplicity counts."""
        codes = f"{name}/codes"
        if codes not in self.values:
            step = NumpyOperator(
                name=name,
                sources=(name,),
                target=codes,
                function=STANDARD_OPERATORS["Identity"],
                attributes={},
            )
            shape = self.values[name].shape
            self.add(step, Value(kind="codes", shape=shape, dtype=np.dtype(np.uint8)))
        return codes

    def _pack_codes(self, name: str) -> str:
        """Append the packing of signs that a NumPy operator has moved."""
        packed, value = f"{name}/packed", self.values[name]
        if packed not in self.values:
            if len(value.shape) not in (1, 3):
                raise UnsupportedError(
                    f"expected the signs {name!r} to be maps (N, C, H, W) or vectors (N, F),"
                    f" got the shape (N, {', '.join(map(str, value.shape))})"
                )
            real = f"{name}/real"
            cast = NumpyOperator(
                name=name, sources=(name,), target=real, function=from_codes, attributes={}
            )
            self.add(cast, Value(kind="real", shape=value.shape))
            zeros = np.zeros(value.map[0], np.float32)
            pack = PackSigns(name=name, source=real, target=packed, thresholds=zeros)
            self.add(pack, Value(kind="signs", shape=value.shape))
        return packed

    def _flatten(self, name: str, source: str) -> None:
        """Append the flattening of signs by way of reals. Rare, so simplicity counts."""
        source = self.packed_signs(source)
        shape = self.values[source].shape
        real, flat = f"{name}/real", f"{name}/flat"
        self.add(
            UnpackSigns(name=name, source=source, target=real), Value(kind="real", shape=shape)
        )
        step = NumpyOperator(
            name=name,
            sources=(real,),
            target=flat,
            function=STANDARD_OPERATORS["Flatten"],
            attributes={},
        )
        features = int(np.prod(shape))
        self.add(step, Value(kind="real", shape=(features,)))
        thresholds = np.zeros(features, np.float32)
        self.steps.append(PackSigns(name=name, source=flat, target=name, thresholds=thresholds))


def from_codes(attributes: Attributes, codes: Array) -> Array:
    """Convert codes 0 and 2 to -1.0 and +1.0."""
    return np.subtract(codes, 1, dtype=np.float32)
