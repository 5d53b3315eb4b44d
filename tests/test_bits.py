import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnkit.artifact.format.bits import (
    n_words,
    pack_signs,
    pack_weight,
    unpack_signs,
    unpack_weight,
)

SIZES = [1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200]


@pytest.mark.parametrize("channels", SIZES)
def test_signs_survive_packing(channels: int) -> None:
    signs = np.random.default_rng(channels).choice([-1, 1], size=(3, 2, channels))
    packed = pack_signs(signs)
    assert packed.shape == (3, 2, n_words(channels))
    assert packed.dtype == np.uint64
    np.testing.assert_array_equal(unpack_signs(packed, channels), signs)


@pytest.mark.parametrize("channels", SIZES)
def test_bits_past_the_last_channel_are_clear(channels: int) -> None:
    packed = pack_signs(-np.ones(channels))
    assert sum(int(word).bit_count() for word in packed) == channels


def test_a_set_bit_is_minus_one_and_the_lowest_bit_the_lowest_channel() -> None:
    signs = np.ones(70)
    signs[[0, 65]] = -1
    np.testing.assert_array_equal(pack_signs(signs), np.array([1, 2], np.uint64))


def test_zero_is_plus_one_whatever_its_sign() -> None:
    np.testing.assert_array_equal(pack_signs(np.array([0.0, -0.0, -1e-45])), [4])


@pytest.mark.parametrize("channels", SIZES)
def test_dot_product_is_the_popcount_formula(channels: int) -> None:
    rng = np.random.default_rng(channels)
    a, b = rng.choice([-1, 1], size=(2, channels))
    differing = sum(int(word).bit_count() for word in pack_signs(a) ^ pack_signs(b))
    assert channels - 2 * differing == a @ b


@settings(deadline=None, max_examples=25)
@given(
    st.tuples(*[st.integers(1, 5)] * 3, st.integers(1, 70)),
    st.integers(0, 2**32 - 1),
)
def test_weights_survive_packing(shape: tuple[int, ...], seed: int) -> None:
    signs = np.random.default_rng(seed).choice([-1, 1], size=shape)
    packed = pack_weight(signs)
    assert packed.shape == (-(-signs.size // 8),)
    np.testing.assert_array_equal(unpack_weight(packed, shape), signs)
