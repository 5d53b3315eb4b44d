"""The type `Artifact`: a network file in memory, which engines, reports and converters take."""

from dataclasses import dataclass

import onnx

from bnnkit.artifact.deterministic import derandomized, is_stochastic
from bnnkit.artifact.format.cached_property import cached_property
from bnnkit.artifact.format.graph import Graph, graph_of
from bnnkit.artifact.format.metadata import metadata_of
from bnnkit.artifact.operators import operator_of
from bnnkit.artifact.operators.weight_draw import WEIGHT_DRAW
from bnnkit.artifact.output_kinds import OutputKind, output_kinds
from bnnkit.artifact.sign_names import sign_names
from bnnkit.errors import UnsupportedError


@dataclass(frozen=True, eq=False)
class Artifact:
    """A network file in memory, as docs/artifact.md defines it, or any other ONNX model.

    The model must not be changed, because every property is computed once and cached.

    Attributes:
        model: The ONNX model.
        tflite_source: The content of the .tflite file that the model was read from, which Larq
            Compute Engine runs unchanged; None for every other artifact.
        onnx_source: The content of the .onnx file that the model was read from; None for every
            other artifact.
    """

    model: onnx.ModelProto
    tflite_source: bytes | None = None
    onnx_source: bytes | None = None

    @cached_property
    def graph(self) -> Graph:
        """The network as plain data.

        Raises:
            ArtifactError: If a constant is damaged.
            UnsupportedError: If there is no input besides those that choose random numbers, or an
                axis of one other than the batch is free.
        """
        return graph_of(self.model)

    @cached_property
    def metadata(self) -> dict[str, str]:
        """The metadata that bnnkit wrote, by key without the prefix "bnnkit."."""
        return metadata_of(self.model)

    @cached_property
    def output_kinds(self) -> tuple[OutputKind, ...]:
        """What each output holds, in their order, such as "scores" (docs/artifact.md, Outputs).

        Raises:
            ArtifactError, UnsupportedError: As `graph`.
        """
        return output_kinds(self.model, self.graph, self.metadata)

    @cached_property
    def signs(self) -> tuple[str, ...]:
        """Names of the values that are signs, in the order of the graph."""
        return sign_names(self.model)

    @cached_property
    def is_stochastic(self) -> bool:
        """Whether the file can be sampled: it holds noise of its signs or draws of its weights."""
        return is_stochastic(self.model)

    @cached_property
    def has_weight_draws(self) -> bool:
        """Whether the file stores draws of its weights, one of which each sample uses."""
        return any(operator_of(node) is WEIGHT_DRAW for node in self.model.graph.node)

    @cached_property
    def deterministic(self) -> "Artifact":
        """The network with z = 0 and its maximum-probability weights.

        A deterministic artifact is returned unchanged. Otherwise the result has no function
        bodies: it is for readers that know bnnkit's operators.

        Raises:
            ArtifactError: If a threshold or a stored draw of weights is not a constant.
        """
        return Artifact(derandomized(self.model)) if self.is_stochastic else self

    @cached_property
    def fixed_batch(self) -> int | None:
        """The batch size that the file fixes; None if the batch axis is free.

        bnnkit's runtime accepts any batch size, because its operators do not mix images.

        Raises:
            UnsupportedError: If inputs fix it at different sizes.
        """
        names = self.graph.input_names
        inputs = (value for value in self.model.graph.input if value.name in names)
        sizes = (value.type.tensor_type.shape.dim[0].dim_value for value in inputs)
        fixed = {size for size in sizes if size > 0}  # 0 if the file states none
        if len(fixed) > 1:
            raise UnsupportedError(
                "expected inputs with the same batch as first axis, got"
                f" {' and '.join(map(str, sorted(fixed)))}: give each a row for every example"
            )
        return next(iter(fixed), None)

    def to_bytes(self) -> bytes:
        """Return the content of the artifact's .onnx file; equal models give equal bytes."""
        content: bytes = self.model.SerializeToString(deterministic=True)
        return content
