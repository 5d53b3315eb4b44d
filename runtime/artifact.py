"""Open a model file and refuse what is not one; see docs/artifact.md for the format."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from bnnkit.artifact_format import DOMAIN, OLDEST_OPSET, VERSION
from bnnkit.errors import ArtifactError, BnnkitError
from bnnkit.runtime.sampling_check import check_sampling
from bnnkit.runtime.tflite import is_tflite, to_model

METADATA_PREFIX = f"{DOMAIN}."


def read_bytes(path: Path | str) -> bytes:
    """The bytes of a file.

    Raises:
        ArtifactError: It is missing or cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error


def read(path: Path | str) -> onnx.ModelProto:
    """The ONNX model in a file, checked; a TFLite file becomes one.

    Raises:
        ArtifactError, UnsupportedError: As `read_with_source`.
    """
    return read_with_source(path)[0]


def read_with_source(path: Path | str) -> tuple[onnx.ModelProto, bytes | None]:
    """The same, and the content of the file where it is a TFLite file.

    Raises:
        ArtifactError: It is missing, truncated, not ONNX, of a newer format, or keeps its weights
            elsewhere.
        UnsupportedError: A TFLite file has a part that bnnkit lacks.
    """
    content = read_bytes(path)
    if is_tflite(content):
        return _from_tflite(content, path), content
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise ArtifactError(
            f"{path} is not an ONNX file, or a truncated one: export it again"
        ) from error
    if not model.graph.node:
        raise ArtifactError(f"{path} is not an ONNX file: it holds no graph")
    check(model, str(path))
    return model, None


def _from_tflite(content: bytes, path: Path | str) -> onnx.ModelProto:
    try:
        model = to_model(content)
    except BnnkitError as error:
        raise type(error)(f"{path}: {error}") from error
    check(model, str(path))
    return model


def check(model: onnx.ModelProto, path: str) -> None:
    """Refuse a model that this version cannot take.

    Raises:
        ArtifactError: Newer format, external data, a graph that ONNX itself calls invalid, or
            damaged noise.
    """
    for opset in model.opset_import:
        if opset.domain == DOMAIN and opset.version > VERSION:
            raise ArtifactError(
                f"{path} has format version {opset.version}, this bnnkit reads up to"
                f" {VERSION}: upgrade bnnkit"
            )
        if opset.domain in ("", "ai.onnx") and opset.version < OLDEST_OPSET:
            raise ArtifactError(
                f"{path} uses opset {opset.version}, expected {OLDEST_OPSET} or newer:"
                " export it again"
            )
    if (version := metadata(model).get("format", str(VERSION))) != str(VERSION):
        raise ArtifactError(
            f"{path} says that its format is {version!r}, this bnnkit reads {VERSION}:"
            " upgrade bnnkit"
        )
    if any(tensor.external_data for tensor in model.graph.initializer):
        raise ArtifactError(f"{path} keeps its weights in other files: save it as one ONNX file")
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path} is not a valid ONNX model: {reason}") from error
    check_sampling(model, path)


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    """What bnnkit wrote about the model, keys without the prefix "bnnkit."."""
    return {
        entry.key.removeprefix(METADATA_PREFIX): entry.value
        for entry in model.metadata_props
        if entry.key.startswith(METADATA_PREFIX)
    }


def is_stochastic(model: onnx.ModelProto) -> bool:
    """Whether a file holds the noise of its signs or draws of its weights: it can be sampled."""
    return any(
        node.domain == DOMAIN and node.op_type in ("StochasticSign", "WeightDraw")
        for node in model.graph.node
    )
