import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from bnnkit.bench import benchmark as benchmark_module
from bnnkit.cli import quickstart
from bnnkit.cli.group import bnnkit_command
from bnnkit.evaluation.evaluate import Evaluation


@pytest.mark.slow
def test_quickstart_runs_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(benchmark_module, "WARM_UP_S", 0.0)
    monkeypatch.setattr(quickstart, "BENCH_SECONDS", 0.05)
    out = tmp_path / "made" / "here"
    start = time.process_time()
    first = CliRunner().invoke(bnnkit_command, ["quickstart", "--out", str(out)])
    assert first.exit_code == 0, first.output
    assert time.process_time() - start < 90
    for command in ("train", "export", "verify", "run", "eval", "bench"):
        assert f"$ bnnkit {command} " in first.stdout
    assert "\nequal\n" in first.stdout
    assert "NOT" not in first.stdout
    assert "; the deterministic pass and 4 samples, of 2 seeds" in first.stdout
    # samples, samples used, accuracy
    ensembles = re.findall(r"^ *(0|10) +(0\.00|10\.00) +(\S+)% ", first.stdout, re.MULTILINE)
    assert [used for used, *_ in ensembles] == ["0", "10"]
    assert all(float(accuracy) >= 95 for *_, accuracy in ensembles)
    about = json.loads(
        CliRunner().invoke(bnnkit_command, ["info", str(out / "digits.onnx"), "--json"]).stdout
    )
    assert float(about["metadata"]["accuracy"]) >= 0.95
    assert np.load(out / "scores.npy").shape == (359, 10)
    again = CliRunner().invoke(bnnkit_command, ["quickstart", "--out", str(out)])
    assert again.exit_code == 0
    assert "nothing to do" in again.stdout


def _evaluation(nll: float) -> Evaluation:
    return Evaluation(
        samples=10, mean_samples=10.0, accuracy=0.9, nll=nll, brier=0.1, ece=0.1, microseconds=1.0
    )


@pytest.mark.parametrize(
    ("ensemble", "said"),
    [
        (0.03, "The samples lower the nll from 0.040 to 0.030"),
        (0.09, "The samples do not pay here: the nll rises from 0.040 to 0.090"),
    ],
)
def test_quickstart_says_what_its_samples_gain(ensemble: float, said: str) -> None:
    found = quickstart._what_samples_gain(
        _evaluation(0.04), _evaluation(ensemble), run=Path("quickstart/run")
    )
    assert found.startswith(said)


def test_quickstart_needs_a_folder_that_it_can_make(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(bnnkit_command, ["quickstart", "--out", str(tmp_path / "file")])
    assert result.exit_code == 2
    assert result.stderr.startswith(f"bnnkit quickstart: cannot make the folder {tmp_path}/file: ")
