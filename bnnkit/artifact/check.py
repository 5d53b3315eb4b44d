"""Checks that this version can read a model; docs/artifact.md defines the format."""

import onnx

from bnnkit.artifact.check_noise import check_sampling
from bnnkit.artifact.format.constants import DOMAIN, OLDEST_OPSET, VERSION
from bnnkit.artifact.format.metadata import metadata_of
from bnnkit.artifact.format.tensors import is_external, tensors_of
from bnnkit.errors import ArtifactError


def check(model: onnx.ModelProto, path: str) -> None:
    """Check that this version can read a model.

    Raises:
        ArtifactError: If the model has a newer format, an older opset, external data or damaged
            noise, or is not valid ONNX.
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
    if (version := metadata_of(model).get("format", str(VERSION))) != str(VERSION):
        raise ArtifactError(
            f"{path} says that its format is {version!r}, this bnnkit reads {VERSION}:"
            " upgrade bnnkit"
        )
    if any(is_external(tensor) for tensor in tensors_of(model)):
        raise ArtifactError(
            f"{path} keeps its weights in other files, which bnnkit does not read: save it as one"
            " ONNX file, or convert it with bnnkit convert"
        )
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ArtifactError(f"{path} is not a valid ONNX model: {reason}") from error
    check_sampling(model, path)
