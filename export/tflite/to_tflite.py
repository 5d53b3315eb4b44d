"""MODEL.onnx to MODEL.tflite."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx

from bnnkit.atomic import write_bytes
from bnnkit.errors import UnsupportedError, UsageError
from bnnkit.export.tflite import lower, source, writer
from bnnkit.export.tflite.draft import Draft
from bnnkit.export.tflite.layout import settled
from bnnkit.export.tflite.report import TfliteReport
from bnnkit.export.tflite.values import Value


@dataclass(frozen=True)
class Tflite:
    """A .tflite file and where the artifact's values are in it.

    Attributes:
        content: The file.
        outputs: The artifact's outputs, in the order of the file's.
        traced: Signs that are further outputs, in that order.
        report: What each choice cost.
    """

    content: bytes
    outputs: dict[str, Value]
    traced: dict[str, Value]
    report: TfliteReport


def export_tflite(model: onnx.ModelProto, path: Path, *, batch: int = 1) -> TfliteReport:
    """Write an artifact as a .tflite file for Larq Compute Engine.

    Images are NHWC, uint8 or float32 as the artifact's; scores are as the artifact's. All signs
    are those of the artifact, bit for bit, in each of LCE's kernels. The same artifact gives the
    same bytes.

    Args:
        model: A deterministic artifact (docs/artifact.md).
        path: The file, which is replaced as a whole or not at all.
        batch: Images in a run; a .tflite file has a fixed number.

    Returns:
        The operators, and what is not written as one operator of LCE, why, and what it costs.

    Raises:
        UsageError: The batch is not positive.
        UnsupportedError: A node has no form in TFLite; the message names it.
        FileError: The file cannot be written.
    """
    tflite = to_tflite(model, batch=batch)
    write_bytes(path, tflite.content)
    return tflite.report


def to_tflite(model: onnx.ModelProto, *, batch: int = 1, traced: Sequence[str] = ()) -> Tflite:
    """The file that `export_tflite` writes, with more outputs if some signs are to be traced.

    Args:
        model: The artifact.
        batch: Images in a run.
        traced: Names of signs. Those that do not exist in the file, as the two operators around
            them have become one, are left out.

    Raises:
        UsageError, UnsupportedError: As `export_tflite`.
    """
    if batch < 1:
        raise UsageError(f"expected a batch of at least 1 image, got {batch}")
    if any(node.op_type in ("StochasticSign", "WeightDraw") for node in model.graph.node):
        raise UnsupportedError(
            "expected a deterministic artifact, as TFLite has no noise, got a stochastic one;"
            " export it with mode='deterministic', or give bnnkit.runtime.deterministic's"
        )
    draft = lower.lower(source.read(model), batch)
    outputs = lower.outputs(draft)
    seen = {name: settled(draft, draft.values[name]) for name in traced if name in draft.values}
    network = draft.network([0], outputs + [value.tensor for value in seen.values()])
    content = writer.to_bytes(network)
    report = _report(draft, Counter(op.name for op in network.operators), model, len(content))
    values = {name: draft.values[name] for name in draft.source.outputs}
    return Tflite(content, values, seen, report)


def _report(
    draft: Draft, operators: Counter[str], model: onnx.ModelProto, file_bytes: int
) -> TfliteReport:
    return TfliteReport(
        batch=draft.batch,
        input_shape=draft.shape(0),
        operators=dict(sorted(operators.items())),
        choices=tuple(draft.choices),
        file_bytes=file_bytes,
        artifact_bytes=model.ByteSize(),
    )
