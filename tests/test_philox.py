"""Philox4x32-10 in torch: the published answers, and NumPy's own generator of the same family."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from philox_answers import KNOWN_ANSWERS, words

from bnnkit.nn.philox import philox4x32

WORD = st.integers(0, 2**32 - 1)


def one(counter: list[int], key: list[int]) -> list[int]:
    x0, x1, x2, x3 = (torch.tensor(word) for word in counter)
    return [int(word) for word in philox4x32((x0, x1, x2, x3), (key[0], key[1]))]


def by_definition(counter: list[int], key: list[int]) -> list[int]:
    """One round after another, in Python's integers."""
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * x0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * x2, 2**32)
        x0, x1, x2, x3 = high1 ^ x1 ^ k0, low1, high0 ^ x3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [x0, x1, x2, x3]


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_published_answers(counter: str, key: str, answer: str) -> None:
    assert one(words(counter), words(key)) == words(answer)
    assert by_definition(words(counter), words(key)) == words(answer)


@given(st.lists(WORD, min_size=4, max_size=4), st.lists(WORD, min_size=2, max_size=2))
@settings(deadline=None, max_examples=50)
def test_any_counter_and_key(counter: list[int], key: list[int]) -> None:
    assert one(counter, key) == by_definition(counter, key)


def test_counters_broadcast() -> None:
    blocks, images = torch.arange(5), torch.arange(3).view(3, 1)
    found = philox4x32((blocks, torch.tensor(7), torch.tensor(2**32 - 1), images), (1, 2**31))
    assert all(word.shape == (3, 5) and word.dtype == torch.int64 for word in found)
    for image in range(3):
        for block in range(5):
            want = by_definition([block, 7, 2**32 - 1, image], [1, 2**31])
            assert [int(word[image, block]) for word in found] == want


def test_the_arguments_stay_as_they_are() -> None:
    counter = tuple(torch.arange(4) for _ in range(4))
    philox4x32(counter, (0, 0))  # type: ignore[arg-type]
    assert all(torch.equal(word, torch.arange(4)) for word in counter)


def test_words_are_uniform() -> None:
    """Chi-square of 4 x 65536 words over 256 bins: above 330 with probability 0.001."""
    zero = torch.tensor(0)
    for word in philox4x32((torch.arange(65536), zero, zero, zero), (3, 4)):
        for byte in (word & 255, word >> 24):
            counts = np.bincount(byte.numpy(), minlength=256)
            assert ((counts - 256) ** 2 / 256).sum() < 330
