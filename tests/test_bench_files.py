"""Stored benchmarks: the JSON with the machine, the page, and two of them side by side."""

import json
import os
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import fail, run
from recorded_boards import write_board

from bnnkit.bench.benchmark import Benchmark, Measurement
from bnnkit.bench.board import read_board
from bnnkit.bench.comparison import compare_benchmarks, read_benchmark
from bnnkit.bench.conditions import read_conditions
from bnnkit.bench.other_load import OtherLoad, usable_cpus
from bnnkit.bench.report_html import html_comparison, html_page
from bnnkit.bench.report_json import to_json
from bnnkit.bench.step_times import StepTime
from bnnkit.bench.surroundings import Surroundings, pinned
from bnnkit.errors import UsageError

STEP = StepTime(
    name="conv <1>", step="Convolution", median_us=2.0, share=0.5, gmacs=100.0, of_ceiling=0.5
)


def _measurement(engine: str, us: float, threads: int = 1) -> Measurement:
    return Measurement(
        engine=engine, version="1", batch=1, threads=threads,
        wall_us=np.full((5, 4), us), cpu_us=np.full(5, us),
    )  # fmt: skip


def _content(tmp_path: Path, board: str, *measurements: Measurement) -> dict[str, Any]:
    """The JSON of a benchmark on a recorded board."""
    root = write_board(board, tmp_path / board)
    found, now = read_board(root), read_conditions(root)
    around = Surroundings(
        board=found,
        cpus=found.clusters[-1].cpus,
        load=OtherLoad(busy=0.0, cpus=4),
        start=now,
        end=now,
    )
    measured = Benchmark(measurements=measurements, left_out={})
    content = to_json(measured, model="m<b>.onnx", profile=[STEP], surroundings=around)
    return dict(json.loads(json.dumps(content)))


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, Path]:
    """Files of --json of a Pi 3 and a Pi 5."""
    files = []
    for board, us in (("raspberry-pi-3", 900.0), ("raspberry-pi-5", 300.0)):
        measurements = [_measurement("bnnkit", us), _measurement("onnxruntime", 20 * us)]
        if board == "raspberry-pi-5":
            measurements.append(_measurement("bnnkit", 100.0, threads=4))
        files.append(tmp_path / f"{board}.json")
        files[-1].write_text(json.dumps(_content(tmp_path, board, *measurements)))
    return files[0], files[1]


def test_json_holds_the_board_and_its_state(tmp_path: Path) -> None:
    context = _content(tmp_path, "rk3399", _measurement("bnnkit", 5.0))["context"]
    assert context["board"]["model"] == "Libre Computer ROC-RK3399-PC"
    assert [c["core"] for c in context["board"]["clusters"]] == ["Cortex-A53", "Cortex-A72"]
    assert context["cpus"] == [4, 5]
    assert context["end"]["celsius"] == {"cpu-thermal": 85.0, "gpu-thermal": 78.0}
    assert context["throttled"] == ["cpufreq-cpu4 lowers the clock by 1 of 7 steps"]
    assert any("was throttled" in line for line in context["warnings"])


def test_comparison_matches_settings(stored: tuple[Path, Path]) -> None:
    found = compare_benchmarks(*map(read_benchmark, stored))
    assert [(p.name, p.first_us, p.second_us) for p in found.pairs] == [
        ("bnnkit, batch 1, threads 1", 900.0, 300.0),
        ("onnxruntime, batch 1, threads 1", 18000.0, 6000.0),
    ]
    assert [pair.speed_up for pair in found.pairs] == [3.0, 3.0]
    assert found.only_second == ("bnnkit, batch 1, threads 4",)
    assert found.only_first == ()
    assert found.facts["governor"] == ("ondemand", "performance")
    assert found.facts["temperature at start and end"][0] == "83 °C and 83 °C"
    assert found.facts["board"][1] == "Raspberry Pi 5 Model B Rev 1.0, 4 x Cortex-A76"
    assert len(found.warnings[0]) == 2
    assert found.warnings[1] == ()


class _Reader(HTMLParser):
    """Checks that each tag is closed in order, and collects text and addresses."""

    VOID = ("meta", "br")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for key, value in attrs if key in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def _read_page(page: str) -> str:
    reader = _Reader()
    reader.feed(page)
    assert reader.open == []
    assert reader.addresses == []  # nothing is loaded
    assert "<script" not in page
    return " ".join(reader.text)


