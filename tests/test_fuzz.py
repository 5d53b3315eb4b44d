import pytest
from fuzz import is_equal, is_sampled_equal


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_are_equal(seed: int) -> None:
    assert is_equal(seed)


@pytest.mark.parametrize("seed", range(30))
def test_random_stochastic_networks_are_equal(seed: int) -> None:
    assert is_sampled_equal(seed)
