"""A stochastic network in torch, in ONNX Runtime and in the reference: the same signs."""

import json
from typing import Any

import numpy as np
import onnx
import onnx.checker
import onnx.helper
import onnxruntime as ort
from numpy.typing import NDArray
from torch import Tensor, nn

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.reference import Reference, sampling_feeds
from bnnkit.export import noisy_thresholds
from bnnkit.export.from_torch.export_onnx import from_torch
from bnnkit.verification.torch_trace import TorchTrace

Array = NDArray[Any]

SAMPLES = [
    Sample(seed=3, index=0),
    Sample(seed=2**64 - 1, index=9, image_offset=5),
    Sample(seed=7, index=4, antithetic=True),
    Sample(seed=7, index=5, antithetic=True),
]


def names_of(artifact: Artifact) -> list[str]:
    """The signs that modules give."""
    about = artifact.metadata
    assert about["mode"] == "samples"
    return [entry["name"] for entry in json.loads(about["signs"])]


def in_onnxruntime(model: Artifact, images: Array, sample: Sample | None) -> dict[str, Array]:
    """Every value that is signs, by name."""
    extended = onnx.ModelProto()
    extended.CopyFrom(model.model)
    names = names_of(model)
    extended.graph.output.extend(
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.UINT8, None) for name in names
    )
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3  # it warns of inputs with a default
    session = ort.InferenceSession(
        extended.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    feeds = {model.model.graph.input[0].name: images}
    if sample is not None:
        feeds |= sampling_feeds(sample)
    return dict(zip(names, session.run(names, feeds), strict=True))


def assert_same_signs(model: nn.Module, images: Tensor) -> Artifact:
    """Torch, ONNX Runtime and the reference draw the same signs; z = 0 is the old network."""
    artifact = assert_same_draws(model, images)
    assert_quiet(model, artifact, images)
    return artifact


def assert_same_draws(model: nn.Module, images: Tensor) -> Artifact:
    """Torch, ONNX Runtime and the reference draw the same signs."""
    model.eval()
    artifact = from_torch(model, images[:1])
    onnx.checker.check_model(artifact.model, full_check=True)
    reference = Reference(artifact)
    trained = TorchTrace(model, thresholds=noisy_thresholds(model, images))
    for sample in SAMPLES:
        want = reference.trace(images.numpy(), sample)
        for found in (
            in_onnxruntime(artifact, images.numpy(), sample),
            trained(images.numpy(), sample).signs,
        ):
            for name in names_of(artifact):
                np.testing.assert_array_equal(found[name], want[name], err_msg=name)
    return artifact


def assert_quiet(model: nn.Module, artifact: Artifact, images: Tensor) -> None:
    """Without a sample, and made deterministic, it gives the bits of the deterministic file."""
    plain = from_torch(model, images, mode="deterministic")
    with np.errstate(invalid="ignore"):  # ONNX's reference pads integers with NaN
        want, quiet, reshaped = (
            Reference(file).trace(images.numpy())
            for file in (plain, artifact, artifact.deterministic)
        )
    for found in (quiet, reshaped, in_onnxruntime(artifact, images.numpy(), None)):
        for name in names_of(artifact):
            np.testing.assert_array_equal(found[name], want[name], err_msg=name)
