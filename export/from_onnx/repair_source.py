"""Repairs what is irregular in source files, so that ONNX's own tools accept them.

1. Model-local functions are inlined, as the translation to another opset would drop them.
2. Nodes are sorted topologically; nodes that are in order keep their order. (onnx_ir's pass
   names neither a missing value nor the nodes of a cycle.)
3. An output without a shape gets the shape that ONNX infers.
4. Domains without a version get one; files of old Brevitas versions omit it.
"""

from collections.abc import Iterator

import onnx
from onnx import inliner

from bnnkit.errors import FileError
from bnnkit.export.from_onnx.node_names import named


def repaired(model: onnx.ModelProto) -> onnx.ModelProto:
    """A repaired copy of the model.

    Raises:
        FileError: A node needs a value that no node gives, or the graph has a cycle.
        ValueError: A part of the file cannot be read.
    """
    tidy = onnx.ModelProto()
    tidy.CopyFrom(model)
    _import_domains(tidy)
    if tidy.functions:
        tidy = inliner.inline_local_functions(tidy)
    _sort(tidy.graph)
    _complete_outputs(tidy)
    return tidy


def _import_domains(model: onnx.ModelProto) -> None:
    """Rule 4."""
    known = {opset.domain for opset in model.opset_import}
    for domain in sorted({node.domain for node in model.graph.node} - known - {"", "ai.onnx"}):
        model.opset_import.append(onnx.helper.make_opsetid(domain, 1))


def _sort(graph: onnx.GraphProto) -> None:
    """Rule 2."""
    known = {"", *(value.name for value in (*graph.input, *graph.initializer))}
    known |= {tensor.values.name for tensor in graph.sparse_initializer}
    given = known | {name for node in graph.node for name in node.output}
    waiting, order = list(graph.node), []
    while waiting:
        later = []
        for node in waiting:
            needed = set(_needs(node))
            if missing := sorted(needed - given):
                raise FileError(
                    f"{named(node)} needs the value {missing[0]!r}, which nothing in the file"
                    " gives; export the network again"
                )
            if needed <= known:
                order.append(node)
                known.update(node.output)
            else:
                later.append(node)
        if len(later) == len(waiting):
            raise FileError(
                f"{named(later[0])} depends on its own output; export the network again"
            )
        waiting = later
    if order != list(graph.node):
        in_order = [onnx.NodeProto.FromString(node.SerializeToString()) for node in order]
        del graph.node[:]
        graph.node.extend(in_order)


def _needs(node: onnx.NodeProto) -> Iterator[str]:
    """The values that a node reads, including those that its branches read from outside."""
    yield from node.input
    for attribute in node.attribute:
        for graph in (attribute.g, *attribute.graphs):
            mine = {value.name for value in (*graph.input, *graph.initializer)}
            mine |= {name for inner in graph.node for name in inner.output}
            used = {name for inner in graph.node for name in _needs(inner)}
            used |= {value.name for value in graph.output}
            yield from used - mine


def _complete_outputs(model: onnx.ModelProto) -> None:
    """Rule 3."""
    if all(value.type.tensor_type.HasField("shape") for value in model.graph.output):
        return
    inferred = onnx.shape_inference.infer_shapes(model)
    for value, known in zip(model.graph.output, inferred.graph.output, strict=True):
        if not value.type.tensor_type.HasField("shape"):
            value.type.CopyFrom(known.type)
