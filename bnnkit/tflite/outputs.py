"""Packed tensors inside a TFLite file, made outputs because interpreters show only outputs."""

import struct
from collections.abc import Sequence

from bnnkit.errors import ArtifactError
from bnnkit.tflite.network import Network
from bnnkit.tflite.read_flatbuffer import Buffer
from bnnkit.tflite.schema import Builtin, TensorType
from bnnkit.tflite.slots import ModelSlot, SubGraphSlot

_GIVE_SIGNS = {"LceQuantize", "LceBconv2d", "LceBMaxPool2d"}
_MOVE_SIGNS = {
    *(Builtin.PAD, Builtin.PADV2, Builtin.RESHAPE, Builtin.SQUEEZE, Builtin.EXPAND_DIMS),
    *(Builtin.TRANSPOSE, Builtin.CONCATENATION, Builtin.SPLIT, Builtin.SPLIT_V),
    *(Builtin.STRIDED_SLICE, Builtin.SLICE, Builtin.GATHER),
}


def packed_tensors(network: Network) -> dict[str, int]:
    """Indices of the tensors with packed signs, by the name of these signs in the artifact."""
    packed: set[int] = set()
    for operator in network.operators:
        gives = operator.code in _GIVE_SIGNS
        moves = operator.code in _MOVE_SIGNS and not packed.isdisjoint(operator.inputs)
        if gives or moves:
            packed.update(operator.outputs)
    found: dict[str, int] = {}
    for index in sorted(packed):
        tensor = network.tensors[index]
        if tensor.type == TensorType.INT32:
            found.setdefault(tensor.name.replace("/", "."), index)
    return found


def with_outputs(content: bytes, tensors: Sequence[int]) -> bytes:
    """The file with further outputs after those that it has.

    A vector of all outputs is appended to the file and the subgraph is made to refer to it. As
    references only point forward, nothing else moves.

    Args:
        content: Of a file with one subgraph and at least one output.
        tensors: Indices of the tensors that become outputs.

    Raises:
        ArtifactError: The file has no outputs, or is damaged.
    """
    (graph,) = Buffer(content).root().tables(ModelSlot.SUBGRAPHS, lambda table: table)
    place = graph.place(SubGraphSlot.OUTPUTS)
    if place is None:
        raise ArtifactError("the TFLite file has no outputs")
    outputs = [*graph.ints(SubGraphSlot.OUTPUTS), *tensors]
    start = -(-len(content) // 4) * 4
    vector = struct.pack(f"<I{len(outputs)}i", len(outputs), *outputs)
    extended = bytearray(content.ljust(start, b"\0") + vector)
    struct.pack_into("<I", extended, place, start - place)
    return bytes(extended)
