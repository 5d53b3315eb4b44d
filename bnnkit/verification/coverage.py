"""Which signs of an artifact an engine must give, so that a comparison says something of them.

ONNX Runtime holds every value. Torch has those that a `Sign` module gives: not those that are yet
to be pooled or reshaped, as the exporter moves such operators behind the sign. The runtime has
all signs that an operator of ours or a maximum makes, except those whose pool it fuses with the
convolution before.
"""

from collections.abc import Iterable

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.operators import gives_signs
from bnnkit.runtime.lowering.fused_pool import is_fused_pool


def signs_of_modules(artifact: Artifact, paths: Iterable[str]) -> frozenset[str]:
    """The signs that `Sign` modules give, in every one of their calls.

    Args:
        artifact: The artifact.
        paths: The modules, as in `named_modules`.
    """
    modules = set(paths)
    return frozenset(name for name in artifact.signs if name.partition("#")[0] in modules)


def signs_in_memory(artifact: Artifact) -> frozenset[str]:
    """The signs that the runtime holds in every pass, whatever it fuses."""
    nodes = artifact.model.graph.node
    made = {
        name
        for node in nodes
        if gives_signs(node) or node.op_type == "MaxPool"
        for name in node.output
    }
    fused = {
        pool.inputs[0]
        for graph in (artifact.graph, artifact.deterministic.graph)
        for pool in graph.nodes
        if is_fused_pool(graph, pool)
    }
    return frozenset(made.intersection(artifact.signs) - fused)
