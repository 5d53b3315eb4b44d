"""The work of others on the CPUs, from two readings of /proc/stat."""

from pathlib import Path

import pytest

from bnnkit.bench import other_load
from bnnkit.bench.other_load import OtherLoad, measure_other_load

BEFORE = (
    "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 10 0 10 80 5 0 0 0 0 0\ncpu1 0 0 0 100 0 0 0 0 0 0\nintr 3\n"
)
AFTER = (
    "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 40 5 20 90 15 4 3 3 9 0\ncpu1 9 0 9 182 0 0 0 0 0 0\nintr 4\n"
)


def _measure(
    cpus: set[int], texts: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> OtherLoad:
    """Measure with readings from a file, which changes while the process sleeps."""
    file = tmp_path / "stat"
    file.write_text(texts[0])
    monkeypatch.setattr(other_load, "_PROC_STAT", file)
    monkeypatch.setattr(other_load, "usable_cpus", lambda: cpus)
    monkeypatch.setattr("time.sleep", lambda _: file.write_text(texts[1]))
    return measure_other_load()


def test_busy_time_over_whole_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # CPU 0: 75 more, 20 of them idle or waiting. CPU 1: 100 more, 82 idle.
    one = _measure({0}, [BEFORE, AFTER], tmp_path, monkeypatch)
    assert one.cpus == 1
    assert one.busy == pytest.approx(55 / 75)
    both = _measure({0, 1}, [BEFORE, AFTER], tmp_path, monkeypatch)
    assert both.cpus == 2
    assert both.busy == pytest.approx(2 * (55 + 18) / 175)
    assert both.is_high


def test_a_clock_that_stands_still_is_no_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert _measure({0}, [BEFORE, BEFORE], tmp_path, monkeypatch).busy == 0


@pytest.mark.parametrize(("average", "busy"), [(0.5, 0.5), (7.0, 2)])
def test_the_load_average_where_there_are_no_times(
    average: float, busy: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(other_load, "_PROC_STAT", tmp_path / "none")
    monkeypatch.setattr(other_load, "usable_cpus", lambda: {0, 1})
    monkeypatch.setattr("os.getloadavg", lambda: (average, 0.0, 0.0))
    assert measure_other_load() == OtherLoad(busy=busy, cpus=2)


def test_a_tenth_of_the_cpus_is_the_limit() -> None:
    assert not OtherLoad(busy=0.2, cpus=2).is_high
    assert OtherLoad(busy=0.21, cpus=2).is_high
