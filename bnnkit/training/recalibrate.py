"""Batch-norm statistics of the network as it is deployed."""

from collections.abc import Iterable
from typing import Literal

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnnkit.nn import sampling
from bnnkit.nn.evaluating import evaluating
from bnnkit.sample import Sample

Deployment = Literal["deterministic", "samples"]


def recalibrate(
    model: nn.Module, batches: Iterable[Tensor], mode: Deployment, *, seed: int = 0
) -> None:
    """Estimate the statistics of every batch norm anew, in place, in the mode of deployment.

    In training they are gathered under sampled weights, whose sums vary more than those of the
    network that is deployed, which has the likelier value of every weight. The new mean and
    variance are plain averages over the batches.

    Args:
        model: In any mode, which it keeps.
        batches: Inputs (N, ...) on the model's device. Without any, nothing changes.
        mode: "deterministic" has no noise in the signs either; with "samples" it is drawn, as
            for sample 0 of images that are numbered over all batches.
        seed: Of that noise.

    Raises:
        UsageError: "samples" of a network without noisy signs; the statistics are spoilt then.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    images = 0
    with evaluating(model):
        try:
            for inputs in batches:
                if images == 0:
                    _start_anew(norms)
                drawn = Sample(seed=seed, image_offset=images) if mode == "samples" else None
                with sampling(drawn):
                    model(inputs)
                images += len(inputs)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum


def _start_anew(norms: list[_BatchNorm]) -> None:
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
        norm.train()
