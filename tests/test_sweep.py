"""Sweeps: the runs of a grid, their spread, and the choice on validation data alone."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from command_line import fail, run
from short_runs import interrupted_at

from bnnkit.cli.sweep_table import print_sweep
from bnnkit.errors import ConfigError
from bnnkit.sweeps.grid import Variant, load_grid
from bnnkit.sweeps.run import Run, Status
from bnnkit.sweeps.summary import Spread, summarise
from bnnkit.sweeps.tables import write_tables
from bnnkit.training import train
from bnnkit.training.config import Config
from bnnkit.training.history import read_history
from bnnkit.training.loop import DivergedError
from bnnkit.training.run_lock import run_lock

ROOT = Path(__file__).parents[1]
CONFIG = """
data: {name: digits}
model: {name: mlp, width: 16}
epochs: 1
batch_size: 64
recalibrate: 1
eval_samples: 0
device: cpu
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "c.yaml"
    path.write_text(CONFIG)
    return path


def test_a_grid_has_every_combination(config: Path) -> None:
    grid = load_grid(config, ["seed=1,2", "lr=0.1", "model.width=32,64", "epochs=7"])
    assert [variant.values for variant in grid] == [
        {"seed": seed, "model.width": width} for seed in (1, 2) for width in (32, 64)
    ]
    assert [variant.config.seed for variant in grid] == [1, 1, 2, 2]
    assert [variant.config.model.options["width"] for variant in grid] == [32, 64, 32, 64]
    assert {(variant.config.lr, variant.config.epochs) for variant in grid} == {(0.1, 7)}
    assert grid[1].name == "seed=1,model.width=64"


def test_the_section_and_the_command_line_name_the_same_grid(config: Path) -> None:
    listed = load_grid(config, ["seed=1,2", "model.width=32,64"])
    config.write_text(f"{CONFIG}sweep: {{seed: [1, 2], model: {{width: [32, 64]}}}}\n")
    assert load_grid(config) == listed
    assert load_grid(config, ["seed=1,2", "model.width=32"]) == [
        Variant(values={"seed": v.config.seed}, config=v.config)
        for v in listed
        if v.values["model.width"] == 32
    ]


def test_commas_in_brackets_and_quotes_separate_nothing(config: Path) -> None:
    grid = load_grid(config, ["freeze=[a,b],[c]", "log=[csv,tensorboard]", 'data.dir="a,b"'])
    assert [variant.config.freeze for variant in grid] == [["a", "b"], ["c"]]
    assert grid[0].config.log == ["csv", "tensorboard"]
    assert grid[0].config.data.dir == "a,b"


