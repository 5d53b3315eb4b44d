"""Small networks with several inputs, with random inputs for them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

import bnnkit.nn as bnn


class ImageAndFeatures(nn.Module):
    """A uint8 image and a vector of features, joined before binary layers; two named outputs."""

    def __init__(self, noise: str = "none") -> None:
        super().__init__()
        self.first = bnn.IntegerConv2d(3, 8, 3, zero_point=128)
        self.norm = nn.BatchNorm2d(8)
        self.sign = bnn.Sign(noise=noise)
        self.conv = bnn.BinaryConv2d(8, 8, 3)
        self.act = bnn.Sign(noise=noise)
        self.dense = bnn.BinaryLinear(8 * 4 + 5, 12)
        self.scores, self.size = nn.Linear(12, 4), nn.Linear(12, 1)

    def forward(self, image: Tensor, features: Tensor) -> dict[str, Tensor]:
        x = self.conv(self.sign(self.norm(self.first(image)))).flatten(1)
        x = self.dense(self.act(torch.cat([x / 8, features], 1)))
        return {"scores": self.scores(x / 6), "size": self.size(x / 6)}


class Siamese(nn.Module):
    """Two images through the same layers, and the distance of what they give."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, 16, 3, padding=1),
            nn.BatchNorm2d(16),
            bnn.Sign(noise="none"),
            bnn.BinaryConv2d(16, 8, 3, stride=2),
            nn.BatchNorm2d(8),
            nn.Flatten(),
        )

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        difference: Tensor = self.layers(left) - self.layers(right)
        return difference.pow(2).mean(1, keepdim=True).sqrt()


class MaskedTokens(nn.Module):
    """Tokens by their numbers, and a mask of those that count."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(30, 16)
        self.sign, self.dense = bnn.Sign(noise="none"), bnn.BinaryLinear(16, 16)
        self.norm, self.last = nn.LayerNorm(16), nn.Linear(16, 3)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        x = self.table(tokens)
        x = self.norm(x + self.dense(self.sign(x)))
        x = x.masked_fill(~mask[:, :, None], 0.0)
        y: Tensor = self.last(x.sum(1) / mask.sum(1, keepdim=True).clamp(min=1))
        return y


class OfOneDict(nn.Module):
    """A network that takes its inputs in one dict, and returns a tuple."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 16), nn.Linear(4, 16)
        self.sign, self.dense = bnn.Sign(noise="none"), bnn.BinaryLinear(16, 5)

    def forward(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        x = self.a(batch["left"]) + self.b(batch["right"])
        return self.dense(self.sign(x)), x


def sign(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


class PlainSiamese(nn.Module):
    """As `Siamese`, in torch's own operators."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(2, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.weight = nn.Parameter(torch.randn(8, 16, 3, 3))

    def layers(self, x: Tensor) -> Tensor:
        x = sign(self.norm(self.first(x)))
        return nn.functional.conv2d(x, sign(self.weight), stride=2).flatten(1)

    def forward(self, left: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
        difference = self.layers(left) - self.layers(right)
        return difference.abs().mean(1, keepdim=True), difference


class PlainMaskedTokens(nn.Module):
    """As `MaskedTokens`, in torch's own operators."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.last = nn.Embedding(30, 16), nn.Linear(16, 3)
        self.weight = nn.Parameter(torch.randn(16, 16))

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        x = self.table(tokens)
        x = x + nn.functional.linear(sign(x), sign(self.weight)) / 4
        y: Tensor = self.last(x.masked_fill(~mask[:, :, None], 0.0).sum(1))
        return y


class Steered(nn.Module):
    """A map that is moved by one number for each image, such as a time."""

    def __init__(self) -> None:
        super().__init__()
        self.sign, self.conv = bnn.Sign(noise="none"), bnn.BinaryConv2d(3, 4, 3)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        y: Tensor = self.conv(self.sign(x + time.view(-1, 1, 1, 1)))
        return y


NETWORKS: dict[str, type[nn.Module]] = {
    "image and features": ImageAndFeatures,
    "siamese": Siamese,
    "masked tokens": MaskedTokens,
    "of one dict": OfOneDict,
    "steered": Steered,
}


PLAIN: dict[str, type[nn.Module]] = {
    "siamese": PlainSiamese,
    "masked tokens": PlainMaskedTokens,
}
"""Networks as others write them, with the inputs of those of these names."""


def random_network(name: str, seed: int = 0, *, plain: bool = False) -> nn.Module:
    """A network with random weights and statistics, in evaluation mode."""
    torch.manual_seed(seed)
    network = (PLAIN if plain else NETWORKS)[name]()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.5)  # type: ignore[union-attr]
            module.running_var.uniform_(0.5, 2)  # type: ignore[union-attr]
    return network.eval()


def random_inputs(name: str, rows: int, seed: int = 0) -> dict[str, Tensor]:
    """Inputs of a network, by name."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(rows, *shape, generator=rng)

    if name == "image and features":
        image = torch.randint(0, 256, (rows, 3, 6, 6), dtype=torch.uint8, generator=rng)
        return {"image": image, "features": normal(5)}
    if name == "siamese":
        return {"left": normal(2, 8, 8), "right": normal(2, 8, 8)}
    if name == "masked tokens":
        tokens = torch.randint(0, 30, (rows, 7), generator=rng)
        return {"tokens": tokens, "mask": torch.randint(0, 2, (rows, 7), generator=rng) > 0}
    if name == "steered":
        return {"x": normal(3, 6, 6), "time": normal()}
    return {"left": normal(6), "right": normal(4)}
