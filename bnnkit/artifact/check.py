"""Refuse a model that this version cannot take; see docs/artifact.md for the format."""

import onnx

from bnnkit.artifact.check_noise import check_sampling
from bnnkit.artifact.format import DOMAIN, OLDEST_OPSET, VERSION
from bnnkit.artifact.operators import is_sampled
from bnnkit.errors import ArtifactError

METADATA_PREFIX = f"{DOMAIN}."


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
    return any(is_sampled(node) for node in model.graph.node)
