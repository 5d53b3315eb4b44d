"""The engines that execute an artifact, by name, behind one interface.

| name               | what computes                                              |
| ------------------ | ---------------------------------------------------------- |
| `bnnkit`           | the popcount runtime                                       |
| `onnxruntime`      | stock ONNX Runtime on the file as it is                    |
| `onnxruntime-fp32` | ONNX Runtime on the float twin of the file (float_twin.py) |
| `reference`        | plain NumPy, slow; what it says is right                   |
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import bnnkit
from bnnkit.errors import (
    ArtifactError,
    BnnkitError,
    MissingExtraError,
    UnsupportedError,
    UsageError,
)
from bnnkit.float_twin import float_twin
from bnnkit.runtime import Model, artifact
from bnnkit.runtime.graph import from_model
from bnnkit.runtime.inputs import check_inputs
from bnnkit.runtime.probabilities import probabilities
from bnnkit.runtime.reference import Reference, signs_of
from bnnkit.runtime.threads import check_threads

Array = NDArray[Any]


_ERROR_CODE = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : ((This is an )?invalid model\. )?", re.IGNORECASE
)
_SOURCE_PLACE = re.compile(r"[\s:]*\S+\.(cc|h|cpp|hpp):\d+ .*")


class Engine(ABC):
    """Something that executes an artifact.

    Args:
        model: The artifact.

    Attributes:
        name: A key of `ENGINES`.
        version: Of the package that computes.
        outputs: The names of what `run` gives.
    """

    name: str
    version: str

    def __init__(self, model: onnx.ModelProto) -> None:
        self._graph = from_model(model)
        self._fixed_batch = fixed_batch(model)
        self.outputs = self._graph.outputs

    @abstractmethod
    def run(self, images: Array) -> tuple[Array, ...]:
        """All outputs of the file, in its order, for images that `check` lets through."""

    @abstractmethod
    def trace(self, images: Array) -> dict[str, Array]:
        """Every value that is signs, by name: uint8, in ONNX's layout, 0 is -1 and 2 is +1."""

    def predict(self, images: Array, *, samples: int = 0) -> Array:
        """Class probabilities, float32 (N, K): the softmax of the first output.

        Raises:
            UsageError: Samples are asked of a deterministic file.
        """
        if samples != 0:
            raise UsageError(f"the file is deterministic: expected samples=0, got {samples}")
        return probabilities(self._graph, self.run(images)[0])

    def check(self, images: Array) -> None:
        """Refuse what the file does not take, as `check_inputs`."""
        check_inputs(images, self._graph.input_shape, self._graph.input_dtype)

    def _batches(self, images: Array) -> list[Array]:
        """The images in batches of the size that the file fixes; all at once where it is free.

        Raises:
            UsageError: They do not fill the last batch.
        """
        size = self._fixed_batch
        if size is None or len(images) == size:
            return [images]
        if len(images) % size:
            raise UsageError(
                f"the batch axis of the model is fixed at {size}: expected a multiple of {size}"
                f" images in {self.name}, got {len(images)}; export it with a free batch axis"
            )
        return np.split(images, len(images) // size)


class Runtime(Engine):
    """bnnkit's own popcount runtime."""

    name = "bnnkit"
    version = bnnkit.__version__

    def __init__(self, model: onnx.ModelProto, threads: int = 1) -> None:
        super().__init__(model)
        self._model, self._threads = Model(model), threads

    def run(self, images: Array) -> tuple[Array, ...]:
        """As `Engine.run`."""
        result = self._model.run(images, threads=self._threads)
        return result if isinstance(result, tuple) else (result,)

    def trace(self, images: Array) -> dict[str, Array]:
        """As `Engine.trace`."""
        return self._model.trace(images, threads=self._threads)


class PlainReference(Engine):
    """The NumPy reference; it has one thread."""

    name = "reference"
    version = bnnkit.__version__

    def __init__(self, model: onnx.ModelProto, threads: int = 1) -> None:
        super().__init__(model)
        try:
            self._reference = Reference(model)
        except NotImplementedError as error:
            reason = str(error).splitlines()[0]
            raise UnsupportedError(f"the reference cannot execute the model: {reason}") from error

    def run(self, images: Array) -> tuple[Array, ...]:
        """As `Engine.run`."""
        parts = [self._reference.run(batch) for batch in self._batches(images)]
        return tuple(np.concatenate(pieces) for pieces in zip(*parts, strict=True))

    def trace(self, images: Array) -> dict[str, Array]:
        """As `Engine.trace`."""
        parts = [self._reference.trace(batch) for batch in self._batches(images)]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


class OnnxRuntime(Engine):
    """Stock ONNX Runtime on the artifact: it executes the functions that the file brings along."""

    name = "onnxruntime"

    def __init__(self, model: onnx.ModelProto, threads: int = 1) -> None:
        super().__init__(model)
        self.version = str(_onnxruntime().__version__)
        self._signs = signs_of(model)
        self._executed, self._threads = self._form(model), threads
        self._session = open_session(self._executed, threads)

    def run(self, images: Array) -> tuple[Array, ...]:
        """As `Engine.run`."""
        return self._execute(self._session, None, images)

    def trace(self, images: Array) -> dict[str, Array]:
        """As `Engine.trace`."""
        if not self._signs:
            return {}
        values = self._execute(self._tracing_session, self._signs, images)
        return dict(zip(self._signs, values, strict=True))

    @cached_property
    def _tracing_session(self) -> Any:
        return open_session(with_outputs(self._executed, self._signs), self._threads)

    def _execute(self, session: Any, names: list[str] | None, images: Array) -> tuple[Array, ...]:
        """Outputs of a session, in as many runs as the file's batch asks for."""
        parts = []
        for batch in self._batches(images):
            try:
                parts.append(session.run(names, {self._graph.input: batch}))
            except Exception as error:  # its errors have no common class
                raise UnsupportedError(
                    f"onnxruntime cannot execute the model: {_reason(error)}"
                ) from error
        if len(parts) == 1:
            return tuple(parts[0])
        return tuple(np.concatenate(pieces) for pieces in zip(*parts, strict=True))

    def _form(self, model: onnx.ModelProto) -> onnx.ModelProto:
        """What is executed for the artifact."""
        return model


class FloatOnnxRuntime(OnnxRuntime):
    """ONNX Runtime on the same network with float32 weights and activations."""

    name = "onnxruntime-fp32"

    def trace(self, images: Array) -> dict[str, Array]:
        """As `Engine.trace`."""
        values = super().trace(images)  # real numbers, but those that are outputs of the file too
        return {name: x if x.dtype == np.uint8 else _as_signs(x) for name, x in values.items()}

    def _form(self, model: onnx.ModelProto) -> onnx.ModelProto:
        return float_twin(model)


def _as_signs(real: Array) -> Array:
    """-1.0 and +1.0 as 0 and 2."""
    return (real + 1).astype(np.uint8)


ENGINES: dict[str, Callable[[onnx.ModelProto, int], Engine]] = {
    engine.name: engine for engine in (Runtime, OnnxRuntime, FloatOnnxRuntime, PlainReference)
}


def open_engine(name: str, model: onnx.ModelProto, *, threads: int = 1) -> Engine:
    """An engine, ready to execute the model.

    Args:
        name: A key of `ENGINES`.
        model: The artifact.
        threads: The result is the same for every number; the reference always has one.

    Raises:
        UsageError: There is no such engine, or no threads.
        MissingExtraError: Its package is not installed.
        UnsupportedError: It cannot execute a part of the model.
    """
    if name not in ENGINES:
        raise UsageError(f"expected an engine out of {', '.join(ENGINES)}, got {name!r}")
    check_threads(threads)
    return ENGINES[name](model, threads)


def open_file(name: str, path: Path, *, threads: int = 1) -> Engine:
    """An engine for a file, whose name then stands before every message.

    Raises:
        ArtifactError: The file is missing, damaged, no ONNX file, or of a newer format.
        UsageError, MissingExtraError, UnsupportedError: As `open_engine`.
    """
    model = artifact.read(path)
    try:
        return open_engine(name, model, threads=threads)
    except (UsageError, MissingExtraError):
        raise
    except BnnkitError as error:
        raise type(error)(f"{path}: {error}") from error
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error


def fixed_batch(model: onnx.ModelProto) -> int | None:
    """How many images the file asks for in a run; None where the batch axis is free.

    bnnkit's runtime takes any number all the same: its operators do not mix images.
    """
    constants = {tensor.name for tensor in model.graph.initializer}
    (batch,) = (
        value.type.tensor_type.shape.dim[0]
        for value in model.graph.input
        if value.name not in constants
    )
    return batch.dim_value if batch.HasField("dim_value") and batch.dim_value > 0 else None


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy of the model that also gives these values as outputs."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = {value.name for value in copy.graph.output}
    shaped = {value.name: value for value in copy.graph.value_info}
    for name in names:
        if name not in known:
            copy.graph.output.append(shaped.get(name) or onnx.ValueInfoProto(name=name))
    return copy


def open_session(model: onnx.ModelProto, threads: int) -> Any:
    """An onnxruntime session as bnnkit measures it: all optimisations, no spinning threads.

    Raises:
        MissingExtraError: onnxruntime is not installed.
        UnsupportedError: It refuses the model.
    """
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4  # what it would print as an error is raised as well
    try:
        return onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # its errors have no common class
        raise UnsupportedError(f"onnxruntime cannot open the model: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """The first sentence of what onnxruntime says, without places in its source."""
    said = _ERROR_CODE.sub("", " ".join(str(error).split()))
    return _SOURCE_PLACE.sub("", said).split(". ")[0].rstrip(".")


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise  # a bug of ours must not read as a missing package
        raise MissingExtraError("the engine onnxruntime", "ort") from error
    return onnxruntime
