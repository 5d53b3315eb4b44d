"""Everything that `verify` compares with the reference: torch, the engines, and LCE."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.rounding import signs_that_torch_may_round
from bnnkit.artifact.sample import Sample
from bnnkit.engines import open_engine
from bnnkit.engines.engine import Engine, SamplingEngine
from bnnkit.engines.lce import Kernel, LarqComputeEngine
from bnnkit.engines.lce_file import LceOnFile
from bnnkit.errors import BnnkitError, MissingExtraError
from bnnkit.tflite.channels_last import as_network_takes
from bnnkit.verification.comparison import Evaluation, Tally
from bnnkit.verification.coverage import signs_in_memory, signs_of_modules

if TYPE_CHECKING:
    from torch import nn

Array = NDArray[Any]
Evaluate = Callable[[Array, Sample | None], Evaluation | None]
"""What an engine gives, or None where it has no such pass."""
Compared = tuple[Tally, Evaluate]

THREADS = (1, 2)


class Comparees:
    """What is compared, and what cannot be.

    Args:
        artifact: The artifact.
        example: An image or more, by which engines tell which signs they give.

    Attributes:
        compared: Each with its tally.
        left_out: Names, and why.
    """

    def __init__(self, artifact: Artifact, example: Array) -> None:
        self._artifact, self._example = artifact, example
        self._order = artifact.signs
        self.compared: list[Compared] = []
        self.left_out: dict[str, str] = {}

    def add_torch(self, network: "nn.Module | None") -> None:
        """The trained network, if there is one."""
        if network is None:
            self.left_out["torch"] = "no checkpoint was given"
            return
        self.compared.append(self._torch(network))
        if self._artifact.has_weight_draws:
            self.left_out["torch in samples"] = "the draws of the weights are in the model file"

    def add_engines(self) -> None:
        """ONNX Runtime where it is installed, and bnnkit's runtime."""
        try:
            evaluate = self._evaluator("onnxruntime", 1)
            self.compared.append((Tally("onnxruntime", self._order, self._order), evaluate))
        except MissingExtraError as error:
            self.left_out["onnxruntime"] = str(error)
        for threads in THREADS:
            name = f"bnnkit, {threads} thread{'s' * (threads > 1)}"
            tally = Tally(name, self._order, signs_in_memory(self._artifact))
            self.compared.append((tally, self._evaluator("bnnkit", threads)))

    def add_lce(self) -> None:
        """Larq Compute Engine: on the file itself if that is TFLite, else on the file's export.

        Raises:
            BnnkitError: It is not installed, or cannot run the file.
        """
        self.compared.append(self._lce())

    def try_lce(self) -> None:
        """The same where that can be."""
        try:
            self.add_lce()
        except BnnkitError as error:
            self.left_out["lce"] = str(error)

    def _torch(self, network: "nn.Module") -> Compared:
        import torch

        from bnnkit.export import noisy_thresholds
        from bnnkit.verification.torch_trace import TorchTrace

        artifact, thresholds = self._artifact, None
        if artifact.is_stochastic:
            thresholds = noisy_thresholds(network, torch.from_numpy(self._example))
        trace = TorchTrace(network, signs_that_torch_may_round(artifact), thresholds)
        ranks = _ranks(artifact)

        def evaluate(images: Array, sample: Sample | None) -> Evaluation | None:
            if sample is not None and artifact.has_weight_draws:
                return None
            if artifact.tflite_source is None:
                return trace(images, sample)
            found = trace(as_network_takes(images), sample)
            # A .tflite file keeps the names of those tensors alone that it holds packed.
            signs = {name: x for name, x in found.signs.items() if name in ranks}
            return Evaluation(
                outputs=found.outputs,
                signs={name: _of_rank(x, ranks[name]) for name, x in signs.items()},
                real={name: _of_rank(found.real[name], ranks[name]) for name in found.real},
            )

        return Tally("torch", self._order, signs_of_modules(artifact, trace.modules)), evaluate

    def _lce(self) -> Compared:
        """Its pass without noise, and of that no signs that only a stochastic file has."""
        name, engine = self._lce_engine()
        order = set(self._order)

        def evaluate(images: Array, sample: Sample | None) -> Evaluation | None:
            if sample is not None:
                return None
            return Evaluation(
                outputs=engine.run(images), signs=_those(engine, images, order), real={}
            )

        return Tally(name, self._order, order.intersection(engine.signs)), evaluate

    def _lce_engine(self) -> tuple[str, LarqComputeEngine | LceOnFile]:
        if self._artifact.tflite_source is None:
            return "lce", LarqComputeEngine(self._artifact)
        # The fast kernels correct zero padding behind a rounding: other last bits.
        kernel: Kernel = "reference"
        return f"lce, {kernel} kernel", LceOnFile(self._artifact, kernel=kernel)

    def _evaluator(self, name: str, threads: int) -> Evaluate:
        engine = open_engine(name, self._artifact, threads=threads)
        assert isinstance(engine, SamplingEngine)

        def evaluate(images: Array, sample: Sample | None) -> Evaluation:
            return Evaluation(
                outputs=engine.run(images, sample), signs=engine.trace(images, sample), real={}
            )

        return evaluate


def _ranks(artifact: Artifact) -> dict[str, int]:
    """How many axes the signs have whose shapes the artifact holds."""
    signs, graph = set(artifact.signs), artifact.model.graph
    known = (*graph.value_info, *graph.output)
    return {v.name: len(v.type.tensor_type.shape.dim) for v in known if v.name in signs}


def _of_rank(x: Array, rank: int) -> Array:
    """A vector (N, F) as a map of one pixel, where a file has it as one."""
    return x[:, :, None, None] if x.ndim == 2 and rank == 4 else x


def _those(engine: Engine, images: Array, names: Iterable[str]) -> dict[str, Array]:
    traced = engine.trace(images)
    return {name: traced[name] for name in traced if name in names}
