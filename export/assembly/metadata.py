"""The metadata of an artifact: the entries of `metadata_props` (docs/artifact.md)."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import onnx_ir as ir

import bnnkit
from bnnkit.artifact.format.constants import Mode
from bnnkit.artifact.operators import layer_kind
from bnnkit.artifact.output_kinds import KEY as OUTPUTS_KEY
from bnnkit.artifact.output_kinds import OUTPUT_KINDS, OutputKind
from bnnkit.artifact.sign_axes import KEY as CHANNELS
from bnnkit.artifact.sign_axes import LAST
from bnnkit.errors import UsageError
from bnnkit.export.ir.graph import array, data_inputs
from bnnkit.export.passes.lower_signs import SignRecord, sign_record
from bnnkit.images.preprocessing import KEY as PREPROCESSING_KEY
from bnnkit.images.preprocessing import Preprocessing
from bnnkit.images.reader import image_reader
from bnnkit.nn.base import arguments

FORMAT: Final = 1


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """Metadata that the network itself does not contain; all of it is optional.

    Attributes:
        classes: The names of the classes, in the order of the scores.
        dataset: The name of the data set that the network was trained on.
        accuracy: The deterministic test accuracy, a fraction.
        checkpoint: The sha256 of the checkpoint file, in hexadecimal.
        calibration: How the statistics of the batch norms were re-estimated, as JSON from
            `CalibrationRecord.to_json`; None if they are those of the checkpoint.
        noise_choice: How the scale of the noise was chosen, as JSON from
            `NoiseScaleChoice.to_json`; None if it was not.
        temperature: The T by which the logits were divided; None if they were not.
        outputs: What each output of the network holds, where its last layer does not show it:
            "scores" of classes, "log-odds" (one logit for two classes), real "values", ...
            (docs/artifact.md, Outputs). One word is enough for one output.
        preprocessing: How an image file becomes the input of the network, where that is more than
            what docs/artifact.md (Images) states for files without it.

    Raises:
        UsageError: If a value has another type or is unknown.
    """

    classes: Sequence[str] = ()
    dataset: str | None = None
    accuracy: float | None = None
    checkpoint: str | None = None
    calibration: str | None = None
    noise_choice: str | None = None
    temperature: float | None = None
    outputs: OutputKind | Sequence[OutputKind] = ()
    preprocessing: Preprocessing | None = None

    def __post_init__(self) -> None:
        arguments.strings("classes", self.classes)
        for name in ("dataset", "checkpoint", "calibration", "noise_choice"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise UsageError(f"expected {name} to be a string, got {value!r}")
        if self.accuracy is not None and arguments.real("accuracy", self.accuracy) > 1:
            raise UsageError(f"expected an accuracy from 0 to 1, got {self.accuracy!r}")
        if self.temperature is not None:
            arguments.real("temperature", self.temperature)
        if not isinstance(self.preprocessing, Preprocessing | None):
            raise UsageError(f"expected a Preprocessing, got {self.preprocessing!r}")
        if not isinstance(self.outputs, str):
            arguments.strings("outputs", self.outputs)
        for kind in self.output_kinds:
            if kind not in OUTPUT_KINDS:
                raise UsageError(
                    f"expected outputs out of {', '.join(OUTPUT_KINDS)}, got {kind!r}"
                )

    @property
    def output_kinds(self) -> tuple[OutputKind, ...]:
        """`outputs` as a tuple."""
        return (self.outputs,) if isinstance(self.outputs, str) else tuple(self.outputs)


def metadata_props(graph: ir.Graph, metadata: Metadata, mode: Mode) -> dict[str, str]:
    """The metadata entries for a lowered graph.

    Raises:
        UsageError: If `metadata.outputs` does not have one word for each output, or the
            preprocessing does not fit the input.
    """
    if metadata.preprocessing is not None:
        _check_preprocessing(graph, metadata.preprocessing)
    outputs = metadata.output_kinds
    if outputs and len(outputs) != len(graph.outputs):
        raise UsageError(
            f"expected what each of {len(graph.outputs)} outputs holds in the metadata, got"
            f" {', '.join(outputs)}"
        )
    entries = {
        "bnnkit.format": str(FORMAT),
        "bnnkit.version": bnnkit.__version__,
        "bnnkit.mode": mode,
        "bnnkit.signs": json.dumps(_signs(graph)),
        "bnnkit.classes": json.dumps(list(metadata.classes), ensure_ascii=False),
        "bnnkit.input": json.dumps({**_input(graph.inputs[0]), "zero_point": _zero_point(graph)}),
    }
    inputs = data_inputs(graph)
    if len(inputs) > 1:
        entries["bnnkit.inputs"] = json.dumps([_input(value) for value in inputs])
    optional = {
        "dataset": metadata.dataset,
        "accuracy": metadata.accuracy,
        "checkpoint": metadata.checkpoint,
        "calibration": metadata.calibration,
        "noise_choice": metadata.noise_choice,
        "temperature": metadata.temperature,
        OUTPUTS_KEY: json.dumps(outputs) if outputs else None,
        PREPROCESSING_KEY: metadata.preprocessing and metadata.preprocessing.to_json(),
    }
    entries |= {
        f"bnnkit.{key}": str(value) for key, value in optional.items() if value is not None
    }
    return entries


def _signs(graph: ir.Graph) -> list[dict[str, str]]:
    records = [sign_record(value) for node in graph for value in node.outputs]
    return [_sign(record) for record in records if record is not None and record.is_output]


def _sign(record: SignRecord) -> dict[str, str]:
    channels = {CHANNELS: LAST} if record.has_channels_last else {}
    return {"name": record.name, "noise": record.noise, **channels}


def _input(value: ir.Value) -> dict[str, object]:
    """Name, type, and shape of an input without the batch axis."""
    return {
        "name": value.name,
        "dtype": None if value.dtype is None else value.dtype.numpy().name,
        "shape": None if value.shape is None else list(value.shape[1:]),
    }


def _check_preprocessing(graph: ir.Graph, preprocessing: Preprocessing) -> None:
    if len(data_inputs(graph)) > 1:
        raise UsageError(
            "expected no preprocessing of images for a network with several inputs, which takes"
            " arrays: leave it out"
        )
    value = graph.inputs[0]
    shape = [] if value.shape is None else [n for n in value.shape[1:] if isinstance(n, int)]
    if value.dtype is None or value.shape is None or len(shape) != len(value.shape) - 1:
        return  # what the file does not say cannot be checked
    image_reader(tuple(shape), value.dtype.numpy(), preprocessing)


def _zero_point(graph: ir.Graph) -> list[int] | None:
    """The zero point of the first integer layer; one number if all channels have the same."""
    for node in [node for node in graph if layer_kind(node) == "integer"]:
        content = array(node.inputs[2])
        if content is not None:
            numbers: list[int] = content.ravel().tolist()
            return numbers[:1] if len(set(numbers)) == 1 else numbers
    return None
