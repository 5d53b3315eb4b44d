"""The signs that a torch network gives, by the names that they have in its artifact."""

from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bnnkit.comparison import Evaluation
from bnnkit.nn import Sign
from bnnkit.nn.evaluating import evaluating

Array = NDArray[Any]


class TorchTrace:
    """Evaluates a network and keeps what every `Sign` module gives.

    Args:
        network: On the CPU.
        real: Names of signs whose inputs are kept too.

    Attributes:
        modules: The `Sign` modules, by their path.
    """

    def __init__(self, network: nn.Module, real: Collection[str] = ()) -> None:
        self._network = network
        self._real = real
        self.modules = {
            path: module for path, module in network.named_modules() if isinstance(module, Sign)
        }

    def __call__(self, images: Array) -> Evaluation:
        """Evaluate images (N, ...). The second call of a module in a pass is named `path#2`."""
        signs: dict[str, Array] = {}
        real: dict[str, Array] = {}
        with evaluating(self._network), self._watching(signs, real):
            result = self._network(torch.tensor(images))
        outputs = (result,) if isinstance(result, Tensor) else tuple(result)
        return Evaluation(
            outputs=tuple(output.numpy() for output in outputs), signs=signs, real=real
        )

    @contextmanager
    def _watching(self, signs: dict[str, Array], real: dict[str, Array]) -> Iterator[None]:
        calls: Counter[str] = Counter()

        def keep(path: str, x: Tensor, y: Tensor) -> None:
            calls[path] += 1
            name = path if calls[path] == 1 else f"{path}#{calls[path]}"
            signs[name] = (y.numpy() + 1).astype(np.uint8)
            if name in self._real:
                real[name] = x.numpy()

        handles = [
            module.register_forward_hook(
                lambda module, inputs, output, path=path: keep(path, inputs[0], output)
            )
            for path, module in self.modules.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()
