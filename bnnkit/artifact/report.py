"""The report on an artifact: which layers are binary, why others are not, and their sizes.

It needs only numpy and onnx, not torch.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import onnx
import onnx.shape_inference

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.bit_planes import bit_planes
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.format.graph_view import GraphView
from bnnkit.artifact.layer_report import KINDS, Kind, LayerReport, layer_reports
from bnnkit.artifact.sign_report import SignReport, sign_reports

ALLOWED_EXCESS: Final = 0.03
"""How far a file may exceed its ideal size, as a fraction of that size."""
ALLOWED_OVERHEAD_BYTES: Final = 64_000
"""The additional bytes allowed for names, shapes and function bodies."""


@dataclass(frozen=True)
class Report:
    """The content of an artifact; `dataclasses.asdict` converts it to JSON.

    Attributes:
        layers: The layers, in the order of the graph.
        signs: The signs, in the order of the graph.
        macs: Multiply-accumulates for one input, by kind of layer; layers without known shapes do
            not count.
        stored_bytes: The size of the layers' constants in the file, by kind of layer.
        other_bytes: The size of all other constants: scales and shifts of skip connections,
            thresholds after a sum, shapes.
        file_bytes: The size of the file.
        ideal_bytes: The size of all constants, with 1 bit for a binary weight and for each draw
            of one.
        weight_draws: The number of stored draws of each noisy weight, M; 0 if there are none.
        draw_bytes: The size of the draws, a part of the binary layers' `stored_bytes`.
        planes: The number of layers that take activations of several bits, as so many layers over
            bit planes, by the number of planes.
    """

    layers: tuple[LayerReport, ...]
    signs: tuple[SignReport, ...]
    macs: dict[Kind, int]
    stored_bytes: dict[Kind, int]
    other_bytes: int
    file_bytes: int
    ideal_bytes: int
    weight_draws: int
    draw_bytes: int
    planes: dict[int, int]

    @property
    def is_near_ideal_size(self) -> bool:
        """Whether the file is within 3 % and 64 kB of its ideal size."""
        return self.file_bytes <= self.ideal_bytes * (1 + ALLOWED_EXCESS) + ALLOWED_OVERHEAD_BYTES


def report(artifact: Artifact, file_size: int) -> Report:
    """Report on an artifact. Shapes that the file lacks are inferred by ONNX where possible.

    Args:
        artifact: The artifact.
        file_size: The size of its file, in bytes.
    """
    graph = GraphView(_with_shapes(artifact.model).graph)
    layers, counted = layer_reports(graph)
    draws = dict(_draws(graph))
    other = sum(size for name, size in graph.constant_bytes.items() if name not in counted)
    return Report(
        layers=tuple(layers),
        signs=tuple(sign_reports(graph)),
        macs={
            kind: sum(layer.macs or 0 for layer in layers if layer.kind == kind) for kind in KINDS
        },
        stored_bytes={
            kind: sum(layer.stored_bytes for layer in layers if layer.kind == kind)
            for kind in KINDS
        },
        other_bytes=other,
        file_bytes=file_size,
        ideal_bytes=other + sum(layer.ideal_bytes for layer in layers),
        weight_draws=max((n_draws for n_draws, _ in draws.values()), default=0),
        draw_bytes=sum(size for _, size in draws.values()),
        planes=bit_planes(graph),
    )


def _draws(graph: GraphView) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield each packed weight that has draws, with their number and their size in bytes."""
    for node in graph.nodes:
        if (node.domain, node.op_type) == (DOMAIN, "WeightDraw"):
            rows, row_bytes = graph.shape(node.input[0])
            yield node.input[0], (rows - 1, (rows - 1) * row_bytes)


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    try:
        return onnx.shape_inference.infer_shapes(model)
    except (onnx.shape_inference.InferenceError, ValueError):
        return model  # the report says which layers it cannot count
