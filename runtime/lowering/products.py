"""Lowering of matrix products of signs with signs."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from math import prod

import numpy as np

from bnnkit.artifact.format.bits import n_words, pack_signs
from bnnkit.artifact.format.graph import Node
from bnnkit.artifact.standard.elementwise import Attributes
from bnnkit.errors import ArtifactError
from bnnkit.runtime.kernels import reals
from bnnkit.runtime.kernels.products import LANES
from bnnkit.runtime.lowering.moved_signs import move_in_numpy
from bnnkit.runtime.lowering.numpy_operator import input_of
from bnnkit.runtime.lowering.packed_lines import packed_lines
from bnnkit.runtime.lowering.plan_builder import PlanBuilder
from bnnkit.runtime.memory.values import Array, Value
from bnnkit.runtime.steps.products import SignProduct
from bnnkit.runtime.steps.real import Chain, NumpyOperator, Source

WORDS, SUMS = np.dtype(np.uint64), np.dtype(np.int32)


def lower_binary_mat_mul(builder: PlanBuilder, node: Node) -> None:
    """Lower a BinaryMatMul: both operands are packed, then multiplied by popcount."""
    lines = [packed_lines(builder, node, i) for i in (0, 1)]
    sources = [
        None if line else input_of(builder, _read(builder, name))
        for name, line in zip(node.inputs, lines, strict=True)
    ]
    shapes = [
        line.shape if line else _shape(builder, source)
        for line, source in zip(lines, sources, strict=True)
    ]
    (*outer, rows, terms), (*others, length, columns) = shapes
    if outer != others or terms != length:
        raise ArtifactError(
            f"node {node.name!r} ({node.kind}): expected matrices that can be multiplied, got"
            f" (N, *{shapes[0]}) and (N, *{shapes[1]})"
        )
    matrices, words = prod(outer), n_words(terms)
    wide = -(-columns // LANES) * LANES
    x, y, sums = (f"{node.name}/{part}" for part in ("rows", "columns", "sums"))
    if lines[0]:
        x = lines[0].add(builder, node, are_rows=True)
    else:
        _add(builder, node, (sources[0], x), _packed_rows, (matrices * rows, words), WORDS)
    if lines[1]:
        y = lines[1].add(builder, node, are_rows=False)
    else:
        _add(builder, node, (sources[1], y), _packed_columns, (matrices * words, wide), WORDS)
    shape = (*outer, rows, columns)
    if builder.forms.fuses:
        product = SignProduct(
            name=node.name,
            source=x,
            columns=y,
            target=node.outputs[0],
            matrices=matrices,
            terms=terms,
        )
        builder.add(product, Value(kind="sums", shape=shape, layout="channels last"))
        return
    product = SignProduct(
        name=node.name, source=x, columns=y, target=sums, matrices=matrices, terms=terms
    )
    builder.add(product, Value(kind="real", shape=(matrices * rows, wide), dtype=SUMS))
    unpadded = partial(_unpadded, shape=shape)
    _add(builder, node, (sums, node.outputs[0]), unpadded, shape, SUMS)


def lower_sums_of_signs(builder: PlanBuilder, node: Node) -> bool:
    """Lower DequantizeLinear and ReduceSum of the rows of matrices of signs: 1 @ y, by popcount.

    Returns:
        Whether the node is the first of them.
    """
    reader = builder.graph.sole_reader(node.outputs[0]) if node.outputs else None
    if node.kind != "DequantizeLinear" or reader is None or reader.kind != "ReduceSum":
        return False
    found = packed_lines(builder, replace(node, inputs=("", node.inputs[0])), 1)
    if found is None or not _sums_rows(builder, reader, len(found.shape)):
        return False
    *outer, terms, columns = found.shape
    y, sums = found.add(builder, node, are_rows=False), f"{reader.outputs[0]}/sums"
    product = SignProduct(
        name=node.name, source=None, columns=y, target=sums, matrices=prod(outer), terms=terms
    )
    value = Value(kind="sums", shape=(*outer, 1, columns), layout="channels last")
    builder.add(product, value)
    cast = Chain(
        name=reader.name,
        source=sums,
        target=reader.outputs[0],
        operations=((reals.CAST, np.zeros(1)),),
    )
    builder.add(cast, value.alike())
    builder.done.add(reader.name)
    return True


def _sums_rows(builder: PlanBuilder, node: Node, rank: int) -> bool:
    """Whether a ReduceSum adds up the rows of each matrix, and keeps their axis."""
    axes = node.attributes.get("axes", ())
    if len(node.inputs) > 1 and node.inputs[1] in builder.constants:
        axes = builder.constants[node.inputs[1]].reshape(-1).tolist()
    is_kept = node.attributes.get("keepdims", 1) == 1
    return is_kept and [int(axis) % (rank + 1) for axis in axes] == [rank - 1]


def _read(builder: PlanBuilder, name: str) -> str:
    """Return the name of an operand that NumPy packs."""
    if name in builder.moved:
        move_in_numpy(builder, name)
    return name


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
