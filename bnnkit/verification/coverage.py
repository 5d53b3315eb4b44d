"""Which signs of an artifact an engine must have; without them a comparison would prove nothing.

ONNX Runtime holds every value. Torch has the signs that a `Sign` module outputs, but not signs
that pooling or reshaping outputs, because the exporter moves such operators behind the sign; nor
signs of rows, such as tokens in the batch, whose axes differ from those of the module. The runtime
holds all signs that an operator of bnnkit or a max pool outputs, except those before a
pool that it fuses with the convolution, and those at the thresholds of activations with few bits,
of which it stores the bit planes.
"""

from collections.abc import Iterable

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.operators import gives_signs
from bnnkit.artifact.operators.facts import POOLS
from bnnkit.artifact.sign_axes import ROWS
from bnnkit.runtime.lowering.fused_pool import is_fused_pool
from bnnkit.runtime.lowering.kernel_forms import forms_of_this_cpu
from bnnkit.runtime.lowering.lower import fused_graph


def signs_of_modules(artifact: Artifact, paths: Iterable[str]) -> frozenset[str]:
    """Return the signs that `Sign` modules output in any of their calls.

    Args:
        artifact: The artifact.
        paths: The names of their first calls: the paths of the modules, as in `named_modules`.
    """
    modules = set(paths) - modules_of_rows(artifact)
    return frozenset(name for name in artifact.signs if name.partition("#")[0] in modules)


def modules_of_rows(artifact: Artifact) -> frozenset[str]:
    """Return the modules with signs whose axes differ from those that the module outputs.

    No call of theirs can be compared: which of them gave which signs is not recorded.
    """
    names = (name.partition("#")[0] for name in artifact.signs)
    return frozenset(name.removesuffix(ROWS) for name in names if name.endswith(ROWS))


def signs_in_memory(artifact: Artifact) -> frozenset[str]:
    """Return the signs that the runtime holds in memory in every pass."""
    nodes = artifact.model.graph.node
    made = {
        name
        for node in nodes
        if gives_signs(node) or node.op_type in POOLS
        for name in node.output
    }
    graphs = (artifact.graph, artifact.deterministic.graph)
    fused = {
        pool.inputs[0] for graph in graphs for pool in graph.nodes if is_fused_pool(graph, pool)
    }
    for graph in graphs:
        kept = fused_graph(graph, forms_of_this_cpu()).makers
        fused.update(name for name in graph.makers if name not in kept)
    return frozenset(made.intersection(artifact.signs) - fused)
