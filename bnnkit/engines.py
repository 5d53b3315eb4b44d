"""The engines that execute an artifact, by name, behind one interface.

| name               | what computes                                              |
| ------------------ | ---------------------------------------------------------- |
| `bnnkit`           | the popcount runtime                                       |
| `onnxruntime`      | stock ONNX Runtime on the file as it is                    |
| `onnxruntime-fp32` | ONNX Runtime on the float twin of the file (float_twin.py) |
| `reference`        | plain NumPy, slow; what it says is right                   |
"""

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
        return tuple(self._reference.run(images))

    def trace(self, images: Array) -> dict[str, Array]:
        """As `Engine.trace`."""
        return self._reference.trace(images)


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
        return tuple(_execute(self._session, None, {self._graph.input: images}))

    def trace(self, images: Array) -> dict[str, Array]:
        """As `Engine.trace`."""
        if not self._signs:
            return {}
        values = _execute(self._tracing_session, self._signs, {self._graph.input: images})
        return dict(zip(self._signs, values, strict=True))

    @cached_property
    def _tracing_session(self) -> Any:
        return open_session(with_outputs(self._executed, self._signs), self._threads)

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
        reason = " ".join(str(error).split())
        raise UnsupportedError(f"onnxruntime cannot open the model: {reason}") from error


def _execute(session: Any, names: list[str] | None, feeds: dict[str, Array]) -> list[Array]:
    try:
        return list(session.run(names, feeds))
    except Exception as error:  # as above
        reason = " ".join(str(error).split())
        raise UnsupportedError(f"onnxruntime cannot execute the model: {reason}") from error


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ModuleNotFoundError as error:
        if error.name != "onnxruntime":
            raise  # a bug of ours must not read as a missing package
        raise MissingExtraError("the engine onnxruntime", "ort") from error
    return onnxruntime
