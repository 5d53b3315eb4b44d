"""Lowering of matrix products of signs with signs."""

from collections.abc import Callable
from functools import partial
from math import prod

import numpy as np

from bnnkit.artifact.format.bits import n_words, pack_signs
from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.standard.elementwise import Attributes
from bnnkit.errors import ArtifactError
from bnnkit.runtime.kernels.products import LANES
from bnnkit.runtime.lowering.numpy_operator import input_of
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import Array, Value
from bnnkit.runtime.steps.products import SignProduct
from bnnkit.runtime.steps.real import NumpyOperator, Source

WORDS, SUMS = np.dtype(np.uint64), np.dtype(np.int32)


def lower_binary_mat_mul(builder: PlanBuilder, node: Node) -> None:
    """Lower a BinaryMatMul: both operands are packed, then multiplied by popcount."""
    sources = [input_of(builder, name) for name in node.inputs]
    shapes = [_shape(builder, source) for source in sources]
    (*outer, rows, terms), (*others, length, columns) = shapes
    if outer != others or terms != length:
        raise ArtifactError(
            f"node {node.name!r} ({node.kind}): expected matrices that can be multiplied, got"
            f" (N, *{shapes[0]}) and (N, *{shapes[1]})"
        )
    matrices, words = prod(outer), n_words(terms)
    wide = -(-columns // LANES) * LANES
    x, y, sums = (f"{node.name}/{part}" for part in ("rows", "columns", "sums"))
    _add(builder, node, (sources[0], x), _packed_rows, (matrices * rows, words), WORDS)
    _add(builder, node, (sources[1], y), _packed_columns, (matrices * words, wide), WORDS)
    product = SignProduct(
        name=node.name, source=x, columns=y, target=sums, matrices=matrices, terms=terms
    )
    builder.add(product, Value(kind="real", shape=(matrices * rows, wide), dtype=SUMS))
    shape = (*outer, rows, columns)
    unpadded = partial(_unpadded, shape=shape)
    _add(builder, node, (sums, node.outputs[0]), unpadded, shape, SUMS)


def _shape(builder: PlanBuilder, source: Source) -> tuple[int, ...]:
    """Return the shape of an operand without the batch; a constant is one image's."""
    if isinstance(source, str):
        return builder.values[source].shape
    assert source is not None  # both operands are required
    return source.shape[1:]


def _add(
    builder: PlanBuilder,
    node: Node,
    names: tuple[Source, str],
    function: Callable[..., Array],
    shape: tuple[int, ...],
    dtype: np.dtype[np.uint64] | np.dtype[np.int32],
) -> None:
    source, target = names
    step = NumpyOperator(
        name=node.name,
        sources=(source,),
        target=target,
        function=function,
        attributes={},
    )
    builder.add(step, Value(kind="real", shape=shape, dtype=dtype))


def _packed_rows(attributes: Attributes, codes: Array) -> Array:
    """Pack codes (N, ..., T, K) along K, to (N, A * T, W)."""
    words = pack_signs(codes.view(np.int8) - np.int8(1))
    return words.reshape(len(codes), -1, words.shape[-1])


def _packed_columns(attributes: Attributes, codes: Array) -> Array:
    """Pack codes (N, ..., K, S) along K, to (N, A * W, S padded to whole vectors)."""
    words = pack_signs(np.swapaxes(codes, -1, -2).view(np.int8) - np.int8(1))
    columns = np.swapaxes(words, -1, -2)
    missing = -columns.shape[-1] % LANES
    padded = np.pad(columns, [(0, 0)] * (columns.ndim - 1) + [(0, missing)])
    return padded.reshape(len(codes), -1, padded.shape[-1])


def _unpadded(attributes: Attributes, sums: Array, shape: tuple[int, ...]) -> Array:
    """Return the sums without the padding of the columns, (N, *shape)."""
    return sums[..., : shape[-1]].reshape(len(sums), *shape)
