"""A network file in memory: the type that everything else takes."""

from dataclasses import dataclass
from functools import cached_property

import onnx

from bnnkit.artifact.deterministic import derandomized, is_stochastic
from bnnkit.artifact.format.graph import Graph, graph_of
from bnnkit.artifact.format.metadata import metadata_of
from bnnkit.artifact.operators import operator_of
from bnnkit.artifact.operators.weight_draw import WEIGHT_DRAW
from bnnkit.artifact.sign_names import sign_names


@dataclass(frozen=True, eq=False)
class Artifact:
    """A network file in memory, as docs/artifact.md defines it, or any other ONNX model.

    Nobody may change the model: every property is computed once, when it is first asked for, and
    kept.

    Attributes:
        model: The ONNX model.
        tflite_source: The content of the .tflite file that the model was read from, which Larq
            Compute Engine runs as it is; None for every other artifact.
    """

    model: onnx.ModelProto
    tflite_source: bytes | None = None

    @cached_property
    def graph(self) -> Graph:
        """The network as plain data.

        Raises:
            ArtifactError: A constant is damaged.
            UnsupportedError: There is not exactly one input besides those that choose random
                numbers, or an axis of it other than the batch is free.
        """
        return graph_of(self.model)

    @cached_property
    def metadata(self) -> dict[str, str]:
        """What bnnkit wrote about the network, keys without the prefix "bnnkit."."""
        return metadata_of(self.model)

    @cached_property
    def signs(self) -> tuple[str, ...]:
        """Names of the values that are signs, in the order of the graph."""
        return sign_names(self.model)

    @cached_property
    def is_stochastic(self) -> bool:
        """Whether the file holds noise of its signs or draws of its weights: it can be sampled."""
        return is_stochastic(self.model)

    @cached_property
    def has_weight_draws(self) -> bool:
        """Whether the file stores draws of its weights, among which each sample chooses."""
        return any(operator_of(node) is WEIGHT_DRAW for node in self.model.graph.node)

    @cached_property
    def deterministic(self) -> "Artifact":
        """The network with z = 0 and its maximum-probability weights.

        It is the artifact itself if that is deterministic, and has no functions otherwise: it is
        for readers that know the operators.

        Raises:
            ArtifactError: A threshold or a stored draw of weights is not a constant.
        """
        return Artifact(derandomized(self.model)) if self.is_stochastic else self

    @cached_property
    def fixed_batch(self) -> int | None:
        """How many images the file asks for in a run; None if the batch axis is free.

        bnnkit's runtime takes any number all the same: its operators do not mix images.
        """
        (image,) = (value for value in self.model.graph.input if value.name == self.graph.input)
        batch = image.type.tensor_type.shape.dim[0]
        return batch.dim_value if batch.HasField("dim_value") and batch.dim_value > 0 else None

    def to_bytes(self) -> bytes:
        """The content of the artifact's .onnx file; the same model gives the same bytes."""
        content: bytes = self.model.SerializeToString(deterministic=True)
        return content