def test_the_page_shows_the_measurement(tmp_path: Path) -> None:
    content = _content(
        tmp_path, "raspberry-pi-3", _measurement("bnnkit", 10.5), _measurement("lce", 21.0)
    )
    text = _read_page(html_page(content))
    assert "Latency of m<b>.onnx" in text
    assert "Raspberry Pi 3 Model B Rev 1.2, 4 x Cortex-A53" in text
    assert "was throttled" in text
    assert "10.5 µs" in text
    assert "bnnkit against lce" in text
    assert "conv <1>" in text


def test_the_page_of_two_shows_both(stored: tuple[Path, Path]) -> None:
    found = compare_benchmarks(*map(read_benchmark, stored))
    text = _read_page(html_comparison(found, [file.name for file in stored]))
    assert "raspberry-pi-3.json: the processor was throttled" in text
    assert "3.00" in text
    assert "4 x Cortex-A76" in text


def test_the_command_compares(stored: tuple[Path, Path], tmp_path: Path) -> None:
    page = tmp_path / "both.html"
    result = run("bench", "--compare", *stored, "--report", page)
    assert result.exit_code == 0, result.output
    assert "only in raspberry-pi-5.json: bnnkit, batch 1, threads 4" in result.stdout
    assert "raspberry-pi-3.json: the governor ondemand" in result.stdout
    assert "18,000" in page.read_text()


def test_benchmarks_without_a_common_setting(tmp_path: Path) -> None:
    files = [tmp_path / f"{engine}.json" for engine in ("bnnkit", "lce")]
    for file in files:
        content = _content(tmp_path / file.stem, "raspberry-pi-5", _measurement(file.stem, 3.0))
        file.write_text(json.dumps(content))
    page = tmp_path / "both.html"
    result = run("bench", "--compare", *files, "--report", page)
    assert result.exit_code == 0, result.output
    assert "only in lce.json: lce, batch 1, threads 1" in result.stdout
    assert "Raspberry Pi 5" in _read_page(page.read_text())
    assert "leave out --json" in fail("bench", "--compare", *files, "--json", tmp_path / "c.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "expected a file of bench --json, got"),
        ("[]", "expected a file of bench --json, with context and benchmarks"),
        ('{"context": {}}', "lacks 'benchmarks'"),
        ('{"context": {"cpu_model": "a", "start": 3}, "benchmarks": []}', "expected a file of"),
        ('{"context": {}, "benchmarks": [{"aggregate_name": "median"}]}', "lacks 'real_time'"),
    ],
)
def test_other_files_are_refused(
    text: str, said: str, stored: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other.json"
    other.write_text(text)
    assert said in fail("bench", "--compare", stored[0], other)


def test_wrong_uses_are_refused(
    stored: tuple[Path, Path], digits_model: Path, tmp_path: Path
) -> None:
    assert "expected a MODEL to measure, or --compare" in fail("bench")
    assert "measures nothing: leave out the model" in fail(
        "bench", digits_model, "--compare", *stored
    )
    assert "No such file" in fail("bench", "--compare", stored[0], tmp_path / "none.json")
    assert "html" in fail("bench", digits_model, "--report", tmp_path / "a.json")
    assert "expected numbers of CPUs" in fail("bench", digits_model, "--cpus", "a-b")
    assert "got 9999" in fail("bench", digits_model, "--cpus", "9999")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin")
def test_pinned_processes_are_free_again() -> None:
    before = usable_cpus()
    with pinned([min(before)]):
        assert usable_cpus() == {min(before)}
    with pinned(None):
        assert usable_cpus() == before
    assert usable_cpus() == before
    with pytest.raises(UsageError, match="expected CPUs out of"), pinned([9999]):
        pass


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system cannot pin")
@pytest.mark.slow
def test_the_command_writes_page_and_json(digits_model: Path, tmp_path: Path) -> None:
    page, file, cpu = tmp_path / "a.html", tmp_path / "a.json", min(usable_cpus())
    result = run(
        *("bench", digits_model, "--engines", "bnnkit", "--seconds", 0.01),
        *("--cpus", cpu, "--report", page, "--json", file),
    )
    assert result.exit_code == 0, result.output
    assert "Median latency" in _read_page(page.read_text())
    assert json.loads(file.read_text())["context"]["cpus"] == [cpu]
