"""From a checkpoint to an artifact that says where it comes from."""

from pathlib import Path

import onnx
import torch

from bnnkit.export.metadata import Metadata
from bnnkit.export.report import Report
from bnnkit.export.to_onnx import export_onnx, to_artifact
from bnnkit.training import CheckpointMetadata, checkpoint_sha256, load_checkpoint


def export_checkpoint(checkpoint: Path, output: Path) -> Report:
    """Export a checkpoint.

    Args:
        checkpoint: A run's folder, or the checkpoint in it.
        output: The file, which is replaced as a whole or not at all.

    Returns:
        What is binary in the file, what is not and why, and the sizes.

    Raises:
        CheckpointError: The checkpoint is missing, damaged, or of another model.
        UnsupportedError: A part of the network cannot be exported.
        FileError: The file cannot be written.
    """
    network, _, about = load_checkpoint(checkpoint)
    return export_onnx(network, _example(about), output, metadata=_metadata(checkpoint, about))


def checkpoint_artifact(checkpoint: Path) -> onnx.ModelProto:
    """What `export_checkpoint` would write.

    Raises:
        CheckpointError, UnsupportedError: As there.
    """
    network, _, about = load_checkpoint(checkpoint)
    return to_artifact(network, _example(about), metadata=_metadata(checkpoint, about))


def _example(about: CheckpointMetadata) -> torch.Tensor:
    dtype = torch.uint8 if about.input_dtype == "uint8" else torch.float32
    return torch.zeros((1, *about.input_shape), dtype=dtype)


def _metadata(checkpoint: Path, about: CheckpointMetadata) -> Metadata:
    return Metadata(
        classes=about.classes,
        dataset=about.dataset,
        accuracy=about.accuracy,
        checkpoint=checkpoint_sha256(checkpoint),
    )
