"""The signs that a torch network computes, by the names that they have in its artifact."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from bnnkit.artifact.format.input_batch import Batch, InputBatch
from bnnkit.artifact.format.sample import Sample
from bnnkit.nn import Quantize, Sign
from bnnkit.nn.evaluating import evaluating
from bnnkit.nn.layer_noise import draw
from bnnkit.nn.noisy_threshold import NoisyThreshold
from bnnkit.nn.sampling import current_sampling, sampling
from bnnkit.nn.several_inputs import Tensors, called
from bnnkit.verification.comparison import BatchResult

Array = NDArray[Any]


class TorchTrace:
    """Runs a network and records the output of every `Sign` module, and the levels of `Quantize`.

    Args:
        network: The network, on the CPU.
        real: The names of signs whose inputs are recorded too, minus the sampled noise.
        thresholds: The noisy thresholds of signs of integer sums, by the number of the sign;
            needed for samples.

    Attributes:
        paths: The names of the signs that it records: the paths of `Sign` modules, as in
            `named_modules`, and the names of the signs at the thresholds of `Quantize` modules and
            of their bit planes.
    """

    def __init__(
        self,
        network: nn.Module,
        real: Collection[str] = (),
        thresholds: Mapping[int, NoisyThreshold] | None = None,
    ) -> None:
        self._network = network
        # For large sums, batch norm in float32 loses the exact integer that a threshold needs.
        self._in_float64 = _in_float64(network) if thresholds else None
        self._real = real
        self._thresholds = thresholds
        # With samples, a level may differ between float32 and float64 at a tie.
        self._quantizers = {} if thresholds else _quantizers(network)
        self.paths = frozenset(_signs(network)) | {
            f"{path}/{name}"
            for path, module in self._quantizers.items()
            for name in module.stored_signs(torch.zeros(1))
        }

    def __call__(self, images: Batch, sample: Sample | None = None) -> BatchResult:
        """Run inputs (N, ...). The second call of a module in a pass is named `path#2`.

        Args:
            images: The inputs of the network.
            sample: The sample whose noise is used; None is the deterministic pass.

        Raises:
            UsageError: If a sample is requested of a network without noise, or the thresholds
                belong to another network.
        """
        x = _tensors(images)
        if sample is None or self._in_float64 is None:
            with sampling(sample, self._thresholds):
                result = self._run(self._network, x, {})
        else:
            result = self._run_sample(self._in_float64, x, sample)
        return result.batch_result()

    def _run_sample(self, wide: nn.Module, x: Tensors, sample: Sample) -> "_Pass":
        """Run a sample: noisy signs as the copy in float64 has them, others as the network does.

        The thresholds of signs without noise are float32's, and float64 is another answer at a
        tie. So each of the two takes the other's signs, until both have the same: at every turn
        at least one more sign in their order is final.
        """
        forced: dict[str, Tensor] = {}
        while True:
            with sampling(sample, self._thresholds):
                noisy = self._run(wide, _as_double(x), forced)
            if not noisy.plain:
                return noisy
            found = self._run(self._network, x, noisy.noisy)
            if all(torch.equal(found.plain[name], sign) for name, sign in noisy.plain.items()):
                found.real |= {name: a for name, a in noisy.real.items() if name in noisy.noisy}
                return found
            forced = found.plain

    def _run(self, network: nn.Module, x: Tensors, forced: Mapping[str, Tensor]) -> "_Pass":
        """Run a network and record its signs; those in `forced` are taken from there."""
        result = _Pass()
        with evaluating(network), self._watching(network, result, forced):
            outputs = called(network, x)
        result.outputs = tuple(one for one in tree_leaves(outputs) if isinstance(one, Tensor))
        return result

    @contextmanager
    def _watching(
        self, network: nn.Module, result: "_Pass", forced: Mapping[str, Tensor]
    ) -> Iterator[None]:
        calls: Counter[str] = Counter()

        def suffix(path: str) -> str:
            calls[path] += 1
            return "" if calls[path] == 1 else f"#{calls[path]}"

        def keep(path: str, module: Sign, a: Tensor, x: Tensor) -> Tensor:
            name = path + suffix(path)
            x = forced.get(name, x).to(x.dtype)
            (result.noisy if module.is_noisy else result.plain)[name] = x.float()
            if name in self._real:
                result.real[name] = _distance(module, a)
            return x

        def keep_levels(path: str, module: Quantize, a: Tensor) -> None:
            call = suffix(path)
            for part, (x, number) in module.stored_signs(a).items():
                name = f"{path}/{part}{call}"
                result.plain[name] = x.float()
                if name in self._real:
                    result.real[name] = number

        handles = [
            module.register_forward_hook(
                lambda module, inputs, output, path=path: keep_levels(path, module, inputs[0])
            )
            for path, module in self._quantizers.items()
        ]
        handles += [
            module.register_forward_hook(
                lambda module, inputs, output, path=path: keep(path, module, inputs[0], output)
            )
            for path, module in _signs(network).items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


@dataclass
class _Pass:
    """A pass of a network: its outputs, its signs by name, and the numbers of some of them."""

    outputs: tuple[Tensor, ...] = ()
    noisy: dict[str, Tensor] = field(default_factory=dict)
    plain: dict[str, Tensor] = field(default_factory=dict)
    real: dict[str, Tensor] = field(default_factory=dict)

    def batch_result(self) -> BatchResult:
        return BatchResult(
            outputs=tuple(output.numpy() for output in self.outputs),
            signs={
                name: (x.numpy() + 1).astype(np.uint8)
                for name, x in (self.noisy | self.plain).items()
            },
            real={name: a.numpy() for name, a in self.real.items()},
        )


def _tensors(batch: Batch) -> Tensors:
    if isinstance(batch, InputBatch):
        return {name: torch.tensor(array) for name, array in batch.arrays.items()}
    return torch.tensor(batch)


def _as_double(x: Tensors) -> Tensors:
    """Return the inputs with those that are real in float64."""
    if isinstance(x, Tensor):
        return x.double() if x.is_floating_point() else x
    return {name: one.double() if one.is_floating_point() else one for name, one in x.items()}


def _signs(network: nn.Module) -> dict[str, Sign]:
    return {path: module for path, module in network.named_modules() if isinstance(module, Sign)}


def _quantizers(network: nn.Module) -> dict[str, Quantize]:
    modules = network.named_modules()
    return {path: module for path, module in modules if isinstance(module, Quantize)}


def _distance(sign: Sign, a: Tensor) -> Tensor:
    """Return the number minus the limit of its sign: 0, or the noise that was just sampled."""
    drawn = current_sampling()
    if drawn is None or not sign.is_noisy:
        return a
    return a - draw(sign.sampled_noise, a.shape, drawn.sample, drawn.calls - 1, a.device)


def _in_float64(network: nn.Module) -> nn.Module:
    """Copy the network to float64; the sums of its integer layers stay exact."""
    return deepcopy(network).double()
