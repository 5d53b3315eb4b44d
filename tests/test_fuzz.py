import fuzz_operators
import pytest
from fuzz import is_equal, is_sampled_equal


@pytest.mark.parametrize("seed", range(40))
def test_random_networks_are_equal(seed: int) -> None:
    assert is_equal(seed)


@pytest.mark.parametrize("seed", range(30))
def test_random_stochastic_networks_are_equal(seed: int) -> None:
    assert is_sampled_equal(seed)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of ONNX's reference
def test_random_operators_are_those_of_onnxruntime() -> None:
    assert fuzz_operators.main(1000, seed=0) == 0
