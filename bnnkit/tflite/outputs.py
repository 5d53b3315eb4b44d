"""Packed tensors inside a TFLite file, made outputs because interpreters show only outputs."""

import struct
from collections.abc import Sequence

from bnnkit.errors import ArtifactError
from bnnkit.tflite.network import Network
from bnnkit.tflite.operators import gives_signs, moves_signs
from bnnkit.tflite.read_flatbuffer import Buffer
from bnnkit.tflite.schema import TensorType
from bnnkit.tflite.slots import ModelSlot, SubGraphSlot


def packed_tensors(network: Network) -> dict[str, int]:
    """Indices of the tensors with packed signs, by the name of these signs in the artifact."""
    packed: set[int] = set()
    for operator in network.operators:
        gives = gives_signs(operator.code)
        moves = moves_signs(operator.code) and not packed.isdisjoint(operator.inputs)
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
