"""Open a model file and refuse what is not one; see docs/artifact.md for the format."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from bnnkit.artifact.check import check
from bnnkit.errors import ArtifactError, BnnkitError
from bnnkit.runtime.from_tflite import from_tflite, is_tflite


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
        model = from_tflite(content)
    except BnnkitError as error:
        raise type(error)(f"{path}: {error}") from error
    check(model, str(path))
    return model
