"""The reference executor: slow and plain; all other engines are compared with it.

Standard operators are ONNX's own reference implementation, except those of the files
reference_*.py beside this one, so they are independent of `bnnkit.artifact.standard`, which the
runtime uses.
Operators of the domain bnnkit are the references in `bnnkit.artifact.operators`.
"""

from typing import Any, Final

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnx.reference.ops.op_dequantize_linear import DequantizeLinear_19 as OnnxDequantizeLinear

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.constants import DOMAIN, OPSET
from bnnkit.artifact.format.input_batch import Batch, feeds
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.operators import OPERATORS
from bnnkit.artifact.operators.facts import with_result
from bnnkit.artifact.operators.operator import Operator
from bnnkit.artifact.reference_convolution import Conv, ConvTranspose
from bnnkit.artifact.reference_float64 import FLOAT64_OPERATORS
from bnnkit.artifact.reference_grid_sample import GridSample
from bnnkit.artifact.reference_pad import Pad
from bnnkit.artifact.reference_pooling import AveragePool, MaxPool
from bnnkit.artifact.reference_recurrent import RECURRENT_OPERATORS, check_recurrent
from bnnkit.artifact.reference_slice import Slice
from bnnkit.errors import UnsupportedError, UsageError

Array = NDArray[Any]


def _op_run(operator: Operator) -> type[OpRun]:
    """Wrap an operator of bnnkit for ONNX's reference implementation."""

    def run(self: OpRun, *inputs: Array, **attributes: Any) -> tuple[Array, ...]:
        return operator.reference(*inputs, **attributes)

    return type(operator.name, (OpRun,), {"op_domain": DOMAIN, "_run": run})


class DequantizeLinear(OnnxDequantizeLinear):
    """That of opset 19 in earlier ones, which ONNX's reference lacks."""

    op_domain = ""

    def _run(self, *inputs: Array, axis: int | None = None, **_: Any) -> Any:  # type: ignore[override]
        run: Any = super()._run
        return run(*inputs, axis=1 if axis is None else axis)


_NEW_OPERATORS: Final[tuple[type[OpRun], ...]] = (
    *map(_op_run, OPERATORS.values()),
    AveragePool,
    Conv,
    ConvTranspose,
    GridSample,
    MaxPool,
    Pad,
    Slice,
    *FLOAT64_OPERATORS,
    *RECURRENT_OPERATORS,
)

_REFUSED: Final = {
    **dict.fromkeys(with_result("random"), "its result is random"),
    **dict.fromkeys(("Loop", "Scan"), "ONNX's reference departs from its definition"),
}
"""Operators that are refused, and why."""


class Reference:
    """Executes a network, one operator after the other."""

    def __init__(self, artifact: Artifact) -> None:
        """Prepare a network.

        Raises:
            UnsupportedError: If it has no input without a default, an output that is no array,
                or an operator that the reference cannot execute.
        """
        self._artifact = artifact
        self._inputs = _inputs(artifact.model.graph)
        self._evaluator = _evaluator(_without_bodies(artifact.model))

    def run(self, images: Batch, sample: Sample | None = None) -> list[Array]:
        """Compute the model's outputs.

        Args:
            images: The inputs, (N, ...).
            sample: The sample whose noise is used; None is the deterministic pass.

        Raises:
            UsageError: If a sample is requested of a deterministic file, or an index is out of
                range.
        """
        return list(self._evaluated(images, sample, intermediate=False))

    def trace(self, images: Batch, sample: Sample | None = None) -> dict[str, Array]:
        """Return all sign tensors by name, uint8, 0 for -1 and 2 for +1; arguments as in `run`."""
        values = self.run_all(images, sample)
        return {name: values[name] for name in self._artifact.signs}

    def run_all(self, images: Batch, sample: Sample | None = None) -> dict[str, Array]:
        """Compute every value of the network, by name; arguments as in `run`."""
        return dict(self._evaluated(images, sample, intermediate=True))

    def _evaluated(self, images: Batch, sample: Sample | None, *, intermediate: bool) -> Any:
        feeds = self._feeds(images, sample)
        try:
            with np.errstate(all="ignore"):  # exp overflows in the sigmoid of large numbers
                return self._evaluator.run(None, feeds, intermediate=intermediate)
        except IndexError as error:
            raise UsageError(
                f"an index computed from the inputs is out of range: {error}"
            ) from error

    def _feeds(self, images: Batch, sample: Sample | None) -> dict[str, Any]:
        if sample is not None and not self._artifact.is_stochastic:
            raise UsageError("the file is deterministic: run it without a sample")
        return {**feeds(self._inputs, images), **sampling_feeds(sample)}


def sampling_feeds(sample: Sample | None) -> dict[str, Array]:
    """Return the inputs that choose a sample of a stochastic file, by name; empty for no noise."""
    if sample is None:
        return {}
    return {
        "sample": np.array(sample.index, np.int64),
        "seed": np.array(sample.seed, np.uint64),
        "image_offset": np.array(sample.image_offset, np.int64),
        "antithetic": np.array(sample.antithetic),
    }


def _inputs(graph: onnx.GraphProto) -> tuple[str, ...]:
    """Return the names of the inputs of a graph of arrays."""
    defaults = {tensor.name for tensor in graph.initializer}
    names = tuple(value.name for value in graph.input if value.name not in defaults)
    if not names:
        raise UnsupportedError("expected a model with an input, this one has none")
    for value in graph.output:
        if value.type.WhichOneof("value") not in ("tensor_type", None):
            raise UnsupportedError(f"expected the output {value.name!r} to be an array")
    return names


def _evaluator(model: onnx.ModelProto) -> ReferenceEvaluator:
    """Return ONNX's reference implementation of a model.

    Raises:
        UnsupportedError: If it lacks an operator, or one cannot be compared with other engines.
    """
    opset = next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), OPSET)
    operators: list[type[OpRun]] = [*_NEW_OPERATORS, *([DequantizeLinear] if opset < 19 else [])]
    for node in [*model.graph.node, *(n for body in model.functions for n in body.node)]:
        if node.op_type in _REFUSED and node.domain in ("", "ai.onnx"):
            raise UnsupportedError(
                f"node {node.name!r} ({node.op_type}): {_REFUSED[node.op_type]}, so the reference"
                " cannot execute it"
            )
        check_recurrent(node)
    try:
        return ReferenceEvaluator(model, new_ops=operators)
    except RuntimeError as error:
        reason = str(error).split(",")[0]  # the rest speaks of ONNX's own classes
        raise UnsupportedError(f"the reference cannot execute the file: {reason}") from error


def _without_bodies(model: onnx.ModelProto) -> onnx.ModelProto:
    """Remove bnnkit's function bodies, so that the references are used instead."""
    others = [function for function in model.functions if function.domain != DOMAIN]
    if len(others) == len(model.functions):
        return model
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.functions[:]
    bare.functions.extend(others)
    return bare
