"""The operators that bnnkit's runtime computes."""

from collections import Counter
from typing import Final

from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.format.graph import Graph
from bnnkit.artifact.operators import OPERATORS
from bnnkit.artifact.operators.philox import PHILOX
from bnnkit.artifact.standard import SEVERAL_OUTPUTS, STANDARD_OPERATORS

ELSEWHERE: Final = frozenset({"Conv", "Split"})
"""Standard operators that NumPy does not compute: one has kernels, one becomes slices."""
COMPUTED: Final = (
    frozenset(STANDARD_OPERATORS)
    | frozenset(SEVERAL_OUTPUTS)
    | ELSEWHERE
    | {f"{DOMAIN}.{name}" for name in OPERATORS if name != PHILOX.name}
)
"""The kinds of nodes (`Node.kind`) that the runtime computes."""


def lacking(graph: Graph) -> dict[str, int]:
    """Count the nodes that the runtime does not compute, by their kind."""
    return dict(Counter(node.kind for node in graph.nodes if node.kind not in COMPUTED))
