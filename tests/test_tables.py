"""Tables: words stay whole at every width, and nothing is lost."""

import re
from itertools import pairwise, takewhile

import numpy as np
import pytest
from command_line import run
from hypothesis import given, settings
from hypothesis import strategies as st

from bnnkit.bench.benchmark import Benchmark, Measurement
from bnnkit.bench.board import Board, Cluster
from bnnkit.bench.conditions import Conditions
from bnnkit.bench.other_load import OtherLoad
from bnnkit.bench.step_times import StepTime
from bnnkit.bench.surroundings import Surroundings
from bnnkit.cli.benchmark_table import print_benchmark, print_step_times
from bnnkit.cli.column_widths import column_widths
from bnnkit.cli.console import print_table


@pytest.fixture(autouse=True)
def no_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """With LINES, COLUMNS counts as set by GNU readline."""
    monkeypatch.delenv("LINES", raising=False)


CELLS = st.text(alphabet="ab ", max_size=12)


@settings(deadline=None)  # a loaded machine is no fault
@given(
    st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=5), st.integers(0, 60)
)
def test_widths_fit_and_hold_every_word(columns: list[list[str]], room: int) -> None:
    widths = column_widths(columns, room)
    least = [max((len(w) for cell in c for w in cell.split()), default=0) for c in columns]
    if widths is None:
        assert sum(least) > room
        return
    assert sum(widths) <= room
    for width, column, word in zip(widths, columns, least, strict=True):
        assert word <= width <= max(map(len, column))


def test_the_widest_columns_become_narrower_first() -> None:
    columns = [["a b c d e f g h i j"], ["a b c d e"], ["abc"]]
    assert column_widths(columns, 31) == [19, 9, 3]
    assert column_widths(columns, 20) == [8, 9, 3]
    assert column_widths(columns, 4) is None


WORDS = [
    "features.12/folded",
    "BinaryConv2dThreshold",
    "1,234,567",
    "weights are real-valued here",
]


