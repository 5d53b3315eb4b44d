"""Several processes compute what a single one does, and end together."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from short_runs import interrupted_at
from torch import distributed, nn
from two_processes import NOISY, SMOOTH, train

from bnnkit import data, training
from bnnkit.training import safetensors_file
from bnnkit.training.config import parse_config
from bnnkit.training.gradient_average import GradientAverage
from bnnkit.training.history import read_history
from bnnkit.training.sync_batch_norm import SyncBatchNorms

TESTS = Path(__file__).parent
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]

pytestmark = pytest.mark.skipif(
    not distributed.is_available(), reason="this torch has no torch.distributed"
)


@pytest.fixture
def one_process(tmp_path: Path) -> Iterator[None]:
    """A process group with one process."""
    distributed.init_process_group(
        "gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1
    )
    yield
    distributed.destroy_process_group()


NORMS: list[tuple[type[nn.Module], dict[str, Any], tuple[int, ...]]] = [
    (nn.BatchNorm2d, {}, (6, 3, 4, 5)),
    (nn.BatchNorm1d, {"momentum": None}, (6, 3)),
    (nn.BatchNorm1d, {"affine": False}, (6, 3, 7)),
    (nn.BatchNorm3d, {"track_running_stats": False}, (6, 3, 2, 2, 2)),
]


@pytest.mark.parametrize(("kind", "options", "shape"), NORMS)
def test_a_synchronised_batch_norm_of_one_process_is_torchs(
    one_process: None, kind: type[nn.Module], options: dict[str, Any], shape: tuple[int, ...]
) -> None:
    ours, torchs = (nn.Sequential(kind(3, **options)) for _ in range(2))
    norms = SyncBatchNorms(ours)
    for step in range(3):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(step)) * 3 + 5
        inputs = [x.clone().requires_grad_() for _ in range(2)]
        with norms.synchronised():
            found = ours(inputs[0])
        wanted = torchs(inputs[1])
        torch.testing.assert_close(found, wanted)
        for y in (found, wanted):
            y.pow(3).sum().backward()
        torch.testing.assert_close(inputs[0].grad, inputs[1].grad, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(ours.state_dict(), torchs.state_dict())
    torch.testing.assert_close(ours.eval()(x), torchs.eval()(x))


def test_averaged_gradients_keep_their_places(one_process: None) -> None:
    layers = nn.ModuleList([nn.Conv2d(3, 4, 3), nn.Linear(4, 2).double(), nn.Linear(2, 2)])
    layers.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = GradientAverage(list(layers.parameters()))
    for used in (2, 2, 3):  # the last layer has a gradient only in the last step
        wanted = {}
        for name, parameter in layers[:used].named_parameters():
            wanted[name] = torch.randn_like(parameter)
            parameter.grad = wanted[name].clone()
        average()
        for name, parameter in layers[:used].named_parameters():
            assert parameter.grad is not None
            assert torch.equal(parameter.grad, wanted[name])
            assert parameter.grad.stride() == parameter.stride()


def _run(*command: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*TORCHRUN, *command], env=_environment(), capture_output=True, text=True, timeout=300,
        check=False, **options,
    )  # fmt: skip


def _environment() -> dict[str, str]:
    path = os.pathsep.join([str(TESTS.parent), str(TESTS)])
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of one process ("one-...", "continued" up to epoch 1), then of two."""
    folder = tmp_path_factory.mktemp("runs")
    train(parse_config(SMOOTH), folder / "one-whole")
    train(parse_config(SMOOTH, ["epochs=1"]), folder / "continued")
    train(parse_config(NOISY), folder / "one-noisy")
    shutil.copytree(folder / "one-noisy", folder / "noisy")
    (folder / "noisy" / "checkpoint.safetensors").unlink()
    done = _run(str(TESTS / "two_processes.py"), str(folder))
    assert done.returncode == 0, done.stderr
    (folder / "said").write_text(done.stdout)
    train(parse_config(SMOOTH), folder / "continued")
    return folder


def _tensors(run: Path) -> dict[str, torch.Tensor]:
    return safetensors_file.read(run / "checkpoint.safetensors")[0]


def _losses(run: Path) -> list[float]:
    records = read_history(run / "metrics.jsonl")
    return [r[key] for r in records for key in ("train_loss", "validation_loss") if key in r]


# Gradients and statistics are sums in another order: each differs by some 1e-7 of its size, and
# each of 60 steps adds to it.
@pytest.mark.slow
@pytest.mark.parametrize("name", ["whole", "continued"])
def test_two_processes_train_as_one_does(runs: Path, name: str) -> None:
    assert _losses(runs / name) == pytest.approx(_losses(runs / "one-whole"), rel=1e-4)
    torch.testing.assert_close(
        _tensors(runs / name), _tensors(runs / "one-whole"), rtol=1e-3, atol=1e-4
    )


