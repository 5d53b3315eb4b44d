"""Philox4x32-10, the counter-based generator of random numbers, in int64 arithmetic of torch."""

from typing import Final

import torch
from torch import Tensor

Words = tuple[Tensor, Tensor, Tensor, Tensor]

_ROUNDS: Final = 10
_MULTIPLIERS: Final = (0xD2511F53, 0xCD9E8D57)
_WEYL: Final = (0x9E3779B9, 0xBB67AE85)  # added to the key after each round
_WORD: Final = 0xFFFFFFFF


def philox4x32(counter: Words, key: tuple[int, int]) -> Words:
    """Four random words for each counter: Philox4x32-10.

    A round turns (x0, x1, x2, x3) into (hi(M1 x2) ^ x1 ^ k0, lo(M1 x2), hi(M0 x0) ^ x3 ^ k1,
    lo(M0 x0)), with hi and lo the halves of a product of 64 bits.

    Args:
        counter: Four words, int64 tensors with values from 0 to 2^32 - 1, of shapes that
            broadcast.
        key: Two words, from 0 to 2^32 - 1.

    Returns:
        int64 tensors with values from 0 to 2^32 - 1, of the common shape.

    References:
        Salmon, Moraes, Dror & Shaw, Parallel Random Numbers: As Easy as 1, 2, 3, SC 2011.
    """
    x0, x1, x2, x3 = torch.broadcast_tensors(*counter)  # type: ignore[no-untyped-call]
    k0, k1 = key
    for _ in range(_ROUNDS):
        # The product wraps at 2^64, which leaves its bits correct.
        product0, product1 = x0 * _MULTIPLIERS[0], x2 * _MULTIPLIERS[1]
        x0, x1 = _high(product1, x1, k0), product1.bitwise_and_(_WORD)
        x2, x3 = _high(product0, x3, k1), product0.bitwise_and_(_WORD)
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    return x0, x1, x2, x3


def _high(product: Tensor, word: Tensor, key: int) -> Tensor:
    """hi(product) ^ word ^ key."""
    return (product >> 32).bitwise_xor_(word).bitwise_xor_(key).bitwise_and_(_WORD)
