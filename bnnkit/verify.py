"""Whether every engine computes what was trained: the same bits at every sign, the same class.

The reference executor is what all others are compared with. Signs and classes must be equal; real
outputs may differ by `OUTPUT_TOLERANCE`. A stochastic network is compared in the deterministic
pass, and in samples of several seeds.

One thing is excused, and counted: real numbers may be summed in another order. So the sign of a
real number that lies within `MARGIN` of zero, or of its noise, may differ, where rounding.py says
so, and then what follows from it in the same image. A network whose sums are all integers has no
such sign.

An engine that does not give the signs that it must (coverage.py) is not equal: nothing was
compared there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
from numpy.typing import NDArray

from bnnkit.calibration_record import CalibrationRecord, CalibrationSource, read_calibration
from bnnkit.comparison import Comparison, Evaluation, Tally
from bnnkit.coverage import signs_in_memory, signs_of_modules
from bnnkit.engine import SamplingEngine, fixed_batch
from bnnkit.engines import open_engine
from bnnkit.errors import CheckpointError, MissingExtraError
from bnnkit.reference_run import ReferenceRun
from bnnkit.rivals import open_contestant
from bnnkit.rounding import signs_that_torch_may_round
from bnnkit.runtime import artifact
from bnnkit.runtime.reference import signs_of
from bnnkit.sample import Sample

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[Any]
Evaluate = Callable[[Array, Sample | None], Evaluation | None]
"""What an engine gives, or None where it has no such pass."""

BATCH = 50
THREADS = (1, 2)
SAMPLES = 2
"""Of each seed."""
SEEDS = (0, 2**32 + 1)
"""The second is in both words of the generator's key."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was compared with the reference.

    Attributes:
        n_images: How many images.
        calibration: What the artifact's batch norms were estimated on after the training, which
            torch then has too; None if they were not, or torch was not compared.
        samples: The passes beside the deterministic one, as for the first image.
        comparisons: One for each engine.
        left_out: Engines that could not be compared, and why.
    """

    n_images: int
    calibration: CalibrationSource | None
    samples: tuple[Sample, ...]
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
    samples: int = SAMPLES,
    with_lce: bool = False,
    advance: Callable[[int], object] = lambda n_images: None,
) -> Verification:
    """Run images through all engines and compare.

    Args:
        model: The artifact.
        images: (N, *input_shape), of the input's dtype.
        network: The torch network that it was exported from, in evaluation mode on the CPU; a
            copy is given the batch norms that the artifact was calibrated to.
        samples: Of a stochastic network: how many of each of the `SEEDS`.
        with_lce: Compare Larq Compute Engine too, in the deterministic pass.
        advance: Called with the number of images done since the last call.

    Raises:
        UsageError: The images have another shape or dtype, or hold a NaN.
        UnsupportedError: The runtime, or LCE, cannot execute the model.
        MissingExtraError: LCE is asked for and not installed.
        ArtifactError: The calibration that the model tells is damaged.
    """
    open_engine("bnnkit", model).check(images)
    drawn = _samples(samples) if artifact.is_stochastic(model) else ()
    calibration = None if network is None else read_calibration(model)
    if network is not None and calibration is not None:
        network = _calibrated(network, calibration)
    reference = ReferenceRun(model)
    others, left_out = _others(model, network, images[:1])
    if with_lce:
        others.append(_lce(model, images[:1]))
    size = fixed_batch(model) or BATCH
    for start in range(0, len(images), size):
        batch = images[start : start + size]
        for sample in (None, *(replace(one, image_offset=start) for one in drawn)):
            expected = reference(batch, sample)
            for tally, evaluate in others:
                found = evaluate(batch, sample)
                if found is not None:
                    tally.add(expected, found, first=start, sample=sample)
        advance(len(batch))
    return Verification(
        n_images=len(images),
        calibration=None if calibration is None else calibration.source,
        samples=drawn,
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


def _samples(count: int) -> tuple[Sample, ...]:
    """So many of each seed; the second seed's share their random numbers in pairs."""
    return tuple(
        Sample(seed=seed, index=index, antithetic=seed == SEEDS[1])
        for seed in SEEDS
        for index in range(count)
    )


def _others(
    model: onnx.ModelProto, network: "nn.Module | None", example: Array
) -> tuple[list[tuple[Tally, Evaluate]], dict[str, str]]:
    """Everything that is compared with the reference, and what cannot be."""
    order, left_out = signs_of(model), {}
    others: list[tuple[Tally, Evaluate]] = []
    if network is None:
        left_out["torch"] = "no checkpoint was given"
    else:
        others.append(_torch(model, network, example))
        if _stores_draws(model):
            left_out["torch in samples"] = "the draws of the weights are in the model file alone"
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


def _lce(model: onnx.ModelProto, example: Array) -> tuple[Tally, Evaluate]:
    """Larq Compute Engine on the network as a TFLite file, which has the deterministic pass."""
    engine, order = open_contestant("lce", model), signs_of(model)

    def trace(images: Array) -> dict[str, Array]:
        """Not those before a pool, which a stochastic file has only where it is deterministic."""
        return {name: signs for name, signs in engine.trace(images).items() if name in order}

    def evaluate(images: Array, sample: Sample | None) -> Evaluation | None:
        if sample is not None:
            return None
        return Evaluation(outputs=engine.run(images), signs=trace(images), real={})

    return Tally("lce", order, trace(example).keys()), evaluate


def _calibrated(network: "nn.Module", calibration: CalibrationRecord) -> "nn.Module":
    from bnnkit.norm_statistics import with_statistics

    return with_statistics(network, calibration.statistics)


def _torch(model: onnx.ModelProto, network: "nn.Module", example: Array) -> tuple[Tally, Evaluate]:
    import torch

    from bnnkit.export import sign_laws
    from bnnkit.torch_trace import TorchTrace

    laws = sign_laws(network, torch.from_numpy(example)) if artifact.is_stochastic(model) else None
    trace = TorchTrace(network, signs_that_torch_may_round(model), laws)
    stores_draws = _stores_draws(model)

    def evaluate(images: Array, sample: Sample | None) -> Evaluation | None:
        return None if sample is not None and stores_draws else trace(images, sample)

    return Tally("torch", signs_of(model), signs_of_modules(model, trace.modules)), evaluate


def _stores_draws(model: onnx.ModelProto) -> bool:
    """Whether samples have other weights than the network, which has the likelier ones."""
    return any(node.op_type == "WeightDraw" for node in model.graph.node)


def _evaluator(name: str, model: onnx.ModelProto, threads: int) -> Evaluate:
    engine = open_engine(name, model, threads=threads)
    assert isinstance(engine, SamplingEngine)

    def evaluate(images: Array, sample: Sample | None) -> Evaluation:
        return Evaluation(
            outputs=engine.run(images, sample), signs=engine.trace(images, sample), real={}
        )

    return evaluate
