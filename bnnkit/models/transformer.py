"""A transformer encoder in which every inner product is binary, and a classifier of it."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from typing_extensions import Unpack

from bnnkit.errors import UsageError
from bnnkit.models.binary_parts import BinaryOptions, BinaryParts
from bnnkit.models.first_layer import image_shape
from bnnkit.models.last_layer import LastLinear
from bnnkit.nn import IntegerConv2d, Sign


class TokenNorm(nn.BatchNorm1d):
    """Batch norm of the channels of tokens; a threshold absorbs it where a sign follows.

    Input and output: (N, T, C), real-valued.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalise each channel over images and tokens."""
        return super().forward(input.transpose(1, 2)).transpose(1, 2)


class BinaryAttention(nn.Module):
    """Attention whose queries, keys, values and probabilities are binary.

    Queries, keys and values are signs. A head h attends to a token where its probability p, of a
    softmax, reaches a learned threshold: where gain_h p - threshold_h >= 0. So the probabilities
    become 0 or 1, and the sums of values are integers. With activations of several bits,
    probabilities stay real-valued.

    Input and output: (N, T, C), real-valued.

    Args:
        width: C.
        heads: The number of heads, a divisor of C.
        tokens: T, the number of tokens.
        binary: Creates the signs and the layers.

    References:
        Liu et al., BiT: Robustly Binarized Multi-distilled Transformer, 2022,
        https://arxiv.org/abs/2205.13016, for probabilities of 0 and 1.
    """

    def __init__(self, width: int, heads: int, tokens: int, binary: BinaryParts) -> None:
        super().__init__()
        self.heads = heads
        self.sign = binary.quantizer()
        self.query = self._projection(width, binary)
        self.key = self._projection(width, binary)
        self.value = self._projection(width, binary)
        attends = binary.quantizer()
        self.attends = attends if isinstance(attends, Sign) else None
        # Of equal probabilities, each is 1 / T: at the threshold.
        self.gain = nn.Parameter(torch.full((heads, 1, 1), float(tokens)))
        self.threshold = nn.Parameter(torch.ones(heads, 1, 1))
        self.norm = TokenNorm(width)
        self.context = binary.quantizer()
        self.output = binary.linear(width, width)

    @staticmethod
    def _projection(width: int, binary: BinaryParts) -> nn.Sequential:
        return nn.Sequential(binary.linear(width, width), TokenNorm(width), binary.quantizer())

    def forward(self, x: Tensor) -> Tensor:
        """Compute the attention of every token."""
        x = self.sign(x)
        query, key, value = (self._of_heads(p(x)) for p in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        weights = scores.softmax(-1)
        if self.attends is not None:
            weights = (self.attends(self.gain * weights - self.threshold) + 1) / 2
        context = (weights @ value).transpose(1, 2).flatten(2)
        y: Tensor = self.output(self.context(self.norm(context)))
        return y

    def _of_heads(self, x: Tensor) -> Tensor:
        """Split the channels: (N, T, C) becomes (N, heads, T, C / heads)."""
        images, tokens, channels = x.shape
        return x.reshape(images, tokens, self.heads, channels // self.heads).transpose(1, 2)


class EncoderLayer(nn.Module):
    """x = norm(x + attention(x)), then x = norm(x + feed-forward(x)), both binary.

    Input and output: (N, T, C), real-valued.

    Args:
        width: C.
        heads: The number of heads, a divisor of C.
        hidden: The number of hidden units of the feed-forward network.
        tokens: T, the number of tokens.
        binary: Creates the signs and the layers.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, tokens: int, binary: BinaryParts
    ) -> None:
        super().__init__()
        self.attention = nn.Sequential(
            BinaryAttention(width, heads, tokens, binary), TokenNorm(width)
        )
        self.norm_attention = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(
            binary.quantizer(),
            binary.linear(width, hidden),
            TokenNorm(hidden),
            binary.quantizer(),
            binary.linear(hidden, width),
            TokenNorm(width),
        )
        self.norm_feed_forward = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Apply attention, then the feed-forward network, to every token."""
        x = self.norm_attention(x + self.attention(x))
        y: Tensor = self.norm_feed_forward(x + self.feed_forward(x))
        return y


class TransformerEncoder(nn.Module):
    """D encoder layers, as in BERT, in which every inner product is binary.

    Between the products are a softmax for each head, layer norms, and real values on the skip
    connections.

    Input and output: (N, T, C), real-valued.

    Args:
        width: C.
        tokens: T, the number of tokens.
        depth: D.
        heads: The number of heads, a divisor of C.
        hidden: The number of hidden units of the feed-forward networks; 4 C by default.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

    Raises:
        UsageError: If the number of heads does not divide the width.
    """

    def __init__(
        self,
        width: int,
        tokens: int,
        *,
        depth: int = 4,
        heads: int = 4,
        hidden: int | None = None,
        **options: Unpack[BinaryOptions],
    ) -> None:
        super().__init__()
        if width % heads:
            raise UsageError(
                f"expected a number of heads that divides the width, got {heads} heads and a"
                f" width of {width}"
            )
        binary = BinaryParts(**options)
        hidden = 4 * width if hidden is None else hidden
        self.layers = nn.Sequential(
            *(EncoderLayer(width, heads, hidden, tokens, binary) for _ in range(depth))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Apply the layers to every token."""
        y: Tensor = self.layers(x)
        return y


