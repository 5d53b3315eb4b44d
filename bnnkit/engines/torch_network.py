"""A torch network with the `ensemble` of an engine, so that the same code can evaluate it."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.output_kinds import OutputKind
from bnnkit.engines.engine import ensemble_of_passes
from bnnkit.nn import sampling
from bnnkit.nn.evaluating import evaluating
from bnnkit.runtime.ensemble import Ensemble, Kinds
from bnnkit.runtime.inputs import check_inputs
from bnnkit.runtime.quantity import quantity

Array = NDArray[Any]


class TorchNetwork:
    """Class probabilities of a torch network, or probabilities of labels, or real values.

    Args:
        network: Computes logits or values, (N, K); on the CPU.
        input_shape: The shape of one input.
        input_dtype: The element type of the input.
        outputs: What the network's outputs hold: "scores", "log-odds" or "values".
    """

    def __init__(
        self,
        network: nn.Module,
        input_shape: tuple[int, ...],
        input_dtype: str,
        *,
        outputs: OutputKind = "scores",
    ) -> None:
        self._network = network
        self._shape, self._dtype = input_shape, np.dtype(input_dtype)
        self._outputs: OutputKind = outputs
        self._kinds: Kinds = (outputs,)

    def check(self, images: Array) -> None:
        """Raise UsageError if the network does not accept the images, as `check_inputs`."""
        check_inputs(images, self._shape, self._dtype)

    def ensemble(
        self, images: Array, config: EnsembleConfig, *, image_offset: int = 0
    ) -> Ensemble:
        """As `SamplingEngine.ensemble`.

        The sign of a sum may differ from the file's where the rounding of batch norm decides it,
        at most about one sign in a million.

        Raises:
            UsageError: If samples are requested of a network without noise.
        """
        x = torch.from_numpy(images)
        if config.samples == 0:
            return Ensemble.of_deterministic(self._kinds, self._quantities(x, None))
        return ensemble_of_passes(
            lambda sample: self._quantities(x, sample),
            len(images),
            self._kinds,
            config,
            image_offset,
        )

    def _quantities(self, x: torch.Tensor, sample: Sample | None) -> list[Array]:
        with evaluating(self._network), sampling(sample):
            return [quantity(self._outputs, self._network(x).numpy())]
