"""Open a model file and refuse what is not one; see docs/artifact.md for the format."""

import errno
import os
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.check import check
from bnnkit.border import border
from bnnkit.errors import ArtifactError, BnnkitError
from bnnkit.files.kinds import ONNX, START_BYTES, but_it_is, kind_of, kind_of_path
from bnnkit.files.regular_file import open_file
from bnnkit.runtime.from_tflite import from_tflite, is_tflite
from bnnkit.zoo import located

MOST_BYTES = 2**31 - 1
"""The largest size of an ONNX or TFLite file."""


def read(path: Path | str) -> Artifact:
    """The artifact in an .onnx file, or the one that a .tflite file becomes; checked.

    Args:
        path: The file, or zoo:NAME for a model of the zoo.

    Raises:
        ArtifactError: The zoo has no such model; or the file is missing, truncated, not ONNX, of
            a newer format, or keeps its weights elsewhere.
        UnsupportedError: A TFLite file has a part that bnnkit lacks.
    """
    path = located(path)
    content = _read_bytes(path)
    with border(ArtifactError, path):
        artifact = parse(content, path)
        check(artifact.model, str(path))
    return artifact


def parse(content: bytes, path: Path | str) -> Artifact:
    """The artifact of a file with this content, not checked; the path is for messages.

    Raises:
        ArtifactError: As `read`.
        UnsupportedError: As `read`.
    """
    return (_from_tflite if is_tflite(content) else _from_onnx)(content, path)


def _read_bytes(path: Path | str) -> bytes:
    if isinstance(path, Path | str) and Path(path).is_dir():
        kind = but_it_is(kind_of_path(path))
        raise ArtifactError(f"cannot read {path}: {os.strerror(errno.EISDIR)}{kind}")
    with open_file(path, ArtifactError) as file, border(ArtifactError, path):
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise ArtifactError(
                f"{path} has {size / 2**30:.1f} GiB: a model file has less than 2 GiB"
            )
        return file.read()


def _from_onnx(content: bytes, path: Path | str) -> Artifact:
    try:
        model = onnx.load_model_from_string(content)
    except DecodeError as error:
        reason = _not_onnx(content, ", or a truncated one: export it again")
        raise ArtifactError(f"{path} is not an ONNX file{reason}") from error
    if not model.graph.node:
        reason = _not_onnx(content, ": it holds no graph")
        raise ArtifactError(f"{path} is not an ONNX file{reason}")
    return Artifact(model, onnx_source=content)


def _not_onnx(content: bytes, otherwise: str) -> str:
    """Say what the file is; or, if that is unknown, what may be wrong with it."""
    kind = kind_of(content[:START_BYTES])
    return otherwise if kind in ("", ONNX) else but_it_is(kind)


def _from_tflite(content: bytes, path: Path | str) -> Artifact:
    try:
        return from_tflite(content)
    except BnnkitError as error:
        raise type(error)(f"{path}: {error}") from error
