"""The networks that bnnkit can build, by name."""

from collections.abc import Callable, Sequence
from functools import partial
from inspect import signature
from numbers import Integral
from typing import TypeGuard

from torch import nn

from bnnkit.errors import ConfigError, brief
from bnnkit.models.binary_parts import BinaryOptions
from bnnkit.models.binary_twin import Changes, TwinOptions, binary_twin, twin_with_changes
from bnnkit.models.bnext import BNext
from bnnkit.models.convnet import ConvNet
from bnnkit.models.ds_cnn import DsCnn
from bnnkit.models.meliusnet import MeliusNet
from bnnkit.models.mlp import Mlp
from bnnkit.models.quicknet import QuickNet
from bnnkit.models.reactnet import ReActNetA
from bnnkit.models.real_activations import RealResNet18, RealVgg16, RealVggSmall
from bnnkit.models.resnet import ResNet18
from bnnkit.models.standardized import Standardized
from bnnkit.models.tc_resnet import TcResNet
from bnnkit.models.transformer import Transformer, TransformerEncoder
from bnnkit.models.unet import UNet
from bnnkit.models.vgg import Vgg
from bnnkit.models.vgg_small import VggSmall
from bnnkit.nn import connect_psa

__all__ = [
    "MODELS",
    "BNext",
    "Changes",
    "ConvNet",
    "DsCnn",
    "MeliusNet",
    "Mlp",
    "QuickNet",
    "ReActNetA",
    "RealResNet18",
    "RealVgg16",
    "RealVggSmall",
    "ResNet18",
    "Standardized",
    "TcResNet",
    "Transformer",
    "TransformerEncoder",
    "TwinOptions",
    "UNet",
    "Vgg",
    "VggSmall",
    "binary_twin",
    "build",
    "twin_with_changes",
]

MODELS: dict[str, Callable[..., nn.Module]] = {
    "mlp": Mlp,
    "convnet": ConvNet,
    "vgg": Vgg,
    "vgg-small": VggSmall,
    "ds-cnn": DsCnn,
    "tc-resnet": TcResNet,
    "resnet18": ResNet18,
    "transformer": Transformer,
    "unet": UNet,
    "bi-real-18": partial(ResNet18, stem="7x7", skip="conv"),
    "reactnet-18": partial(ResNet18, stem="7x7", skip="conv", activation="rprelu"),
    "reactnet-a": ReActNetA,
    "quicknet": QuickNet,
    "meliusnet-22": MeliusNet,
    "bnext-t": BNext,
    "resnet18-real": RealResNet18,
    "vgg16-real": RealVgg16,
    "vgg-small-real": RealVggSmall,
}


def build(
    name: str,
    *,
    input_shape: Sequence[int],
    n_classes: int,
    zero_point: Sequence[int] | None,
    **options: object,
) -> nn.Module:
    """Build a network by name and initialise it.

    Args:
        name: A key of `MODELS`.
        input_shape: The shape of one input, channels first.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel for uint8 inputs; None for real-valued
            inputs.
        options: The network's own keyword arguments, such as `width`, `noise`, `estimator`.

    Raises:
        ConfigError: If the network or an option is unknown, or a size is not a positive int.
        UsageError: If the network does not accept inputs of this shape; a noise, an estimator, a
            weight rule or an option of these is unknown; or they cannot be combined.
    """
    if name not in MODELS:
        raise ConfigError(
            f"expected a model out of {', '.join(MODELS)}, or your own as MODULE:FUNCTION, "
            f"got {name!r}"
        )
    model = MODELS[name]
    own = {p.name: p for p in signature(model).parameters.values() if p.kind is p.KEYWORD_ONLY}
    known = [*own, *BinaryOptions.__annotations__]
    for option, value in options.items():
        if option not in known:
            raise ConfigError(
                f"expected options of {name} out of {', '.join(known)}, got {option!r}"
            )
        is_size = option in own and isinstance(own[option].default, int)
        if is_size and not (_is_integer(value) and value > 0):
            raise ConfigError(
                f"expected the option {option} of {name} to be a positive int, got {brief(value)}"
            )
    network = model(input_shape, n_classes, zero_point, **options)
    connect_psa(network)
    return network


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, Integral) and not isinstance(value, bool)
