"""A plan while it is made: the values known so far, the steps so far, and what is put off.

Two things are put off until a reader needs them, because most readers do not: padding signs with
+1 (a convolution takes it from the margin) and flattening them (a dense layer reorders its weights
instead).
"""

from dataclasses import dataclass, field

import numpy as np

from bnnkit.artifact.graph import Graph, Node
from bnnkit.artifact.standard import OPERATORS
from bnnkit.artifact.standard.elementwise import Attributes
from bnnkit.errors import UnsupportedError
from bnnkit.runtime.quantiles import Quantiles
from bnnkit.runtime.steps.real import NumpyOperator
from bnnkit.runtime.steps.signs import CopySigns, PackSigns, UnpackSigns
from bnnkit.runtime.steps.step import Step
from bnnkit.runtime.values import Array, Kind, Value

Pads = tuple[int, int, int, int]
"""Pixels at the top, left, bottom and right."""


@dataclass(kw_only=True)
class PlanBuilder:
    """The state of lowering.

    Attributes:
        graph: What is lowered.
        constants: Those of the graph and those computed from them, by name.
        values: Of every name that has been computed.
        steps: In order.
        padded: Signs padded with +1 that have no buffer yet: name to source and pads.
        flattened: Signs (F,) that have no buffer yet: name to source, a map.
        done: Names of nodes that were lowered together with an earlier one.
        binary_weights: int8 signs of weights that meet real activations, as ONNX lays them out.
        noise_dependent: Names of values and constants that depend on the noise.
        quantiles: Tables of noises, by the name of the constant.
        sums: Of sums that were only cast to reals: name of the reals to that of the sums.
    """

    graph: Graph
    constants: dict[str, Array] = field(init=False)
    values: dict[str, Value] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    padded: dict[str, tuple[str, Pads]] = field(default_factory=dict)
    flattened: dict[str, str] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    binary_weights: dict[str, Array] = field(default_factory=dict)
    noise_dependent: set[str] = field(default_factory=set)
    quantiles: dict[str, Quantiles] = field(default_factory=dict)
    sums: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants = dict(self.graph.constants)

    def add(self, step: Step, value: Value) -> None:
        """Append a step, whose target has this value."""
        self.steps.append(step)
        self.values[step.target] = value

    def constant(self, node: Node, index: int) -> Array:
        """The constant that is an input of the node.

        Raises:
            UnsupportedError: The input is computed, not constant.
        """
        name = node.inputs[index]
        if name not in self.constants:
            raise UnsupportedError(
                f"node {node.name!r} ({node.kind}): expected input {index} to be a constant,"
                f" {name!r} is computed"
            )
        return self.constants[name]

    def position(self, name: str) -> int:
        """The index of the step that computes a value, -1 for the input."""
        for index in reversed(range(len(self.steps))):
            if self.steps[index].target == name:
                return index
        return -1

    def kind(self, name: str) -> Kind | None:
        """The kind of a value, or None for a constant."""
        return self.values[name].kind if name in self.values else None

    def signs(self, name: str) -> str:
        """The name under which signs lie packed in a buffer, which is made if need be.

        Raises:
            UnsupportedError: The value is no signs.
        """
        if name in self.padded:
            source, (top, left, _, _) = self.padded.pop(name)
            source = self.signs(source)
            self.steps.append(CopySigns(name=name, source=source, target=name, top=top, left=left))
        elif name in self.flattened:
            self._flatten(name, self.flattened.pop(name))
        kind = self.kind(name)
        if kind == "codes":
            return self._pack_codes(name)
        if kind != "signs":
            raise UnsupportedError(f"the value {name!r} is expected to be signs, it is {kind}")
        return name

    def packed(self, name: str) -> Value:
        """What `signs` names."""
        return self.values[self.signs(name)]

    def _pack_codes(self, name: str) -> str:
        """Pack signs that an operator in NumPy has moved about."""
        packed, value = f"{name}/packed", self.values[name]
        if packed not in self.values:
            if len(value.shape) not in (1, 3):
                raise UnsupportedError(
                    f"the signs {name!r} are expected to be maps (N, C, H, W) or vectors (N, F),"
                    f" their shape is (N, {', '.join(map(str, value.shape))})"
                )
            real = f"{name}/real"
            cast = NumpyOperator(
                name=name, sources=(name,), target=real, function=_from_codes, attributes={}
            )
            self.add(cast, Value(kind="real", shape=value.shape))
            zeros = np.zeros(value.map[0], np.float32)
            pack = PackSigns(name=name, source=real, target=packed, thresholds=zeros)
            self.add(pack, Value(kind="signs", shape=value.shape))
        return packed

    def _flatten(self, name: str, source: str) -> None:
        """Reorder signs from a map's order to ONNX's, by way of reals: rare, so simple."""
        source = self.signs(source)
        shape = self.values[source].shape
        real, flat = f"{name}/real", f"{name}/flat"
        self.add(
            UnpackSigns(name=name, source=source, target=real), Value(kind="real", shape=shape)
        )
        step = NumpyOperator(
            name=name, sources=(real,), target=flat, function=OPERATORS["Flatten"], attributes={}
        )
        features = int(np.prod(shape))
        self.add(step, Value(kind="real", shape=(features,)))
        thresholds = np.zeros(features, np.float32)
        self.steps.append(PackSigns(name=name, source=flat, target=name, thresholds=thresholds))


def _from_codes(attributes: Attributes, codes: Array) -> Array:
    """Codes 0 and 2 as -1.0 and +1.0."""
    return np.subtract(codes, 1, dtype=np.float32)
