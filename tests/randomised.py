"""Networks and images for tests: random, and where thresholds and signs can break."""

import torch
from torch import Tensor, nn


def randomise(model: nn.Module, images: Tensor, seed: int) -> None:
    """Fit batch norms to the images; then negative, zero and tiny scales, and ties with sums."""
    generator = torch.Generator().manual_seed(seed)
    norms = [
        module for module in model.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
    ]
    for norm in norms:
        norm.momentum = 1.0
    model.train()(images)
    model.eval()
    with torch.no_grad():
        for norm in norms:
            channels = norm.num_features
            kind = torch.randint(0, 6, (channels,), generator=generator)
            scale = torch.randn(channels, generator=generator)
            norm.weight.copy_(
                torch.where(kind == 0, 0.0, torch.where(kind == 1, scale * 1e-6, scale))
            )
            norm.bias.copy_(
                torch.where(kind == 2, 0.0, torch.randn(channels, generator=generator) * 0.3)
            )
            mean = norm.get_buffer("running_mean")
            mean.copy_(torch.where(kind == 2, mean.round(), mean))


def images_of(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(
        0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
