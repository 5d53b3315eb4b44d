"""The signs that a torch network computes, by the names that they have in its artifact."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnnkit.artifact.format.sample import Sample
from bnnkit.nn import IntegerConv2d, IntegerLinear, Sign
from bnnkit.nn.evaluating import evaluating
from bnnkit.nn.layer_noise import draw
from bnnkit.nn.noisy_threshold import NoisyThreshold
from bnnkit.nn.sampling import current_sampling, sampling
from bnnkit.verification.comparison import BatchResult

Array = NDArray[Any]


class TorchTrace:
    """Runs a network and records the output of every `Sign` module.

    Args:
        network: The network, on the CPU.
        real: The names of signs whose inputs are recorded too, minus the sampled noise.
        thresholds: The noisy thresholds of signs of integer sums, by the number of the sign;
            needed for samples.

    Attributes:
        modules: The `Sign` modules by path, as in `named_modules`.
    """

    def __init__(
        self,
        network: nn.Module,
        real: Collection[str] = (),
        thresholds: Mapping[int, NoisyThreshold] | None = None,
    ) -> None:
        self._network = network
        # For large sums, batch norm in float32 loses the exact integer that a threshold needs.
        self._sampled = _in_float64(network) if thresholds else network
        self._dtype = torch.float64 if thresholds else torch.float32
        self._real = real
        self._thresholds = thresholds
        self.modules = _signs(network)

    def __call__(self, images: Array, sample: Sample | None = None) -> BatchResult:
        """Run images (N, ...). The second call of a module in a pass is named `path#2`.

        Args:
            images: uint8 or float32.
            sample: The sample whose noise is used; None is the deterministic pass.

        Raises:
            UsageError: If a sample is requested of a network without noise, or the thresholds
                belong to another network.
        """
        signs: dict[str, Array] = {}
        real: dict[str, Array] = {}
        x = torch.tensor(images)
        network = self._network if sample is None else self._sampled
        if sample is not None and x.is_floating_point():
            x = x.to(self._dtype)
        watching = self._watching(network, signs, real)
        with evaluating(network), watching, sampling(sample, self._thresholds):
            result = network(x)
        outputs = (result,) if isinstance(result, Tensor) else tuple(result)
        return BatchResult(
            outputs=tuple(output.numpy() for output in outputs), signs=signs, real=real
        )

    @contextmanager
    def _watching(
        self, network: nn.Module, signs: dict[str, Array], real: dict[str, Array]
    ) -> Iterator[None]:
        calls: Counter[str] = Counter()

        def keep(path: str, module: Sign, a: Tensor, x: Tensor) -> None:
            calls[path] += 1
            name = path if calls[path] == 1 else f"{path}#{calls[path]}"
            signs[name] = (x.numpy() + 1).astype(np.uint8)
            if name in self._real:
                real[name] = _distance(module, a).numpy()

        handles = [
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


def _signs(network: nn.Module) -> dict[str, Sign]:
    return {path: module for path, module in network.named_modules() if isinstance(module, Sign)}


def _distance(sign: Sign, a: Tensor) -> Tensor:
    """Return the number minus the limit of its sign: 0, or the noise that was just sampled."""
    drawn = current_sampling()
    if drawn is None or not sign.is_noisy:
        return a
    return a - draw(sign.sampled_noise, a.shape, drawn.sample, drawn.calls - 1, a.device)


def _in_float64(network: nn.Module) -> nn.Module:
    """Copy the network to float64; the sums of its integer layers stay exact."""
    copy = deepcopy(network).double()
    for module in copy.modules():
        if isinstance(module, IntegerConv2d | IntegerLinear):
            module.register_forward_hook(lambda module, inputs, sums: sums.double())
    return copy