class Transformer(nn.Module):
    """A classifier: embedding and position of each token, encoder, mean over tokens, linear.

    The embedding and the last layer are not binary. Images are cut into patches, which are their
    tokens; other inputs are tokens already, such as the frames of a spectrogram.

    Input: (N, C, H, W), uint8 where zero points are given, else float32; or (N, T, F), float32.
    Output: (N, n_classes), logits.

    Args:
        input_shape: (C, H, W), or (T, F) for T tokens with F features.
        n_classes: The number of outputs.
        zero_point: The zero point of each input channel; None for real-valued inputs.
        width: The width of the encoder.
        depth: The number of its layers.
        heads: The number of heads, a divisor of the width.
        patch: Height and width of the patches of an image, which divide its height and width.
        options: Noises, estimator and weight rule; see `BinaryOptions`.

    Raises:
        UsageError: If inputs have another shape, or the sizes do not divide each other; if zero
            points are given for tokens.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        n_classes: int,
        zero_point: Sequence[int] | None,
        *,
        width: int = 128,
        depth: int = 4,
        heads: int = 4,
        patch: int = 4,
        **options: Unpack[BinaryOptions],
    ) -> None:
        super().__init__()
        self.embedding, tokens = _embedding(input_shape, width, patch, zero_point)
        self.norm = TokenNorm(width)
        # As large as the embeddings: the first signs would hide smaller positions.
        self.position = nn.Parameter(torch.randn(tokens, width))
        self.encoder = TransformerEncoder(width, tokens, depth=depth, heads=heads, **options)
        self.classifier = LastLinear(width, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Compute the logits."""
        x = self.norm(self.embedding(x)) + self.position
        logits: Tensor = self.classifier(self.encoder(x).mean(1))
        return logits


class _Patches(nn.Module):
    """A convolution whose stride is its size, and its pixels as tokens, (N, T, C)."""

    def __init__(self, conv: nn.Module) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x)
        return y.flatten(2).transpose(1, 2)


def _embedding(
    input_shape: Sequence[int], width: int, patch: int, zero_point: Sequence[int] | None
) -> tuple[nn.Module, int]:
    """Return the first layer, and the number of tokens."""
    if len(input_shape) == 2:
        if zero_point is not None:
            raise UsageError("expected real-valued tokens, got a zero point, which images have")
        tokens, features = input_shape
        return nn.Linear(features, width, bias=False), tokens
    channels, *size = image_shape(input_shape, multiple_of=patch)
    layer = (
        nn.Conv2d(channels, width, patch, patch, bias=False)
        if zero_point is None
        else IntegerConv2d(channels, width, patch, patch, zero_point=zero_point)
    )
    return _Patches(layer), prod(length // patch for length in size)
