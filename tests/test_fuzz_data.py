"""Damaged data, checkpoints and configurations in a process of its own, with real limits."""

import sys

import pytest
from fuzz_data import fuzz
from fuzz_tflite import failure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of Linux")

SEED = 5


@pytest.mark.parametrize("count", [130, pytest.param(2000, marks=pytest.mark.exhaustive)])
@pytest.mark.slow
def test_damaged_files_end_in_a_result_or_an_error(count: int) -> None:
    facts = fuzz(SEED, 0, count)
    assert not failure(facts)
    assert sum("error" in fact for fact in facts) == count
