"""Damaged and hostile .tflite files in processes of their own, with limits that are real."""

import sys
from pathlib import Path

import pytest
from fuzz_tflite import failure, fuzz, watch

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the limits of Linux")

SEED = 7
COUNT = 2000
PART = 500
FEW = 50
LIMITS = "from fuzz_tflite import limited, tell; import time, signal, os, numpy as np\n"


@pytest.mark.parametrize(
    ("start", "count"),
    [
        pytest.param(0, FEW, marks=pytest.mark.slow),
        *(
            pytest.param(start, PART, marks=pytest.mark.exhaustive)
            for start in range(0, COUNT, PART)
        ),
    ],
)
def test_damaged_files_end_in_a_result_or_an_error(start: int, count: int) -> None:
    facts = fuzz(SEED, start, start + count)
    assert not failure(facts)
    assert sum("error" in fact for fact in facts) == count


@pytest.mark.slow
def test_small_files_that_ask_for_much() -> None:
    assert not failure(watch([str(Path(__file__).with_name("fuzz_tflite.py")), "--hostile"]))


@pytest.mark.parametrize(
    ("action", "wrong"),
    [
        pytest.param("np.ones(1 << 28).sum()", "more than 1000 MB", marks=pytest.mark.slow),
        pytest.param("[x for x in range(3 * 10**8)]", "more than 1000 MB", marks=pytest.mark.slow),
        ("1 / 0", "ZeroDivisionError"),
        pytest.param("sum(range(2 * 10**7))", " s", marks=pytest.mark.slow),
    ],
)
def test_the_limits_hold(action: str, wrong: str) -> None:
    code = "import fuzz_tflite; fuzz_tflite.MOST_SECONDS = 0.1\n" if wrong == " s" else ""
    code += f"tell(number=5, seed=3)\ntell(wrong=limited(lambda: str({action}))[2])"
    found = failure(watch(["-c", LIMITS + code]))
    assert "'number': 5, 'seed': 3" in found
    assert wrong in found


@pytest.mark.parametrize("action", ["signal.raise_signal(11)", "os._exit(3)"])
def test_a_crash_names_the_file(action: str) -> None:
    code = f"tell(number=5, seed=3)\nlimited(lambda: {action})"
    found = failure(watch(["-c", LIMITS + code]))
    assert "'number': 5, 'seed': 3" in found
    assert "the process ended with" in found


def test_what_hangs_is_ended() -> None:
    code = "import fuzz_tflite; fuzz_tflite.HANGS = 1\n"
    code += "tell(number=5, seed=3)\nlimited(lambda: time.sleep(100))"
    assert "the process ended with -14" in failure(watch(["-c", LIMITS + code]))