@pytest.mark.parametrize("width", [20, 40, 60, 80, 100, 160])
def test_words_are_whole_at_any_width(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    headings = ("layer", "operator", "MACs", "why not binary")
    print_table("layers", headings, [WORDS, WORDS[::-1]], left=("layer",))
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "layers"
    assert all(len(line) <= max(width, len(WORDS[1]) + 5) for line in lines)
    found = " ".join(lines).replace(";", " ").split()
    wanted = [word for text in (*WORDS, *WORDS) for word in text.split()]
    for word in set(wanted):
        assert found.count(word) >= wanted.count(word)


@pytest.mark.parametrize("environment", [{}, {"COLUMNS": "80", "LINES": "24"}])
def test_a_file_has_wide_lines_unless_a_width_is_asked_for(
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """GNU readline, which pytest loads, sets both variables."""
    for name in ("COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    print_table("t", ("a", "b"), [["x" * 70, "y" * 70]])
    assert max(map(len, capsys.readouterr().out.splitlines())) > 140


def _measurement(engine: str, batch: int, us: float) -> Measurement:
    return Measurement(
        engine=engine, version="1.2.3", batch=batch, threads=1,
        wall_us=np.full((5, 4), us), cpu_us=np.full(5, us),
    )  # fmt: skip


MEASURED = Benchmark(
    measurements=(_measurement("bnnkit", 1, 10), _measurement("onnxruntime-fp32", 1, 2345.6)),
    left_out={},
)
IDLE, BUSY = OtherLoad(busy=0.1, cpus=2), OtherLoad(busy=1.5, cpus=2)
BOARD = Board(model="Some board", clusters=(Cluster(core="Some CPU 9000", cpus=(0, 1)),))


def _around(load: OtherLoad, end: Conditions | None = None) -> Surroundings:
    start = Conditions(mhz={0: 600, 1: 600}, celsius={"cpu": 41.2})
    return Surroundings(board=BOARD, cpus=(0, 1), load=load, start=start, end=end or start)


def test_a_benchmark_fits_into_80_columns(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    print_benchmark(MEASURED, _around(IDLE))
    title, _, *table = capsys.readouterr().out.splitlines()
    assert title.endswith("on Some board, 2 x Some CPU 9000; one pass, batch 1, threads 1")
    assert any(re.match(r"onnxruntime-fp32 +2,346 .*234\.6", line.strip()) for line in table)
    assert all(len(line) <= 80 for line in table)


def test_settings_that_vary_are_columns(capsys: pytest.CaptureFixture[str]) -> None:
    more = Benchmark(
        measurements=(*MEASURED.measurements, _measurement("bnnkit", 64, 99)), left_out={}
    )
    print_benchmark(more, _around(IDLE))
    out = capsys.readouterr().out
    assert "; one pass, threads 1\n" in out
    assert re.search(r"bnnkit 1\.2\.3 +64 +99\.0", out)


@pytest.mark.parametrize("load", [IDLE, BUSY])
def test_a_busy_machine_is_named(load: OtherLoad, capsys: pytest.CaptureFixture[str]) -> None:
    print_benchmark(MEASURED, _around(load))
    words = "the machine is busy: other processes use 1.5 of 2 CPUs"
    assert (words in capsys.readouterr().out) == load.is_high


def test_clock_temperature_and_throttling_are_named(
    capsys: pytest.CaptureFixture[str],
) -> None:
    hot = Conditions(mhz={0: 1200, 1: 1800}, celsius={"cpu": 84.6}, throttled=("it is hot",))
    print_benchmark(MEASURED, _around(IDLE, hot))
    out = capsys.readouterr().out
    assert "clock: 600 MHz at the start, 1200 to 1800 MHz at the end" in out
    assert "temperature: 41 C at the start, 85 C at the end" in out
    assert "the processor was throttled: it is hot; times are too long" in out


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_rounds_that_differ_are_named(factor: float, capsys: pytest.CaptureFixture[str]) -> None:
    one = _measurement("bnnkit", 1, 10.0)
    one.wall_us[3:] *= factor
    print_benchmark(Benchmark(measurements=(one,), left_out={}), _around(IDLE))
    words = "the rounds still differ (the middle half of them, of the median): bnnkit 50%"
    assert (words in capsys.readouterr().out) == (factor > 1)


def _step(name: str, kind: str, us: float, gmacs: float | None) -> StepTime:
    of_ceiling = None if gmacs is None else gmacs / 1000
    return StepTime(
        name=name, step=kind, median_us=us, share=us / 100, gmacs=gmacs, of_ceiling=of_ceiling
    )


def test_a_layer_of_many_groups_is_one_row(capsys: pytest.CaptureFixture[str]) -> None:
    steps = [
        _step("first", "Centre", 4, None),
        *(_step("deep", "Convolution", us, 300 / us) for us in (1.0, 2.0, 3.0)),
        _step("last", "Convolution", 10, 30),
    ]
    print_step_times(steps, 1, 1, MEASURED)
    out = capsys.readouterr().out
    rows = [line.split() for line in out.splitlines() if re.match(r"  (first|deep|last) ", line)]
    assert [row[0] for row in rows] == ["first", "deep", "last"]
    # 900 sign products in 6 ns, of 1000 per ns.
    assert rows[1][1:] == ["3", "x", "Convolution", "6.0", "6.0%", "150", "15%"]
    sums = "sum of the steps: 20.0 us, a whole pass: 100.0 us, a run in the table above: 10.0 us"
    assert sums in out


@pytest.mark.parametrize("command", ["info", "verify", "eval", "bench"])
def test_lines_of_tables_are_not_longer_than_the_terminal(
    command: str, digits_model: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    more = ["--seconds", "0.01", "--profile", "--engines", "bnnkit"] if command == "bench" else []
    found = run(command, digits_model, *more)
    assert found.exit_code == 0, found.output
    lines = found.stdout.splitlines()
    rules = [number for number, line in enumerate(lines) if set(line.strip()) == {"─"}]
    assert rules
    for number in rules:
        body = list(takewhile(str.strip, lines[number:]))
        assert all(len(line) <= 80 for line in body), body


def test_tables_of_one_command_stand_apart(digits_model: object) -> None:
    out = run("info", digits_model).stdout.splitlines()
    titles = [n for n, line in enumerate(out) if line in ("layers", "signs")]
    assert all(not out[n - 1].strip() for n in titles[1:])
    assert all(b - a > 3 for a, b in pairwise(titles))
