"""The check of a network before it is lowered: kernels trust shapes, attributes and types."""

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.budget import no_limits, onnx_budget
from bnnkit.artifact.checks.check_nodes import check_nodes
from bnnkit.artifact.checks.computed import COMPUTED


def check_network(artifact: Artifact) -> None:
    """Check every node of a network, and that its size suits its file.

    Raises:
        ArtifactError: If a node is damaged.
        UnsupportedError: If the runtime does not compute a node, or the network is too large.
    """
    is_charged = artifact.tflite_source is not None
    budget = (
        no_limits() if is_charged else onnx_budget(artifact.model, artifact.graph.input_numbers)
    )
    check_nodes(artifact, COMPUTED, budget)
