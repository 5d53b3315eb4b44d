"""Re-estimate batch-norm statistics in the mode of deployment."""

from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnnkit.artifact.format.constants import Mode
from bnnkit.artifact.format.sample import Sample
from bnnkit.nn.binary_weight import BinaryWeight
from bnnkit.nn.evaluating import evaluating
from bnnkit.nn.sampling import sampling
from bnnkit.nn.several_inputs import Tensors, called, each

Weights = Literal["maximum-probability", "drawn"]


def recalibrate(
    model: nn.Module,
    batches: Iterable[Tensors],
    mode: Mode,
    *,
    weights: Weights = "maximum-probability",
    seed: int = 0,
) -> None:
    """Re-estimate the statistics of every batch norm in place, in the mode of deployment.

    In training they are collected under sampled weights, whose sums vary more than those of the
    deployed network, which has maximum-probability weights unless weight draws are stored. The
    new mean and variance are plain averages over the batches.

    Args:
        model: The network; its training or evaluation mode is kept.
        batches: Inputs (N, ...) on the model's device: a tensor, or several by name. Without any,
            nothing changes.
        mode: "deterministic": no noise in the signs. "samples": the noise of sample 0, for images
            that are numbered over all batches.
        weights: "maximum-probability", or "drawn": new weights for each batch, as for files that
            store weight draws.
        seed: Seed of the noise and of the weights.

    Raises:
        UsageError: `mode` is "samples" and the network has no noisy signs. The statistics are
            then undefined.
    """
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    images = 0
    with evaluating(model), torch.random.fork_rng():
        torch.manual_seed(seed % 2**63)
        try:
            if weights == "drawn":
                _draw_weights(model)
            for inputs in batches:
                if images == 0:
                    _reset(norms)
                drawn = Sample(seed=seed, image_offset=images) if mode == "samples" else None
                with sampling(drawn):
                    called(model, inputs)
                images += len(next(iter(each(inputs).values())))
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum


def _draw_weights(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, BinaryWeight) and module.noise.name != "none":
            module.train()


def _reset(norms: list[_BatchNorm]) -> None:
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain average over the batches
        norm.train()
