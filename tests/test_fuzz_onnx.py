"""Damaged ONNX files under guard pages, in processes of their own, with limits that are real."""

import sys

import pytest
from fuzz_onnx import fuzz
from fuzz_tflite import failure

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of Linux")

SEED = 3


@pytest.mark.parametrize(
    ("mode", "start", "stop"),
    [
        ("all", 0, 100),
        ("windows", 0, 50),
        pytest.param("all", 100, 1500, marks=pytest.mark.exhaustive),
        pytest.param("windows", 50, 500, marks=pytest.mark.exhaustive),
    ],
)
@pytest.mark.slow
def test_damaged_files_end_in_a_result_or_an_error(mode: str, start: int, stop: int) -> None:
    facts = fuzz(mode, SEED, start, stop)
    assert not failure(facts)
    assert sum("error" in fact for fact in facts) == stop - start
