"""The reference's results for a comparison: outputs, signs, and the real numbers before signs."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.input_batch import Batch
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.operators.noise import draw
from bnnkit.artifact.reference import Reference
from bnnkit.artifact.rounding import signs_that_engines_may_round
from bnnkit.engines.ort_session import with_outputs
from bnnkit.verification.comparison import BatchResult

Array = NDArray[Any]


class ReferenceRun:
    """Passes of the reference over an artifact."""

    def __init__(self, artifact: Artifact) -> None:
        model = artifact.model
        self._outputs = [value.name for value in model.graph.output]
        self._signs = artifact.signs
        self._inputs = signs_that_engines_may_round(artifact)
        self._limits = {sign: _Limit(model, sign) for sign in self._inputs}
        extended = with_outputs(model, [*self._signs, *self._inputs.values()])
        self._names = [value.name for value in extended.graph.output]
        self._reference = Reference(Artifact(extended))

    def __call__(self, images: Batch, sample: Sample | None = None) -> BatchResult:
        """Run images (N, ...) with the noise of a sample; None is the deterministic pass."""
        values = dict(zip(self._names, self._reference.run(images, sample), strict=True))
        return BatchResult(
            outputs=tuple(values[name] for name in self._outputs),
            signs={name: values[name] for name in self._signs},
            real={
                sign: values[name] - self._limits[sign](values[name].shape, sample)
                for sign, name in self._inputs.items()
            },
        )


class _Limit:
    """The limit that a real number is compared with to obtain its sign.

    Args:
        model: The artifact.
        sign: The name of the sign.
    """

    def __init__(self, model: onnx.ModelProto, sign: str) -> None:
        (node,) = (node for node in model.graph.node if sign in node.output)
        self._layer = next((a.i for a in node.attribute if a.name == "layer"), 0)
        constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._noise = [numpy_helper.to_array(constants[name]) for name in node.input[1:4]]

    def __call__(self, shape: tuple[int, ...], sample: Sample | None) -> Array:
        """Return the limit for numbers of shape (N, C, ...); it broadcasts with them."""
        if not self._noise:  # a sign without noise
            return np.zeros(())
        threshold, scale, table = self._noise
        if sample is None:
            return threshold
        return np.asarray(threshold + scale * draw(shape, self._layer, table, sample))
