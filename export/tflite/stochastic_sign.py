"""Lowers StochasticSign: signs of numbers with noise (docs/artifact.md, Sampling)."""

from typing import Final

import numpy as np

from bnnkit.errors import UnsupportedError
from bnnkit.export.tflite import arithmetic, layout
from bnnkit.export.tflite.plain import plain_layer
from bnnkit.export.tflite.report import UniformInput
from bnnkit.export.tflite.source import Array, Node
from bnnkit.export.tflite.tflite_builder import TfliteBuilder
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.tflite.options import CastOptions, GatherOptions
from bnnkit.tflite.schema import Builtin, TensorType

_TABLE: Final = 3
"""Index of the input with the table of quantiles."""


def stochastic_sign(builder: TfliteBuilder, node: Node) -> None:
    """Lower StochasticSign: +1 if x >= t + r z, with two roundings.

    Here z = table[floor(4096 u)] and u is in [0, 1). As 4096 u is exact, u = (i + 1/2) / 4096
    gives quantile i.
    """
    x, table = builder.value(node), builder.constant_of(node, _TABLE).astype(np.float32)
    if x.kind != "real":
        raise UnsupportedError(f"expected real numbers, got {x.kind}")
    tensor, pixels = layout.as_map(builder, x)
    sign = UniformInput(
        name=f"{node.output}/uniform", layer=node.attributes["layer"], shape=x.shape, map=pixels
    )
    place = TfliteValue(kind="real", tensor=tensor, shape=x.shape, map=pixels)
    threshold, scale = (
        layout.constant_beside(place, builder.constant_of(node, index)) for index in (1, 2)
    )
    with builder.choosing(
        f"{builder.uniforms.name} + GATHER + GREATER_EQUAL",
        "TFLite has no noisy sign: the noise is looked up in a table and added to a threshold",
        plain=plain_layer(builder, pixels[0], (pixels[1], pixels[2]), to_signs=True),
    ):
        limit = _quantiles(builder, builder.uniforms.draw(builder, sign), table)
        if (scale != 1).any():
            limit = arithmetic.scale(builder, limit, scale)
        if threshold.any():
            limit = arithmetic.add(builder, limit, threshold)
        result = builder.signs.of_bools(builder, arithmetic.greater_equal(builder, tensor, limit))
    builder.give(node.output, TfliteValue(kind="signs", tensor=result, shape=x.shape, map=pixels))


def _quantiles(builder: TfliteBuilder, uniforms: int, table: Array) -> int:
    """Emit CAST, which rounds towards zero, and GATHER."""
    shape = builder.shape(uniforms)
    counts = arithmetic.scale(builder, uniforms, np.array([len(table)]))
    options = CastOptions(in_data_type=TensorType.FLOAT32, out_data_type=TensorType.INT32)
    index = builder.emit(Builtin.CAST, [counts], shape, kind=TensorType.INT32, options=options)
    return builder.emit(
        Builtin.GATHER, [builder.constant(table), index], shape, options=GatherOptions(axis=0)
    )