def test_names_of_folders_differ_and_hold_no_slash(config: Path) -> None:
    grid = load_grid(config, [f"start_from=a/b,a_b,{'c' * 300},{'c' * 299}"])
    names = [variant.name for variant in grid]
    assert len(set(names)) == 4
    assert all("/" not in name and len(name) < 120 for name in names)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["lr=0.1"], "expected several values of at least one key, such as seed=1,2,3"),
        (["seed=1,1"], "the value 1 of seed is listed twice"),
        (["seed=1,x"], "c.yaml with seed=x: seed: expected an integer, got 'x'"),
        (["widht=1,2"], "unknown key widht; valid keys: data"),
        (["sweep=3", "seed=1,2"], "expected keys with lists of values in sweep"),
        (["sweep.seed=3"], "expected a list of values for seed in sweep"),
    ],
)
def test_wrong_grids(config: Path, overrides: list[str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_grid(config, overrides)


def test_train_refuses_a_sweep(config: Path) -> None:
    config.write_text(f"{CONFIG}sweep: {{seed: [1, 2]}}\n")
    assert "the section sweep is for `bnnkit sweep`" in fail("train", config, "--out", "run")
    for value in ("1,2", "[1,2]"):
        config.write_text(CONFIG)
        words = fail("train", config, f"seed={value}", "--out", "run")
        assert words.endswith("`bnnkit sweep` trains with each of several values")


def _run(values: dict[str, Any], status: Status = "finished", **scores: Any) -> Run:
    return Run(variant=Variant(values=values, config=Config()), status=status, record=scores)


def test_the_choice_is_made_on_validation_data_alone() -> None:
    runs = [
        _run({"seed": seed, "lr": lr}, validation_accuracy=valid, test_accuracy=test)
        for seed, lr, valid, test in (
            *((1, 0.1, 0.6, 0.9), (2, 0.1, 0.5, 0.9), (3, 0.1, 0.7, 0.9)),
            *((1, 0.2, 0.7, 0.1), (2, 0.2, 0.8, 0.3), (3, 0.2, 0.6, 0.2)),
        )
    ]
    found = summarise(runs)
    assert (found.criterion, found.best) == ("validation_accuracy", 1)
    assert [setting.values for setting in found.settings] == [{"lr": 0.1}, {"lr": 0.2}]
    best = found.settings[1].scores
    assert best["test_accuracy"].mean == pytest.approx(0.2)
    assert best["test_accuracy"].std == pytest.approx(0.1)
    assert best["validation_accuracy"].std == pytest.approx(stdev([0.7, 0.8, 0.6]))


def test_ensembles_and_errors_choose_where_they_are_known() -> None:
    scores: dict[str, Any] = {"validation_accuracy": 0.9, "validation_loss": 1.0}
    one = _run({"lr": 1}, **scores, validation_accuracy_samples=0.5)
    two = _run({"lr": 2}, **scores, validation_accuracy_samples=0.6)
    assert summarise([one, two]).criterion == "validation_accuracy_samples"
    assert summarise([one, two]).best == 1
    errors = [_run({"lr": lr}, validation_mae=error) for lr, error in ((1, 0.5), (2, 0.4))]
    assert (summarise(errors).criterion, summarise(errors).best) == ("validation_mae", 1)


def test_the_choice_is_told_in_the_words_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [_run({"lr": lr}, validation_accuracy_samples=lr / 10) for lr in (1, 2)]
    print_sweep(summarise(runs), Path("out"))
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "best by the mean of validation accuracy, samples: lr=2"


def test_nothing_is_chosen_too_early_or_of_diverged_runs() -> None:
    good: dict[str, Any] = {"validation_accuracy": 0.5}
    bad: dict[str, Any] = {"validation_accuracy": 0.4}
    runs = [_run({"lr": 1}, **good), _run({"lr": 2}, **bad)]
    assert summarise(runs).best == 0
    assert summarise([*runs, _run({"lr": 3}, "missing")]).best is None
    assert summarise([_run({"lr": 1}, "diverged"), *runs[1:]]).best == 1
    assert summarise(runs[:1]).best is None
    assert summarise([_run({"lr": lr}, test_accuracy=0.5) for lr in (1, 2)]).best is None
    (setting,) = summarise([*runs[:1], _run({"lr": 1, "seed": 2}, "diverged")]).settings
    assert (setting.finished, setting.diverged) == (1, 1)
    assert setting.scores["validation_accuracy"] == Spread(0.5, None)


def test_scores_without_a_number_choose_nothing_and_are_null_in_files(tmp_path: Path) -> None:
    runs = [
        _run({"seed": seed, "lr": lr}, validation_mae=score)
        for lr, scores in ((1, (float("nan"), 0.1)), (2, (0.5, 0.7)), (3, (float("inf"), 0.2)))
        for seed, score in enumerate(scores)
    ]
    found = summarise(runs)
    assert (found.criterion, found.best) == ("validation_mae", 1)
    assert found.settings[0].scores["validation_mae"].std is None
    assert summarise(runs[:2] + runs[4:]).best is None
    write_tables(tmp_path, runs)
    content = json.loads((tmp_path / "sweep.json").read_text())
    assert content["settings"][0]["scores"]["validation_mae"] == {"mean": None, "std": None}
    scores = [run["scores"]["validation_mae"] for run in content["runs"]]
    assert scores == [None, 0.1, 0.5, 0.7, None, 0.2]


@pytest.mark.slow
def test_a_sweep_is_resumed_extended_and_tabulated(config: Path, tmp_path: Path) -> None:
    out = tmp_path / "sweep"
    with interrupted_at(25):
        result = run("sweep", config, "seed=1,2", "lr=0.01,0.001", "--out", out)
        assert result.exit_code == 130
        raise KeyboardInterrupt
    finished = out / "seed=1,lr=0.01" / "checkpoint.safetensors"
    written = finished.stat().st_mtime_ns
    assert json.loads((out / "sweep.json").read_text())["settings"][1]["missing"] == 2
    result = run("sweep", config, "seed=1,2", "lr=0.01,0.001", "--out", out)
    assert result.exit_code == 0, result.output
    assert finished.stat().st_mtime_ns == written
    found = run("sweep", config, "seed=1,2,3", "lr=0.01,0.001", "--out", out, "--json")
    content = json.loads(found.stdout)
    assert content == json.loads((out / "sweep.json").read_text())
    finals = {
        lr: [read_history(out / f"seed={s},lr={lr}" / "metrics.jsonl")[-1] for s in (1, 2, 3)]
        for lr in (0.01, 0.001)
    }
    for setting in content["settings"]:
        tests = [record["test_accuracy"] for record in finals[setting["values"]["lr"]]]
        expected = {"mean": pytest.approx(mean(tests)), "std": pytest.approx(stdev(tests))}
        assert setting["scores"]["test_accuracy"] == expected
    valid = [s["scores"]["validation_accuracy"]["mean"] for s in content["settings"]]
    assert [s["is_best"] for s in content["settings"]] == [v == max(valid) for v in valid]
    with (out / "runs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seed"] for row in rows] == ["1", "1", "2", "2", "3", "3"]
    assert float(rows[0]["test_accuracy"]) == finals[0.01][0]["test_accuracy"]
    with (out / "sweep.csv").open(newline="") as file:
        assert [row["lr"] for row in csv.DictReader(file)] == ["0.01", "0.001"]


def test_what_a_sweep_refuses_it_refuses_before_the_first_run(
    config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "sweep"
    assert "expected a model out of mlp" in fail("sweep", config, "model.name=mlp,x", "--out", out)
    assert not out.exists()
    assert "needs torchrun" in fail("sweep", config, "seed=1,2", "devices=2", "--out", out)
    assert "is a file" in fail("sweep", config, "seed=1,2", "--out", config)


@pytest.mark.slow
def test_runs_that_diverge_or_that_others_train_are_left_out(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "sweep"

    def diverging(given: Config, *args: Any, **options: Any) -> None:
        if given.lr == 0.3:
            raise DivergedError("the training loss became nan in epoch 1")
        train(given, *args, **options)

    monkeypatch.setattr("bnnkit.sweeps.sweep.train", diverging)
    with run_lock(out / "lr=0.02"):
        result = run("sweep", config, "lr=0.01,0.02,0.3", "--out", out)
    assert result.exit_code == 0, result.output
    assert "left out: another process trains in" in result.stdout
    assert "the training loss became nan" in result.stdout
    assert "1 run is not finished" in result.stdout
    statuses = [r["status"] for r in json.loads((out / "sweep.json").read_text())["runs"]]
    assert statuses == ["finished", "missing", "diverged"]


@pytest.mark.slow
def test_processes_of_torchrun_train_each_run_together(config: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    sweep = ["-m", "bnnkit", "sweep", str(config), "seed=1,2", "--out", str(tmp_path / "out")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *sweep], cwd=ROOT, env=environment, capture_output=True, text=True,
        timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("mean ± standard deviation") == 1
    runs = json.loads((tmp_path / "out" / "sweep.json").read_text())["runs"]
    assert [run["status"] for run in runs] == ["finished", "finished"]
