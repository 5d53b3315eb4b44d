"""Damaged data, checkpoints and configurations in a process of its own, with real limits."""

import sys

import pytest
from fuzz_data import fuzz
from fuzz_tflite import failure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of Linux")

SEED = 5
FEW = 130
COUNT = 2000


@pytest.mark.parametrize(
    ("start", "stop"), [(0, FEW), pytest.param(FEW, COUNT, marks=pytest.mark.exhaustive)]
)
@pytest.mark.slow
def test_damaged_files_end_in_a_result_or_an_error(start: int, stop: int) -> None:
    facts = fuzz(SEED, start, stop)
    assert not failure(facts)
    assert sum("error" in fact for fact in facts) == stop - start
