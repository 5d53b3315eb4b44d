"""Matrix products of signs with signs become bnnkit's operator.

1. `MatMul` of signs (N, T, K) and (N, K, S), or (N, A, T, K) and (N, A, K, S), as in attention
   with binary queries and keys, becomes `bnnkit.BinaryMatMul` and `Cast` to float32.
2. So does an `Einsum` of signs that is such a product in another order of axes, such as
   "nqhd,nkhd->nhqk", with a `Transpose` of each operand and of the result where needed.
3. An operand of a `MatMul` may have two other values, such as probabilities of 0 and 1
   (`two_valued_operands.py`).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import onnx_ir as ir

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators.subscripts import subscripts
from bnnkit.export.ir.graph import cast_to_real, new_node, nodes, rank, replace
from bnnkit.export.passes.lower_signs import dequantized
from bnnkit.export.passes.two_valued_operands import of_product, two_valued

_RANKS: Final = (3, 4)


def lower_binary_products(graph: ir.Graph) -> None:
    """Run the pass."""
    for node in nodes(graph, "MatMul"):
        x, y = (two_valued(value) for value in node.inputs)
        if x is None or y is None or not _have_same_matrices(x.signs, y.signs):
            continue
        product = _product(node, x.signs, y.signs, node.outputs[0].shape)
        real = [product, cast_to_real(product.outputs[0], node)]
        replace(graph, node, of_product(graph, node, real, x, y))
    for node in nodes(graph, "Einsum"):
        _lower_einsum(graph, node)


def _have_same_matrices(x: ir.Value, y: ir.Value) -> bool:
    """Whether two values hold as many matrices, without a broadcast."""
    if rank(x) != rank(y) or rank(x) not in _RANKS or x.shape is None or y.shape is None:
        return False
    return tuple(x.shape[:-2]) == tuple(y.shape[:-2])


def _product(node: ir.Node, x: ir.Value, y: ir.Value, shape: ir.Shape | None) -> ir.Node:
    return new_node(
        "BinaryMatMul", [x, y], source=node, dtype=ir.DataType.INT32, shape=shape, domain=DOMAIN
    )


class _Letters(NamedTuple):
    """The letters of an `Einsum` that is a matrix product, in the order of the product's axes."""

    left: str
    right: str
    result: str


def _lower_einsum(graph: ir.Graph, node: ir.Node) -> None:
    """Rule 2."""
    signs = [dequantized(value) for value in node.inputs]
    equation = {"equation": node.attributes["equation"].as_string()}
    if len(signs) != 2 or any(x is None or x.shape is None for x in signs):
        return
    terms, target = subscripts(equation, 2)
    letters = _letters(terms[0], terms[1], target)
    if letters is None:
        return
    new: list[ir.Node] = []
    x, y = (
        _transposed(value, term, wanted, node, new)
        for value, term, wanted in zip(signs, terms, letters[:2], strict=True)
    )
    if any(str(a) != str(b) for a, b in zip(_sizes(x)[:-2], _sizes(y)[:-2], strict=True)):
        return  # one operand is broadcast
    shape = ir.Shape([*_sizes(x)[:-1], _sizes(y)[-1]])
    product = _product(node, x, y, shape)
    new += [product, cast_to_real(product.outputs[0], node)]
    _transposed(new[-1].outputs[0], letters.result, target, node, new)
    replace(graph, node, new)


def _letters(left: str, right: str, result: str) -> _Letters | None:
    """The letters of each operand as a batch, a row, a column; None for other products."""
    terms = (left, right, result)
    if any("." in term or len(set(term)) < len(term) or term[:1] != left[:1] for term in terms):
        return None
    shared = [letter for letter in result if letter in left and letter in right]
    summed = [letter for letter in left if letter in right and letter not in result]
    rows = [letter for letter in left if letter not in right]
    columns = [letter for letter in right if letter not in left]
    is_product = len(summed) == len(rows) == len(columns) == 1
    if not is_product or len(shared) + 2 not in _RANKS or {*result} != {*shared, *rows, *columns}:
        return None
    batch = "".join(shared)
    return _Letters(
        batch + rows[0] + summed[0], batch + summed[0] + columns[0], batch + rows[0] + columns[0]
    )


def _transposed(
    x: ir.Value | None, term: str, wanted: str, source: ir.Node, new: list[ir.Node]
) -> ir.Value:
    """A value with its axes in another order; the node that makes it is added to `new`."""
    assert x is not None  # the caller has checked it
    if term == wanted:
        return x
    perm = [term.index(letter) for letter in wanted]
    sizes = _sizes(x)
    turned = new_node(
        "Transpose",
        [x],
        source=source,
        dtype=x.dtype or ir.DataType.UINT8,
        shape=ir.Shape([sizes[axis] for axis in perm]),
        attributes={"perm": perm},
    )
    new.append(turned)
    return turned.outputs[0]


def _sizes(x: ir.Value) -> Sequence[int | ir.SymbolicDim]:
    assert x.shape is not None  # the caller has checked it
    return tuple(x.shape)
