"""StochasticSign: signs of numbers and noise (docs/artifact.md, Sampling)."""

from typing import Final

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.plain import plain_layer
from bnnkit.export.tflite.report import UniformInput
from bnnkit.export.tflite.source import Array, Node
from bnnkit.export.tflite.values import Value
from bnnkit.tflite import options
from bnnkit.tflite.schema import Builtin, TensorType

_TABLE: Final = 3
"""The input that is the table of quantiles."""


def stochastic_sign(draft: Draft, node: Node) -> None:
    """+1 where x >= t + r z, two roundings, for z = table[floor(4096 u)] and u in [0, 1).

    4096 u is exact, so u = (i + 1/2) / 4096 gives quantile i.
    """
    x, table = draft.value(node), draft.constant_of(node, _TABLE).astype(np.float32)
    if x.kind != "real":
        raise UnsupportedError(f"expected real numbers, got {x.kind}")
    tensor, pixels = layout.as_map(draft, x)
    sign = UniformInput(
        name=f"{node.output}/uniform", layer=node.attributes["layer"], shape=x.shape, map=pixels
    )
    place = Value(kind="real", tensor=tensor, shape=x.shape, map=pixels)
    threshold, scale = (
        layout.constant_beside(place, draft.constant_of(node, index)) for index in (1, 2)
    )
    with draft.choosing(
        f"{draft.uniforms.name} + GATHER + GREATER_EQUAL",
        "TFLite has no noisy sign: its noise is looked up, and added to a threshold",
        plain=plain_layer(draft, pixels[0], (pixels[1], pixels[2]), to_signs=True),
    ):
        limit = _quantiles(draft, draft.uniforms.draw(draft, sign), table)
        if (scale != 1).any():
            limit = arithmetic.scale(draft, limit, scale)
        if threshold.any():
            limit = arithmetic.add(draft, limit, threshold)
        result = draft.signs.of_truths(draft, arithmetic.at_least(draft, tensor, limit))
    draft.give(node.output, Value(kind="signs", tensor=result, shape=x.shape, map=pixels))


def _quantiles(draft: Draft, uniforms: int, table: Array) -> int:
    """CAST, which rounds towards zero, and GATHER."""
    shape = draft.shape(uniforms)
    counts = arithmetic.scale(draft, uniforms, np.array([len(table)]))
    chosen = options.cast(TensorType.FLOAT32, TensorType.INT32)
    index = draft.emit(Builtin.CAST, [counts], shape, kind=TensorType.INT32, options=chosen)
    return draft.emit(
        Builtin.GATHER, [draft.constant(table), index], shape, options=options.gather()
    )
