"""Max pools and changes of shape move behind the sign, where they work on bits.

1. sign(f(max(x))) = max(sign(f(x))) for every nondecreasing f, so `MaxPool -> f -> Sign` becomes
   `f -> Sign -> MaxPool` if f is a chain of elementwise operators, nondecreasing on every channel.
   The chain may be empty.
2. If f decreases on some channel (a batch norm with a negative scale after the pool), the pool
   stays.
3. The pool also stays if its result, or a value between it and the sign, has another use.
4. `Flatten`, `Reshape`, `Squeeze`, `Unsqueeze` and `Transpose` move likewise if f is the same on
   all channels, as they may change which axis the channels are. f may decrease.
5. What makes a map of a value for a layer stays (`layers_as_maps.py`), unless nothing but changes
   of shape and such chains stand behind a layer with binary weights.
6. The last signs keep the name `x` of the module. Signs before a pool are named `x/unpooled`,
   signs before a change of shape `x/unshaped`.
"""

from dataclasses import replace as changed

import onnx_ir as ir

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.operators.facts import RESHAPES
from bnnkit.export.analysis.monotone import Step, step
from bnnkit.export.ir.graph import mark_behind, new_node, nodes, only_consumer, operand
from bnnkit.export.passes.layers_as_maps import VIEW
from bnnkit.export.passes.lower_signs import set_sign_record, sign_record


def commute_sign(graph: ir.Graph) -> None:
    """Run the pass."""
    for sign in nodes(graph, "Sign", domain=DOMAIN):
        while (found := _movable_before(sign)) is not None:
            _move(graph, *found, sign)


def _movable_before(sign: ir.Node) -> tuple[ir.Node, list[Step]] | None:
    """The nearest operator before a sign that can move behind it, and the chain f between."""
    chain: list[Step] = []
    value = operand(sign, 0)
    while only_consumer(value) is not None:  # rule 3
        node = value.producer()
        if node is not None and _can_move(node, chain):
            return node, chain
        link = step(value)
        if link is None:
            return None
        chain.append(link)
        value = link.input
    return None


def _can_move(node: ir.Node, chain: list[Step]) -> bool:
    if VIEW in node.meta and not _is_behind_layer(node):  # rule 5
        return False
    if node.domain == "" and node.op_type == "MaxPool":
        nondecreasing = all((link.direction > 0).all() for link in chain)  # rule 2
        return nondecreasing and len(node.outputs) == 1
    same_on_all_channels = all(link.direction.size == 1 for link in chain)  # rule 4
    return node.domain == "" and node.op_type in RESHAPES and same_on_all_channels


def _is_behind_layer(node: ir.Node) -> bool:
    """Whether changes of shape and monotone steps alone stand behind a binary layer."""
    value = operand(node, 0)
    while (before := value.producer()) is not None and only_consumer(value) is not None:
        link = step(value)
        if link is not None:
            value = link.input
        elif before.domain == "" and before.op_type in (*RESHAPES, "MaxPool"):
            value = operand(before, 0)
        else:
            return (
                len(before.inputs) > 1
                and mark_behind(before.inputs[1], "BinaryWeight") is not None
            )
    return False


def _move(graph: ir.Graph, node: ir.Node, chain: list[Step], sign: ir.Node) -> None:
    x, signs = operand(node, 0), sign.outputs[0]
    moved = new_node(
        node.op_type,
        [signs, *node.inputs[1:]],
        source=node,
        dtype=ir.DataType.UINT8,
        shape=signs.shape,
        attributes=node.attributes,
    )
    node.outputs[0].replace_all_uses_with(x)
    graph.remove(node, safe=True)
    for value in (signs, *(link.node.outputs[0] for link in chain)):
        value.shape = x.shape
    _rename(signs, moved)
    signs.replace_all_uses_with(moved.outputs[0], replace_graph_outputs=True)
    moved.replace_input_with(0, signs)
    graph.insert_after(sign, moved)


def _rename(signs: ir.Value, moved: ir.Node) -> None:
    record = sign_record(signs)
    if record is not None:  # rule 6
        suffix = "unpooled" if moved.op_type == "MaxPool" else "unshaped"
        set_sign_record(moved.outputs[0], record)
        set_sign_record(signs, changed(record, name=f"{record.name}/{suffix}", is_output=False))
