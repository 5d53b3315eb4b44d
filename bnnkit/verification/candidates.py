"""The candidates that `verify` compares with the reference: torch, the engines, and LCE."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.input_batch import Batch, InputBatch, feeds
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.rounding import signs_that_torch_may_round
from bnnkit.artifact.sign_axes import as_stored, channels_last_signs
from bnnkit.engines import open_engine
from bnnkit.engines.engine import Engine, SamplingEngine
from bnnkit.engines.lce import Kernel, LarqComputeEngine
from bnnkit.engines.lce_file import LceOnFile
from bnnkit.errors import BnnkitError, MissingExtraError
from bnnkit.tflite.channels_last import as_network_takes
from bnnkit.verification.comparison import BatchResult, Tally
from bnnkit.verification.coverage import modules_of_rows, signs_in_memory, signs_of_modules

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[Any]
RunBatch = Callable[[Batch, Sample | None], BatchResult | None]
"""Runs a candidate on images; returns None if it cannot run with the noise of a sample."""
Candidate = tuple[Tally, RunBatch]

THREADS = (1, 2)


class Candidates:
    """The candidates that can be compared, and the reasons why others cannot.

    Args:
        artifact: The artifact.
        example: At least one image, for finding the noisy thresholds of the torch network.

    Attributes:
        runnable: The candidates that are compared, each with its tally.
        left_out: Why the others are not compared, by name.
    """

    def __init__(self, artifact: Artifact, example: Batch) -> None:
        self._artifact, self._example = artifact, example
        self._order = artifact.signs
        self.runnable: list[Candidate] = []
        self.left_out: dict[str, str] = {}

    def add_torch(self, network: "nn.Module | None") -> None:
        """Add the trained network, if there is one."""
        if network is None:
            self.left_out["torch"] = "no checkpoint was given"
            return
        self.runnable.append(self._torch(network))
        if self._artifact.has_weight_draws:
            self.left_out["torch in samples"] = "the sampled weights are only in the model file"

    def add_engines(self) -> None:
        """Add ONNX Runtime if it is installed, and bnnkit's runtime."""
        try:
            run = self._run_of_engine("onnxruntime", 1)
            self.runnable.append((self._tally("onnxruntime", self._order), run))
        except MissingExtraError as error:
            self.left_out["onnxruntime"] = str(error)
        for threads in THREADS:
            name = f"bnnkit, {threads} thread{'s' * (threads > 1)}"
            tally = self._tally(name, signs_in_memory(self._artifact))
            self.runnable.append((tally, self._run_of_engine("bnnkit", threads)))

    def add_lce(self) -> None:
        """Add Larq Compute Engine: on the .tflite file itself, or on an export of the .onnx file.

        Raises:
            BnnkitError: If LCE is not installed, or cannot run the file.
        """
        self.runnable.append(self._lce())

    def try_lce(self) -> None:
        """Add Larq Compute Engine, or record in `left_out` why it cannot be compared."""
        try:
            self.add_lce()
        except BnnkitError as error:
            self.left_out["lce"] = str(error)

    def _tally(self, engine: str, required: Collection[str]) -> Tally:
        return Tally(engine, self._order, required, self._artifact.output_kinds)

    def _torch(self, network: "nn.Module") -> Candidate:
        from bnnkit.export import noisy_thresholds
        from bnnkit.verification.torch_trace import TorchTrace

        artifact, thresholds = self._artifact, None
        if artifact.is_stochastic:
            thresholds = noisy_thresholds(network, _tensors(self._example))
        trace = TorchTrace(network, signs_that_torch_may_round(artifact), thresholds)
        ranks, channels_last = _ranks(artifact), channels_last_signs(artifact)
        of_rows = modules_of_rows(artifact)

        def stored(found: BatchResult) -> BatchResult:
            def one(name: str, x: Array) -> Array:
                return as_stored(x, ranks.get(name, x.ndim), channels_last=name in channels_last)

            return replace(
                found,
                signs={
                    name: one(name, x)
                    for name, x in found.signs.items()
                    if name.partition("#")[0] not in of_rows
                },
                real={name: one(name, x) for name, x in found.real.items()},
            )

        def run(images: Batch, sample: Sample | None) -> BatchResult | None:
            if sample is not None and artifact.has_weight_draws:
                return None
            if artifact.tflite_source is None:
                return _without_repeated(stored(trace(images, sample)), artifact.signs)
            only = next(iter(feeds(artifact.graph.input_names, images).values()))
            found = trace(as_network_takes(only), sample)
            # A .tflite file names the signs of packed tensors only.
            signs = {name: x for name, x in found.signs.items() if name in ranks}
            return BatchResult(
                outputs=found.outputs,
                signs={name: _of_rank(x, ranks[name]) for name, x in signs.items()},
                real={name: _of_rank(found.real[name], ranks[name]) for name in found.real},
            )

        return self._tally("torch", signs_of_modules(artifact, trace.paths)), run

    def _lce(self) -> Candidate:
        """Compare the pass without noise, at the signs that the artifact has too."""
        name, engine = self._lce_engine()
        order = set(self._order)

        def run(images: Batch, sample: Sample | None) -> BatchResult | None:
            if sample is not None:
                return None
            return BatchResult(
                outputs=engine.run(images), signs=_trace_only(engine, images, order), real={}
            )

        return self._tally(name, order.intersection(engine.signs)), run

    def _lce_engine(self) -> tuple[str, LarqComputeEngine | LceOnFile]:
        if self._artifact.tflite_source is None:
            return "lce", LarqComputeEngine(self._artifact)
        # The fast kernels correct zero padding after a rounding, which changes the last bits.
        kernel: Kernel = "reference"
        return f"lce, {kernel} kernel", LceOnFile(self._artifact, kernel=kernel)

    def _run_of_engine(self, name: str, threads: int) -> RunBatch:
        engine = open_engine(name, self._artifact, threads=threads)
        assert isinstance(engine, SamplingEngine)

        def run(images: Batch, sample: Sample | None) -> BatchResult:
            return BatchResult(
                outputs=engine.run(images, sample), signs=engine.trace(images, sample), real={}
            )

        return run


def _tensors(batch: Batch) -> Any:
    """Return inputs as `noisy_thresholds` takes them."""
    return dict(batch.arrays) if isinstance(batch, InputBatch) else batch


def _without_repeated(found: BatchResult, names: Collection[str]) -> BatchResult:
    """Leave out signs that the artifact lacks and that repeat others which it has.

    Torch's exporter merges two `Sign` modules without noise that take the same numbers.
    """
    known = {sign.tobytes() for name, sign in found.signs.items() if name in names}
    signs = {
        name: sign
        for name, sign in found.signs.items()
        if name in names or sign.tobytes() not in known
    }
    return replace(found, signs=signs)


def _ranks(artifact: Artifact) -> dict[str, int]:
    """Return the number of axes of the signs whose shapes the artifact states, by name."""
    signs, graph = set(artifact.signs), artifact.model.graph
    known = (*graph.value_info, *graph.output)
    return {v.name: len(v.type.tensor_type.shape.dim) for v in known if v.name in signs}


def _of_rank(x: Array, rank: int) -> Array:
    """Reshape a vector (N, F) to (N, F, 1, 1) if the file has it as a map of one pixel."""
    return x[:, :, None, None] if x.ndim == 2 and rank == 4 else x


def _trace_only(engine: Engine, images: Batch, names: Iterable[str]) -> dict[str, Array]:
    traced = engine.trace(images)
    return {name: traced[name] for name in traced if name in names}