@pytest.mark.slow
def test_the_first_process_reports_and_writes(runs: Path) -> None:
    first_words = [line.split()[0] for line in (runs / "said").read_text().splitlines()]
    assert first_words[:5] == [*["epoch"] * 3, "batch", "test"]
    assert (first_words.count("epoch"), first_words.count("test")) == (3 + 3 + 1 + 2 + 1, 6)
    records = read_history(runs / "whole" / "metrics.jsonl")
    assert [record["epoch"] for record in records] == [1, 2, 3, 3]
    assert records[-1]["test_accuracy"] > 0.5


@pytest.mark.slow
def test_batch_norms_of_shares_are_another_training(runs: Path) -> None:
    assert _losses(runs / "local") != pytest.approx(_losses(runs / "one-whole"), rel=1e-3)
    assert _losses(runs / "local") == pytest.approx(_losses(runs / "one-whole"), rel=0.2)


@pytest.mark.slow
def test_a_continued_run_of_two_processes_is_the_same(runs: Path) -> None:
    assert _losses(runs / "stopped") == _losses(runs / "whole")
    for file in ("checkpoint.safetensors", "state.safetensors", "best.safetensors"):
        assert (runs / "stopped" / file).read_bytes() == (runs / "whole" / file).read_bytes()


@pytest.mark.slow
def test_evaluations_are_the_same_bits(runs: Path) -> None:
    found, wanted = (
        read_history(runs / name / "metrics.jsonl")[-1] for name in ("noisy", "one-noisy")
    )
    assert {"test_loss_samples", "validation_loss"} < set(wanted)
    assert found == wanted
    file = "checkpoint.safetensors"
    assert (runs / "noisy" / file).read_bytes() == (runs / "one-noisy" / file).read_bytes()


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """The command of a long run on data that `two_processes.load` returns."""
    config = tmp_path / "config.yaml"
    own_data = f"data: {{name: 'two_processes:load', dir: {tmp_path}}}"
    config.write_text(NOISY.replace("data: {name: digits}", own_data))
    return ["-m", "bnnkit", "train", str(config), "epochs=1000", "--trust-code", "two_processes"]


def _said(stderr: str) -> list[str]:
    return [line for line in stderr.splitlines() if line.startswith("bnnkit train:")]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["batch_size=63"], "batch_size 63 cannot be shared evenly by 2 processes"),
        ([], "two_processes:load failed: FileNotFoundError"),
    ],
    ids=["both", "the second"],
)
def test_an_error_is_reported_once(
    tmp_path: Path, command: list[str], overrides: list[str], words: str
) -> None:
    (tmp_path / "fail").touch()
    done = _run(*command, *overrides, "--out", str(tmp_path / "run"))
    assert done.returncode != 0
    said = _said(done.stderr)
    assert len(said) == 1, done.stderr
    assert words in said[0]
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_a_process_that_is_terminated_leaves_a_run_to_continue(
    tmp_path: Path, command: list[str]
) -> None:
    out = tmp_path / "run"
    with subprocess.Popen(
        [*TORCHRUN, *command, "--out", str(out)],
        env=_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as launcher:
        deadline = time.monotonic() + 120
        while not (out / "state.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(int((tmp_path / "process1").read_text()), signal.SIGTERM)
        _, stderr = launcher.communicate(timeout=120)
    assert launcher.returncode != 0
    assert "bnnkit train: terminated" in _said(stderr)
    assert "Traceback" not in stderr.partition("torch/distributed/elastic")[0]
    with (tmp_path / "said").open("w") as file, data.trust_code("two_processes"):
        config = training.load_config(Path(command[3]), ["epochs=1000"])
        with interrupted_at(1):
            training.train(config, out, console=Console(file=file))
    assert (tmp_path / "said").read_text().startswith("continuing after epoch")


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are no two GPUs here")
@pytest.mark.parametrize("compiled", [False, True])
def test_recorded_steps_of_two_gpus_are_the_same(tmp_path: Path, compiled: bool) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(SMOOTH.replace("two_processes:make", "convnet").replace("cpu", "cuda"))
    for recorded in (False, True):
        overrides = [f"cuda_graph={recorded}", f"compile={compiled}", "model.noise=none"]
        out = tmp_path / str(recorded)
        done = _run("-m", "bnnkit", "train", str(config), *overrides, "--out", str(out))
        assert done.returncode == 0, done.stderr
    assert _losses(tmp_path / "True") == pytest.approx(_losses(tmp_path / "False"), rel=0.02)
