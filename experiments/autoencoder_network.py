"""The stacked autoencoder of documents, and products of gradients of its encoder."""

from collections.abc import Callable, Sequence

import torch
from stacked import StackedLinear, generators
from torch import Tensor, nn

ALL = slice(None)


class Autoencoder(nn.Module):
    """Encoders d-W-n and decoders n-W-d with ReLU, of M networks.

    Args:
        words: d.
        width: W.
        bits: n.
        seeds: Of the initial weights of each network.
    """

    def __init__(self, words: int, width: int, bits: int, seeds: Sequence[int]) -> None:
        super().__init__()
        rngs = generators(seeds)
        self.hidden = StackedLinear(words, width, rngs)
        self.logits = StackedLinear(width, bits, rngs)
        self.decoder_hidden = StackedLinear(bits, width, rngs)
        self.scores = StackedLinear(width, words, rngs)

    def encode(self, frequencies: Tensor, networks: slice = ALL) -> Tensor:
        """The logits (M, N, n) of the codes of documents (N, d)."""
        return self.logits.of(networks, torch.relu(self.hidden.of(networks, frequencies)))

    def loss_of(self, counts: Tensor, networks: slice = ALL) -> Callable[[Tensor], Tensor]:
        """Return -sum_i y_i log f_i of the counts y (N, d) as a function of codes: equation 58.

        The function maps codes (M, N, n) to losses (M, N), or, of one network, several codes
        (T, N, n) to (T, N). With f = softmax(W h + b), the loss is |y|_1 logsumexp(W h + b) -
        h (W^T y) - b y, of which the terms without h are computed here, once.
        """
        lengths = counts.sum(1)
        seen = counts @ self.scores.weight[networks].transpose(1, 2)
        offset = (counts @ self.scores.bias[networks].transpose(1, 2)).squeeze(2)

        def loss(codes: Tensor) -> Tensor:
            hidden = torch.relu(self.decoder_hidden.of(networks, codes))
            total = logsumexp(self.scores.of(networks, hidden))
            return lengths * total - (hidden * seen).sum(2) - offset

        return loss


def logsumexp(scores: Tensor) -> Tensor:
    """Log of the sum of exponentials over the last axis, by way of the softmax.

    `torch.logsumexp` passes over the memory six times on a GPU, the softmax's kernel twice.
    """
    return scores[..., 0] - scores.log_softmax(-1)[..., 0]


class EncoderProducts:
    """Scalar products of gradients in the parameters of one network's encoder.

    A gradient is given by its values D in the logits, (N, n), in which the encoder's gradient is
    linear. Its products need no vector of the size of the parameters: with the hidden units H
    and their inputs F, the gradient of the second layer is H^T D, with products
    <H^T D, H^T E> = <D, H H^T E>. That of the first layer is F^T G for G = D W^T where H > 0.
    Biases are weights of inputs that are 1.

    Args:
        network: The autoencoder.
        number: Which of the stack.
        frequencies: The documents, (N, d).
    """

    def __init__(self, network: Autoencoder, number: int, frequencies: Tensor) -> None:
        chosen = slice(number, number + 1)
        hidden = torch.relu(network.hidden.of(chosen, frequencies))[0].detach().double()
        self._is_active = (hidden > 0).double()
        self._weight = network.logits.weight.detach()[number].double()
        self._of_hidden = hidden @ hidden.T + 1
        inputs = frequencies.double()
        self._of_inputs = inputs @ inputs.T + 1

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """<g, h> for each of T pairs of gradients in the logits, (T, N, n) to (T,)."""
        first, second = first.double(), second.double()
        of_logits = (first * (self._of_hidden @ second)).sum((1, 2))
        first, second = self._in_hidden(first), self._in_hidden(second)
        return of_logits + (first * (self._of_inputs @ second)).sum((1, 2))

    def _in_hidden(self, gradient: Tensor) -> Tensor:
        return gradient @ self._weight.T * self._is_active
