"""The random numbers by their definition: known answers, positions, batches in pieces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from philox_answers import KNOWN_ANSWERS, words

from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.operators.noise import draw, quantile_indices
from bnnkit.artifact.operators.philox import philox4x32


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN_ANSWERS)
def test_philox_gives_the_known_answers(counter: str, key: str, answer: str) -> None:
    c0, c1, c2, c3 = (np.array(word) for word in words(counter))
    k0, k1 = words(key)
    assert [int(word) for word in philox4x32((c0, c1, c2, c3), (k0, k1))] == words(answer)


def index_of(n: int, c: int, p: int, channels: int, layer: int, sample: Sample) -> int:
    """One quantile by docs/artifact.md, in Python's integers."""
    u = p * ((channels + 63) // 64 * 64) + c
    counter = (u // 64 * 8 + u % 16 // 2, layer, sample.counter, sample.image_offset + n)
    c0, c1, c2, c3 = (np.array(word) for word in counter)
    word = int(philox4x32((c0, c1, c2, c3), sample.key)[u % 64 // 16])
    half = word >> 16 if u % 2 else word & 0xFFFF
    return half >> 4 ^ (4095 if sample.antithetic and sample.index % 2 else 0)


@settings(max_examples=25, deadline=None)
@given(
    shape=st.one_of(
        st.tuples(st.integers(1, 3), st.integers(1, 130)),
        st.tuples(
            st.integers(1, 2), st.sampled_from([1, 63, 64, 65]), st.integers(1, 3),
            st.integers(1, 4),
        ),
    ),
    layer=st.integers(0, 2**32 - 1),
    sample=st.builds(
        Sample, seed=st.integers(0, 2**64 - 1), index=st.integers(0, 2**32 - 1),
        image_offset=st.integers(0, 2**32 - 10), antithetic=st.booleans(),
    ),
    data=st.data(),
)  # fmt: skip
def test_positions_are_as_defined(
    shape: tuple[int, ...], layer: int, sample: Sample, data: st.DataObject
) -> None:
    indices = quantile_indices(shape, layer, sample)
    assert indices.shape == shape
    assert indices.min() >= 0
    assert indices.max() <= 4095
    n, c, *place = (data.draw(st.integers(0, size - 1)) for size in shape)
    p = place[0] * shape[3] + place[1] if place else 0
    at = (n, c, *place)
    assert indices[at] == index_of(n, c, p, shape[1], layer, sample)


def test_a_batch_in_pieces_draws_the_same() -> None:
    whole = quantile_indices((7, 5, 3, 2), 1, Sample(seed=3, index=4, image_offset=10))
    parts = [
        quantile_indices((n, 5, 3, 2), 1, Sample(seed=3, index=4, image_offset=first))
        for first, n in ((10, 2), (12, 4), (16, 1))
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_an_antithetic_pair_mirrors_its_numbers() -> None:
    first, second = (
        quantile_indices((2, 70), 0, Sample(seed=9, index=i, antithetic=True)) for i in (6, 7)
    )
    np.testing.assert_array_equal(second, 4095 - first)
    np.testing.assert_array_equal(first, quantile_indices((2, 70), 0, Sample(seed=9, index=3)))


def test_noise_is_looked_up_in_the_table() -> None:
    table = np.linspace(-1, 1, 4096, dtype=np.float32)
    sample = Sample(seed=1)
    z = draw((1, 3, 2, 2), 2, table, sample)
    assert z.dtype == np.float32
    np.testing.assert_array_equal(z, table[quantile_indices((1, 3, 2, 2), 2, sample)])
    with pytest.raises(ValueError, match="expected 4096 quantiles"):
        draw((1, 3), 0, table[1:], sample)
