"""Whether every engine computes what was trained: the same bits at every sign, the same class.

The reference executor is what all others are compared with. Signs and classes must be equal; real
outputs may differ by `OUTPUT_TOLERANCE`.

One thing is excused, and counted: real numbers may be summed in another order. So the sign of a
real number that lies within `MARGIN` of zero may differ, where rounding.py says so, and then what
follows from it in the same image. A network whose sums are all integers has no such sign.

An engine that does not give the signs that it must (coverage.py) is not equal: nothing was
compared there.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from numpy.typing import NDArray

from bnnkit.comparison import Comparison, Evaluation, Tally
from bnnkit.coverage import signs_in_memory, signs_of_modules
from bnnkit.engines import fixed_batch, open_engine, with_outputs
from bnnkit.errors import CheckpointError, MissingExtraError
from bnnkit.rounding import signs_that_engines_may_round, signs_that_torch_may_round
from bnnkit.runtime import artifact
from bnnkit.runtime.reference import Reference, signs_of

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[Any]
Evaluate = Callable[[Array], Evaluation]

BATCH = 50
THREADS = (1, 2)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was compared with the reference.

    Attributes:
        n_images: How many images.
        comparisons: One for each engine.
        left_out: Engines that could not be compared, and why.
    """

    n_images: int
    comparisons: tuple[Comparison, ...]
    left_out: dict[str, str]

    @property
    def is_equal(self) -> bool:
        """Whether no engine differs."""
        return all(comparison.is_equal for comparison in self.comparisons)


def verify(
    model: onnx.ModelProto,
    images: Array,
    *,
    network: "nn.Module | None" = None,
    advance: Callable[[int], object] = lambda n_images: None,
) -> Verification:
    """Run images through all engines and compare.

    Args:
        model: The artifact.
        images: (N, *input_shape), of the input's dtype.
        network: The torch network that it was exported from, in evaluation mode on the CPU.
        advance: Called with the number of images done since the last call.

    Raises:
        UsageError: The images have another shape or dtype, or hold a NaN.
        UnsupportedError: The runtime cannot execute the model.
    """
    open_engine("bnnkit", model).check(images)
    reference = _ReferenceRun(model)
    others, left_out = _others(model, network)
    size = fixed_batch(model) or BATCH
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        expected = reference(batch)
        for tally, evaluate in others:
            tally.add(expected, evaluate(batch))
        advance(len(batch))
    return Verification(
        n_images=len(images),
        comparisons=tuple(tally.comparison() for tally, _ in others),
        left_out=left_out,
    )


def check_pair(checkpoint: Path, model: onnx.ModelProto, *, name: str = "the model") -> None:
    """Refuse a model that does not say that it was exported from the checkpoint.

    Args:
        checkpoint: A run's folder, or the checkpoint in it.
        model: The artifact.
        name: Of its file, for messages.

    Raises:
        CheckpointError: It names another one or none, or there is no checkpoint.
    """
    from bnnkit.training import checkpoint_sha256

    expected = artifact.metadata(model).get("checkpoint")
    found = checkpoint_sha256(checkpoint)
    if expected is None:
        raise CheckpointError(
            f"{name} does not say which checkpoint it was made from: verify it without one"
        )
    if expected != found:
        raise CheckpointError(
            f"{checkpoint} is not the checkpoint that the model was exported from: expected sha256"
            f" {expected[:12]}..., got {found[:12]}...; export it again"
        )


class _ReferenceRun:
    """Everything of interest in one pass of the reference."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._outputs = [value.name for value in model.graph.output]
        self._signs = signs_of(model)
        self._inputs = signs_that_engines_may_round(model)
        names = [*self._signs, *self._inputs.values()]
        extended = with_outputs(model, names)
        self._names = [value.name for value in extended.graph.output]
        self._reference = Reference(extended)

    def __call__(self, images: Array) -> Evaluation:
        values = dict(zip(self._names, self._reference.run(images), strict=True))
        return Evaluation(
            outputs=tuple(values[name] for name in self._outputs),
            signs={name: values[name] for name in self._signs},
            real={sign: values[name] for sign, name in self._inputs.items()},
        )


def _others(
    model: onnx.ModelProto, network: "nn.Module | None"
) -> tuple[list[tuple[Tally, Evaluate]], dict[str, str]]:
    """Everything that is compared with the reference, and what cannot be."""
    order, left_out = signs_of(model), {}
    others: list[tuple[Tally, Evaluate]] = []
    if network is None:
        left_out["torch"] = "no checkpoint was given"
    else:
        from bnnkit.torch_trace import TorchTrace

        real = signs_that_torch_may_round(model)
        trace = TorchTrace(network, real)
        others.append((Tally("torch", order, signs_of_modules(model, trace.modules)), trace))
    try:
        evaluator = _evaluator("onnxruntime", model, 1)
        others.append((Tally("onnxruntime", order, order), evaluator))
    except MissingExtraError as error:
        left_out["onnxruntime"] = str(error)
    for threads in THREADS:
        name = f"bnnkit, {threads} thread{'s' * (threads > 1)}"
        tally = Tally(name, order, signs_in_memory(model))
        others.append((tally, _evaluator("bnnkit", model, threads)))
    return others, left_out


def _evaluator(name: str, model: onnx.ModelProto, threads: int) -> Evaluate:
    engine = open_engine(name, model, threads=threads)

    def evaluate(images: Array) -> Evaluation:
        return Evaluation(outputs=engine.run(images), signs=engine.trace(images), real={})

    return evaluate
