"""Exports an artifact to a .tflite file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import onnx

from bnnkit.artifact.artifact import Artifact
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.export.tflite import lower, source
from bnnkit.export.tflite.byte_signs import ByteSigns
from bnnkit.export.tflite.layout import as_output
from bnnkit.export.tflite.packed_signs import PackedSigns
from bnnkit.export.tflite.report import TfliteReport, Variant
from bnnkit.export.tflite.sign_form import SignForm
from bnnkit.export.tflite.uniforms import RANDOM, Uniforms
from bnnkit.export.tflite.values import TfliteValue
from bnnkit.files.atomic import write_bytes
from bnnkit.files.kinds import check_suffix
from bnnkit.tflite.write import write

_FORMS: Final[dict[Variant, SignForm]] = {"lce": PackedSigns(), "builtin": ByteSigns()}


@dataclass(frozen=True)
class Tflite:
    """A .tflite file and where the artifact's values are in it.

    Attributes:
        content: The file.
        outputs: The artifact's outputs, in the order of the file's.
        traced: Signs that are additional outputs, in their order.
        report: Operators, choices and costs.
    """

    content: bytes
    outputs: dict[str, TfliteValue]
    traced: dict[str, TfliteValue]
    report: TfliteReport


def export_tflite(
    artifact: Artifact | onnx.ModelProto,
    path: Path | str,
    *,
    variant: Variant = "lce",
    uniforms: Uniforms = RANDOM,
    batch: int = 1,
) -> TfliteReport:
    """Write an artifact as a .tflite file.

    Images are NHWC, uint8 or float32 as in the artifact. Scores are those of the artifact. All
    signs equal those of the artifact bit for bit, in each of LCE's kernels, and for the variant
    "builtin" in every TFLite interpreter. TFLite flushes real numbers below 2^-126 to 0. The same
    artifact always gives the same bytes.

    Args:
        artifact: What to write, such as `bnnkit.runtime.open_artifact("model.onnx")`, or an ONNX
            model. If it is stochastic, each run is a sample; for a pass without noise, use
            `artifact.deterministic`.
        path: The file, which is replaced atomically.
        variant: "lce" for Larq Compute Engine, with one bit a binary weight; "builtin" for any
            interpreter, with one byte a binary weight.
        uniforms: Where the random numbers of noisy signs come from. `GivenUniforms` makes them
            inputs: with those of `bnnkit.export.tflite.given_uniforms` the signs are the
            artifact's.
            `RandomUniforms` gives signs that are +1 as often as the artifact's.
        batch: Number of images in a run, which is fixed in a .tflite file.

    Returns:
        The operators, and for each layer that is not one operator its form, reason and cost.

    Raises:
        UsageError: The batch is not positive, the variant is unknown, or the suffix of the file
            names another format.
        UnsupportedError: A node cannot be lowered; the message names it.
        FileError: The file cannot be written.
    """
    check_suffix(path, "tflite")
    tflite = to_tflite(artifact, variant=variant, uniforms=uniforms, batch=batch)
    write_bytes(Path(path), tflite.content)
    return tflite.report


def to_tflite(
    artifact: Artifact | onnx.ModelProto,
    *,
    variant: Variant = "lce",
    uniforms: Uniforms = RANDOM,
    batch: int = 1,
    traced: Sequence[str] = (),
) -> Tflite:
    """The file that `export_tflite` writes, with additional outputs for signs to be traced.

    Args:
        artifact: What to write.
        variant: As in `export_tflite`.
        uniforms: As in `export_tflite`.
        batch: As in `export_tflite`.
        traced: Names of signs. Signs that are not in the file, because the operators around them
            were fused, are left out.

    Raises:
        UsageError, UnsupportedError: As `export_tflite`.
    """
    artifact = artifact if isinstance(artifact, Artifact) else Artifact(artifact)
    if batch < 1:
        raise UsageError(f"expected a batch of at least 1 image, got {batch}")
    if variant not in _FORMS:
        raise UsageError(f"expected a variant among {', '.join(_FORMS)}, got {variant!r}")
    if artifact.has_weight_draws:
        raise UnsupportedError(
            "expected an artifact without sampled weights, which a .tflite file cannot choose"
            " among; export it without --sample-weights"
        )
    builder = lower.lower(source.read(artifact), batch, _FORMS[variant], uniforms)
    outputs = lower.outputs(builder)
    seen = {
        name: as_output(builder, builder.values[name]) for name in traced if name in builder.values
    }
    metadata = {entry.key: entry.value for entry in artifact.model.metadata_props}
    network = builder.network(outputs + [value.tensor for value in seen.values()], metadata)
    content = write(network)
    report = TfliteReport(
        variant=variant,
        batch=batch,
        input_shape=builder.shape(0),
        operators=dict(sorted(Counter(op.name for op in network.operators).items())),
        choices=tuple(builder.choices),
        uniform_inputs=tuple(builder.uniform_inputs),
        file_bytes=len(content),
        artifact_bytes=artifact.model.ByteSize(),
    )
    values = {name: builder.values[name] for name in builder.source.outputs}
    return Tflite(content, values, seen, report)
