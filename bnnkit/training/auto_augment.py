"""Augmentation by a random policy of torchvision: RandAugment and its relatives.

torchvision draws one operation for all images that it is given together. So that an epoch has many
draws, and a batch has images of many, all training images are put into groups at random at the
start of each epoch, and each group is given to torchvision by itself. Images of a batch lie in
groups that are independent of the batch. The images stay on their device.

References:
    Cubuk et al., RandAugment, 2019, https://arxiv.org/abs/1909.13719; Müller & Hutter,
    TrivialAugment, ICCV 2021, https://arxiv.org/abs/2103.10158; Cubuk et al., AutoAugment, 2018,
    https://arxiv.org/abs/1805.09501; Hendrycks et al., AugMix, 2019,
    https://arxiv.org/abs/1912.02781.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from bnnkit.errors import ConfigError, MissingExtraError
from bnnkit.training.config_values import Policy

Transform = Callable[[Tensor], Tensor]
"""Augments images, uint8 (B, C, H, W)."""

_CLASSES: Final[dict[Policy, str]] = {
    "rand-augment": "RandAugment",
    "trivial-augment": "TrivialAugmentWide",
    "auto-augment-cifar10": "AutoAugment",
    "aug-mix": "AugMix",
}
_DRAWS: Final = 512
"""The number of groups: enough draws in an epoch, and few enough calls that they take little time
beside the epoch."""


def make_policy(
    policy: Policy, options: dict[str, Any], images: Tensor, zero_point: Sequence[int] | None
) -> Transform:
    """Make a policy of torchvision.

    Args:
        policy: Its name.
        options: Arguments of torchvision's class, such as num_ops and magnitude of RandAugment.
        images: The images that it will get.
        zero_point: The zero point of each channel, which fills what lies outside of an image.

    Raises:
        ConfigError: The inputs are not images of bytes with 1 or 3 channels, an option is wrong,
            or torchvision is for another version of torch.
        MissingExtraError: torchvision is not installed.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ConfigError(
            f"auto_augment {policy} is for uint8 images (N, C, H, W) with 1 or 3 channels, got "
            f"{str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}; leave it out"
        )
    v2 = _torchvision()
    fixed = {"policy": v2.AutoAugmentPolicy.CIFAR10} if policy == "auto-augment-cifar10" else {}
    fill = [float(number) for number in zero_point or [0] * images.shape[1]]
    try:
        transform: Transform = getattr(v2, _CLASSES[policy])(**fixed, fill=fill, **options)
        transform(images[:1])
    except Exception as error:
        raise ConfigError(f"auto_augment_options of {policy}: {error}") from error
    return transform


def augment_in_groups(images: Tensor, index: Tensor, transform: Transform) -> Tensor:
    """Augment images in random groups of nearly equal size.

    The groups are drawn from torch's default generator of the CPU, from which torchvision draws
    too.

    Args:
        images: All images, uint8 (N, C, H, W).
        index: Indices of the images to augment, int64 (M,), on any device.
        transform: The policy.

    Returns:
        All images, (N, C, H, W), of which the others are unchanged.
    """
    augmented = images.clone()
    order = index[torch.randperm(len(index)).to(index.device)].to(images.device)
    for group in order.tensor_split(min(_DRAWS, len(order))):
        augmented[group] = transform(images[group])
    return augmented


def _torchvision() -> Any:
    try:
        return importlib.import_module("torchvision.transforms.v2")
    except ModuleNotFoundError as error:
        raise MissingExtraError("auto_augment", "augment") from error
    except Exception as error:  # its compiled operators do not fit another torch
        raise ConfigError(
            f"torchvision does not work with torch {torch.__version__} ({error}): install the two "
            "versions that belong together, or leave out auto_augment"
        ) from error
