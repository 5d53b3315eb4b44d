"""ONNX Runtime as an engine: on the artifact itself, or on a rewrite of it."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.cached_property import cached_property
from bnnkit.artifact.format.constants import DOMAIN
from bnnkit.artifact.format.input_batch import Batch
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.operators import functions
from bnnkit.artifact.reference import sampling_feeds
from bnnkit.engines.engine import Engine, SamplingEngine
from bnnkit.engines.ort_session import import_onnxruntime, open_session, reason, with_outputs
from bnnkit.engines.rewrites.float32 import rewrite_in_float32
from bnnkit.errors import UnsupportedError

Array = NDArray[Any]


class OnnxRuntime(SamplingEngine):
    """Stock ONNX Runtime on the artifact; it executes the function bodies in the file."""

    name = "onnxruntime"

    def __init__(self, artifact: Artifact, threads: int = 1) -> None:
        super().__init__(artifact)
        self.version = str(import_onnxruntime().__version__)
        self._signs, self._threads = artifact.signs, threads
        self._model = _with_bodies(artifact.model)
        self._session = open_session(self._model, threads)

    def run(self, images: Batch, sample: Sample | None = None) -> tuple[Array, ...]:
        """As `SamplingEngine.run`."""
        return self._execute(self._session, None, images, sample)

    def trace(self, images: Batch, sample: Sample | None = None) -> dict[str, Array]:
        """As `SamplingEngine.trace`."""
        if not self._signs:
            return {}
        values = self._execute(self._tracing_session, self._signs, images, sample)
        return dict(zip(self._signs, values, strict=True))

    @cached_property
    def _tracing_session(self) -> Any:
        return open_session(with_outputs(self._model, self._signs), self._threads)

    def _execute(
        self, session: Any, names: Sequence[str] | None, images: Batch, sample: Sample | None
    ) -> tuple[Array, ...]:
        parts = [
            execute(session, names, {**self._feeds(batch), **sampling_feeds(here)})
            for batch, here in self._sampled_batches(images, sample)
        ]
        return _joined(parts)


class RewrittenOnnxRuntime(Engine):
    """ONNX Runtime on a rewrite of the deterministic network."""

    def __init__(self, artifact: Artifact, threads: int = 1) -> None:
        super().__init__(artifact)
        self.version = str(import_onnxruntime().__version__)
        self._artifact, self._threads = artifact, threads
        self._model = self._rewrite(artifact)
        self._session = open_session(self._model, threads)

    def run(self, images: Batch) -> tuple[Array, ...]:
        """As `Engine.run`."""
        return self._execute(self._session, None, images)

    def _execute(
        self, session: Any, names: Sequence[str] | None, images: Batch
    ) -> tuple[Array, ...]:
        """Run a session on the images, in batches if the file fixes the batch size."""
        batches = self._batches(images)
        return _joined([execute(session, names, self._feeds(batch)) for batch in batches])

    @abstractmethod
    def _rewrite(self, artifact: Artifact) -> onnx.ModelProto:
        """Return the model to execute for the artifact."""


class Float32OnnxRuntime(RewrittenOnnxRuntime):
    """ONNX Runtime on the same network with float32 weights and activations."""

    name = "onnxruntime-fp32"

    def trace(self, images: Batch) -> dict[str, Array]:
        """As `Engine.trace`."""
        signs = self._artifact.signs
        if not signs:
            return {}
        values = self._execute(self._tracing_session, signs, images)
        pairs = zip(signs, values, strict=True)  # float32, except outputs of the file (uint8)
        return {name: x if x.dtype == np.uint8 else _as_signs(x) for name, x in pairs}

    @cached_property
    def _tracing_session(self) -> Any:
        return open_session(with_outputs(self._model, self._artifact.signs), self._threads)

    def _rewrite(self, artifact: Artifact) -> onnx.ModelProto:
        return rewrite_in_float32(artifact)


def _with_bodies(model: onnx.ModelProto) -> onnx.ModelProto:
    """Add the missing function bodies of bnnkit's operators; models from TFLite lack them."""
    used = {node.op_type for node in model.graph.node if node.domain == DOMAIN}
    lacking = used - {function.name for function in model.functions}
    if not lacking:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    bodies = (functions.function(name) for name in functions.names() if name in lacking)
    copy.functions.extend(bodies)
    return copy


def execute(
    session: Any, names: Sequence[str] | None, inputs: dict[str, Array]
) -> tuple[Array, ...]:
    """Run a session and return the named outputs, or all outputs if no names are given.

    Raises:
        UnsupportedError: If the run fails.
    """
    try:
        return tuple(session.run(names, inputs))
    except Exception as error:  # its errors have no common class
        raise UnsupportedError(f"onnxruntime cannot execute the model: {reason(error)}") from error


def _joined(parts: list[tuple[Array, ...]]) -> tuple[Array, ...]:
    if len(parts) == 1:
        return parts[0]
    return tuple(np.concatenate(pieces) for pieces in zip(*parts, strict=True))


def _as_signs(real: Array) -> Array:
    """Convert -1.0 and +1.0 to the codes 0 and 2."""
    return (real + 1).astype(np.uint8)
