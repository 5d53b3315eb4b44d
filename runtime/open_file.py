"""Open a model file and refuse what is not one; see docs/artifact.md for the format."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.check import check
from bnnkit.errors import ArtifactError, BnnkitError
from bnnkit.runtime.from_tflite import from_tflite, is_tflite


def read(path: Path | str) -> Artifact:
    """The artifact in an .onnx file, or the one that a .tflite file becomes; checked.

    Raises:
        ArtifactError: The file is missing, truncated, not ONNX, of a newer format, or keeps its
            weights elsewhere.
        UnsupportedError: A TFLite file has a part that bnnkit lacks.
    """
    content = _read_bytes(path)
    artifact = (_from_tflite if is_tflite(content) else _from_onnx)(content, path)
    check(artifact.model, str(path))
    return artifact


def _read_bytes(path: Path | str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {path}: {error.strerror or error}") from error


def _from_onnx(content: bytes, path: Path | str) -> Artifact:
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise ArtifactError(
            f"{path} is not an ONNX file, or a truncated one: export it again"
        ) from error
    if not model.graph.node:
        raise ArtifactError(f"{path} is not an ONNX file: it holds no graph")
    return Artifact(model)


def _from_tflite(content: bytes, path: Path | str) -> Artifact:
    try:
        return from_tflite(content)
    except BnnkitError as error:
        raise type(error)(f"{path}: {error}") from error
