"""Lowering of binary convolutions of small groups to bit-sliced counters."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnnkit.artifact.format.graph import Node
from bnnkit.runtime.kernels.bit_sliced import MANY
from bnnkit.runtime.lowering.epilogue import Epilogue
from bnnkit.runtime.lowering.layer import add_signs
from bnnkit.runtime.lowering.plan_builder import Pads, PlanBuilder
from bnnkit.runtime.memory import weights
from bnnkit.runtime.memory.bit_sliced import limit_planes, tap_words
from bnnkit.runtime.memory.packed_weight import PackedWeight
from bnnkit.runtime.memory.values import Array, Margin, Value
from bnnkit.runtime.steps.bit_sliced import BitSlicedConvolution, SpreadGroups
from bnnkit.runtime.steps.convolution import EpilogueConstants
from bnnkit.runtime.steps.window import KernelWindow

MOST_INPUTS = 4
"""Inputs of a group up to which bit-sliced counters are faster than the popcount of a word."""
MOST_OUTPUTS = 64
"""Outputs of a group to which `spread_groups` can write an input."""


@dataclass(frozen=True, kw_only=True)
class GroupedLayer:
    """A binary convolution of groups.

    Attributes:
        source: Name of the packed input.
        groups: Number of groups.
        packed: Weights (O, KH, KW, I/G).
        window: Geometry of the kernel.
        pads: Padding in pixels.
        sums: int64 (cases, O), the sum if no sign differs.
        cases: int64 (OH, OW), the border case of each output pixel.
    """

    source: str
    groups: int
    packed: PackedWeight
    window: KernelWindow
    pads: Pads
    sums: NDArray[np.int64]
    cases: NDArray[np.int64]

    @property
    def inputs(self) -> int:
        """Input channels of a group."""
        return self.packed.shape[3]

    @property
    def outputs(self) -> int:
        """Output channels of a group."""
        return self.packed.shape[0] // self.groups

    @property
    def taps(self) -> int:
        """Inputs of an output."""
        return int(np.prod(self.packed.shape[1:]))


def is_bit_sliced(builder: PlanBuilder, layer: GroupedLayer) -> bool:
    """Whether bit-sliced counters compute a layer."""
    return (
        builder.forms.slices_groups
        and layer.groups > 1
        and layer.inputs <= MOST_INPUTS
        and layer.outputs <= MOST_OUTPUTS
        and layer.taps <= MANY
    )


def add_bit_sliced(
    builder: PlanBuilder, node: Node, layer: GroupedLayer, epilogue: Epilogue
) -> None:
    """Append the steps of a layer for which `is_bit_sliced` holds."""
    source = layer.source
    if (layer.inputs, layer.outputs) != (1, 1):
        source = _spread(builder, node, layer)
    top, left, bottom, right = layer.pads
    rows = layer.inputs  # of the spread map, for each row of pixels
    builder.values[source].margin.widen(top * rows, left, bottom * rows, right)
    if epilogue.noise is not None:
        sums = Epilogue(name=f"{epilogue.name}/sums", kind="sums")
        _add_step(builder, node, source, layer, sums)
        add_signs(builder, node, sums.name, epilogue)
    else:
        _add_step(builder, node, source, layer, epilogue)


def _add_step(
    builder: PlanBuilder, node: Node, source: str, layer: GroupedLayer, epilogue: Epilogue
) -> None:
    signs = np.concatenate([chunk.reshape(len(chunk), -1) for chunk in layer.packed.chunks()])
    step = BitSlicedConvolution(
        name=node.name,
        source=source,
        target=epilogue.name,
        window=layer.window,
        weights=builder.kernel_weights.shared(tap_words(signs)),
        channels=layer.packed.shape[0],
        inputs=layer.inputs,
        constants=_constants(layer, epilogue),
        cases=layer.cases,
    )
    shape = (layer.packed.shape[0], *layer.window.output)
    builder.add(step, Value(kind=epilogue.kind, shape=shape))


def _spread(builder: PlanBuilder, node: Node, layer: GroupedLayer) -> str:
    """Append the spreading of the signs of groups to their outputs."""
    _, height, width = builder.values[layer.source].map
    step = SpreadGroups(
        name=node.name,
        source=layer.source,
        target=f"{node.name}/spread",
        groups=layer.groups,
        inputs=layer.inputs,
        outputs=layer.outputs,
    )
    shape = (layer.packed.shape[0], height * layer.inputs, width)
    builder.add(step, Value(kind="signs", shape=shape, margin=Margin()))
    return step.target


def _constants(layer: GroupedLayer, epilogue: Epilogue) -> EpilogueConstants:
    if epilogue.thresholds is not None:
        thresholds = epilogue.thresholds
        table: Array = limit_planes(layer.sums, thresholds, layer.taps)
        return EpilogueConstants(table=table, sums=layer.sums, thresholds=thresholds)
    scale = None if epilogue.scale is None else weights.scales(epilogue.scale, 16)
    return EpilogueConstants(
        table=weights.bases(layer.sums + epilogue.shift, 16),
        scale=scale,
        limits=epilogue.limits,
        sums=layer.sums,
        shift=epilogue.shift,
    )
