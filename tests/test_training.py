"""Whole small runs: what they write, say, and refuse."""

import logging
import math
import sys
import warnings
from collections.abc import Iterator
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from bnnkit import data, training
from bnnkit.errors import ConfigError, FileError, MissingExtraError, UsageError
from bnnkit.evaluation.metrics import accuracy, nll
from bnnkit.training import evaluate, load_checkpoint, train
from bnnkit.training.config import Config, parse_config
from bnnkit.training.curves import draw_curves
from bnnkit.training.history import read_history
from bnnkit.training.launch import quiet_libraries

QUIET = Console(quiet=True)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Small networks are no faster with more, and far slower where the cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _config(*overrides: str) -> Config:
    text = "model: {name: mlp, width: 64}\nepochs: 3\nbatch_size: 64\ndevice: cpu\n"
    return parse_config(text, overrides)


@pytest.mark.parametrize(
    "overrides",
    [["recalibrate=0"], ["recalibrate=3", "precision=bf16-mixed"], ["validation=0"]],
    ids=lambda overrides: overrides[0],
)
def test_a_run_writes_its_folder(tmp_path: Path, overrides: list[str]) -> None:
    config = _config("eval_every=2", "label_smoothing=0.1", "weight_decay=1e-4", *overrides)
    out = tmp_path / "new" / "run"
    result = train(config, out, console=QUIET)
    assert {path.name for path in out.iterdir()} == {
        "config.yaml", "metrics.jsonl", "curves.png", "checkpoint.safetensors",
        "state.safetensors",
        *(["best.safetensors"] if config.validation else []),
    }  # fmt: skip
    records = read_history(out / "metrics.jsonl")
    assert [record["epoch"] for record in records] == [1, 2, 3, 3]
    is_validated = config.validation > 0
    assert ["validation_accuracy" in record for record in records] == [
        False, is_validated, is_validated, is_validated,
    ]  # fmt: skip
    assert ["test_accuracy" in record for record in records] == [False, False, False, True]
    assert ("validation_accuracy_before_recalibration" in records[-1]) == (
        config.recalibrate > 0 and is_validated
    )
    assert training.load_config(out / "config.yaml") == config
    assert records[-1]["test_accuracy"] == result.accuracy > 0.8
    assert not result.was_finished


KEYS = [f"{name}{suffix}" for suffix in ("", "_samples") for name in ("loss", "accuracy")]


@pytest.mark.parametrize(
    ("overrides", "sampled"),
    [
        (["eval_samples=3", "eval_samples_every=2"], [2, 4, 5]),
        (["eval_samples=0"], []),
        (["model.noise=none"], []),
    ],
)
def test_evaluations_are_of_the_ensemble_too(
    tmp_path: Path, overrides: list[str], sampled: list[int]
) -> None:
    result = train(_config("epochs=5", "recalibrate=4", *overrides), tmp_path, console=QUIET)
    *epochs, final = read_history(tmp_path / "metrics.jsonl")
    assert [r["epoch"] for r in epochs if "validation_accuracy" in r] == [1, 2, 3, 4, 5]
    for suffix in ("accuracy", "loss"):
        assert [r["epoch"] for r in epochs if f"validation_{suffix}_samples" in r] == sampled
    keys = KEYS if sampled else KEYS[:2]
    assert {key for key in final if key.startswith(("test", "validation"))} == {
        *(f"test_{key}" for key in keys),
        *(f"validation_{key}" for key in keys),
        *(f"validation_{key}_before_recalibration" for key in keys),
    }  # fmt: skip
    for key in keys:
        before = final[f"validation_{key}_before_recalibration"]
        assert before == epochs[-1][f"validation_{key}"]
    assert not any(key.startswith("test") for record in epochs for key in record)
    assert result.accuracy_samples == final.get("test_accuracy_samples")


def test_the_ensemble_that_is_scored_is_the_one_of_evaluate(tmp_path: Path) -> None:
    train(_config("eval_samples=3"), tmp_path, console=QUIET)
    digits, final = data.load("digits"), read_history(tmp_path / "metrics.jsonl")[-1]
    probabilities = evaluate(load_checkpoint(tmp_path).model, digits.x_test, samples=3)
    assert accuracy(probabilities, digits.y_test) == final["test_accuracy_samples"]
    want = pytest.approx(final["test_loss_samples"], rel=1e-5)
    assert nll(probabilities, digits.y_test) == want
    assert final["test_loss_samples"] != final["test_loss"]


def test_recalibration_is_in_the_mode_of_deployment(tmp_path: Path) -> None:
    means = {}
    for mode in ("auto", "samples", "deterministic"):
        overrides = ("epochs=1", "eval_samples=0", f"recalibrate_mode={mode}")
        train(_config(*overrides), tmp_path / mode, console=QUIET)
        tensors = load_checkpoint(tmp_path / mode).model.state_dict()
        means[mode] = {name: t for name, t in tensors.items() if name.endswith("running_mean")}
    differs = [
        not torch.equal(mean, means["deterministic"][name]) for name, mean in means["auto"].items()
    ]
    # The inputs of the first batch norm are the same in both modes.
    assert differs == [False, *[True] * (len(differs) - 1)]
    assert all(torch.equal(mean, means["samples"][name]) for name, mean in means["auto"].items())


def test_the_checkpoint_holds_the_network_that_was_scored(tmp_path: Path) -> None:
    result = train(_config(), tmp_path / "run", console=QUIET)
    digits = data.load("digits")
    model, config, metadata = load_checkpoint(tmp_path / "run")
    probabilities = evaluate(model, digits.x_test)
    final = read_history(tmp_path / "run" / "metrics.jsonl")[-1]
    assert accuracy(probabilities, digits.y_test) == metadata.accuracy == result.accuracy
    assert nll(probabilities, digits.y_test) == pytest.approx(final["test_loss"], rel=1e-5)
    assert (metadata.dataset, metadata.zero_point) == ("digits", digits.zero_point)
    assert config == _config()


def test_equal_seeds_are_equal_runs_and_leave_the_callers_generator(tmp_path: Path) -> None:
    torch.manual_seed(11)
    train(_config("augment=crop-flip"), tmp_path / "a", console=QUIET)
    drawn = torch.rand(1)
    torch.manual_seed(11)
    assert torch.equal(torch.rand(1), drawn)
    train(_config("augment=crop-flip"), tmp_path / "b", console=QUIET)
    train(_config("augment=crop-flip", "seed=1"), tmp_path / "c", console=QUIET)
    a, b, c = ((tmp_path / run / "checkpoint.safetensors").read_bytes() for run in "abc")
    assert a == b != c


def test_a_line_an_epoch_where_there_is_no_terminal(tmp_path: Path) -> None:
    with (tmp_path / "said").open("w") as file:
        console = Console(file=file, width=40)
        train(_config(), tmp_path / "run", console=console)
        again = train(_config(), tmp_path / "run", console=console)
    lines = (tmp_path / "said").read_text().splitlines()
    assert len(lines) == 6
    assert lines[2].startswith("epoch 3/3  loss ")
    assert all(word in lines[0] for word in ("accuracy", "validation", "left"))
    final = read_history(tmp_path / "run" / "metrics.jsonl")[-1]
    assert again.was_finished
    assert again.accuracy == final["test_accuracy"]
    assert again.accuracy_samples == final["test_accuracy_samples"]
    before, after, tested = (
        f"{100 * final[f'{part}_accuracy{suffix}']:.2f} %, "
        f"{100 * final[f'{part}_accuracy_samples{suffix}']:.2f} % with 10 samples"
        for part, suffix in (
            ("validation", "_before_recalibration"), ("validation", ""), ("test", ""),
        )
    )  # fmt: skip
    assert "samples" not in lines[0]
    assert "  samples " in lines[2]
    assert lines[3] == (
        "batch norms recalibrated, with noisy signs and deterministic weights: "
        f"validation {before} before; {after} after"
    )
    folder = tmp_path / "run"
    words = f"test accuracy, deterministic: {tested}"
    assert lines[4] == f"{words}; the run is in {folder}"
    assert lines[5] == f"{folder} holds this run, finished: {words}; nothing to do"


def test_a_bar_in_a_terminal(tmp_path: Path) -> None:
    with (tmp_path / "said").open("w") as file:
        console = Console(file=file, width=100, force_terminal=True)
        train(_config(), tmp_path / "run", console=console)
    text = (tmp_path / "said").read_text()
    assert "━" in text
    assert "epoch 3/3" in text
    assert "loss" in text


def test_a_finished_run_is_left_alone(tmp_path: Path) -> None:
    train(_config(), tmp_path, console=QUIET)
    before = {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()
    }
    assert train(_config("data.dir=elsewhere"), tmp_path, console=QUIET).was_finished
    after = {
        path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.iterdir()
    }
    assert after == before


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    train(_config(), tmp_path, console=QUIET)
    before = (tmp_path / "metrics.jsonl").read_bytes()
    message = r"another configuration: its model.width is 64, not 65; lr is 0.01, not 0.5. Choose"
    with pytest.raises(ConfigError, match=message):
        train(_config("lr=0.5", "model.width=65"), tmp_path, console=QUIET)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_a_folder_with_files_of_unknown_origin_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoint.safetensors").write_text("precious")
    with pytest.raises(FileError, match=r"holds checkpoint.safetensors but no config.yaml"):
        train(_config(), tmp_path, console=QUIET)
    with pytest.raises(FileError, match="is a file; expected a folder"):
        train(_config(), tmp_path / "checkpoint.safetensors", console=QUIET)
    (tmp_path / "file").write_text("")
    with pytest.raises(FileError, match="cannot make"):
        train(_config(), tmp_path / "file" / "run", console=QUIET)
    assert (tmp_path / "checkpoint.safetensors").read_text() == "precious"


@pytest.mark.parametrize(
    ("overrides", "error", "message"),
    [
        (["batch_size=5000"], ConfigError, "batch_size 5000 is more than the 1295 training"),
        (["device=cuda"], ConfigError, "torch finds no GPU here"),
        (["precision=16-mixed"], ConfigError, "precision 16-mixed needs a GPU"),
        (["devices=3"], ConfigError, "cannot be shared evenly by 3 processes"),
        (["num_nodes=2"], ConfigError, "torchrun --nnodes 2 --nproc-per-node 1 .* bnnkit train"),
        (["model.noise=foo"], ConfigError, r"model mlp for inputs .* expected a noise .* 'foo'"),
        (["data.dir=x"], UsageError, "digits come with scikit-learn .* got x: leave out .*dir"),
        (["model.name=mlq"], ConfigError, "expected a model out of"),
        (["model.wide=3"], ConfigError, "wide"),
        (["model.noise=none", "recalibrate_mode=samples"], ConfigError, "this one has none"),
        (["eval_samples=1025"], ConfigError, "eval_samples: expected a value less"),
        (["model.width=-3"], ConfigError, "width of mlp to be a positive int"),
        (["data.name=minst"], UsageError, "unknown data set 'minst'"),
        (["data.name=mnist", "data.dir=none"], FileError, "--data-dir"),
    ],
)
def test_what_cannot_be_trained(
    tmp_path: Path, overrides: list[str], error: type[Exception], message: str
) -> None:
    if overrides == ["device=cuda"] and torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(error, match=message) as caught:
        train(_config(*overrides), tmp_path / "run", console=QUIET)
    assert "\n" not in str(caught.value)


def test_a_loss_that_is_no_number_ends_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> torch.Tensor:
        return torch.tensor([math.nan, 0, 64], dtype=torch.float64)

    monkeypatch.setattr("bnnkit.training.step.batch_totals", broken)
    with pytest.raises(UsageError, match=r"loss became nan in epoch 1; .* than lr=0.01"):
        train(_config(), tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run" / "state.safetensors").exists()


def test_real_inputs_train_and_cannot_be_cropped(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    y = rng.integers(0, 3, 300)
    x = rng.normal(size=(300, 5)) + 3 * np.eye(3, 5)[y]
    np.savez(tmp_path / "blobs.npz", x=x, y=y)
    overrides = ["data.name=blobs.npz", f"data.dir={tmp_path}", "batch_size=30", "epochs=8"]
    assert train(_config(*overrides), tmp_path / "run", console=QUIET).accuracy > 0.9
    with pytest.raises(ConfigError, match=r"inputs \(F,\) = \(5,\): expected images"):
        train(_config(*overrides, "model={name: convnet}"), tmp_path / "no", console=QUIET)
    with pytest.raises(ConfigError, match=r"augment crop-flip is for images, blobs has inputs"):
        train(_config(*overrides, "augment=crop-flip"), tmp_path / "no", console=QUIET)
    assert not (tmp_path / "no").exists()


def test_labels_that_count_from_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    y = rng.integers(0, 3, 300)
    x = rng.normal(size=(300, 5)) + 3 * np.eye(3, 5)[y]
    names = {
        "from one": {},
        "named": {"classes": ["background", "a", "b", "c"]},
    }
    for name, more in names.items():
        np.savez(tmp_path / f"{name}.npz", x=x, y=y + 1, **more)
    overrides = [f"data.dir={tmp_path}", "batch_size=30", "epochs=8"]
    with pytest.raises(ConfigError, match=r"from one are 1 to 3, expected 0 to 2: subtract 1"):
        train(_config("data.name=from one.npz", *overrides), tmp_path / "no", console=QUIET)
    assert not (tmp_path / "no").exists()
    result = train(_config("data.name=named.npz", *overrides), tmp_path / "run", console=QUIET)
    assert result.accuracy > 0.9


@pytest.mark.parametrize("name", ["vgg", "convnet"])
def test_real_images_with_channels_last_do_not_fit(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(6)
    np.savez(tmp_path / "last.npz", x=rng.normal(size=(40, 9, 9, 1)), y=np.arange(40) % 2)
    overrides = [f"data.name={tmp_path / 'last.npz'}", "batch_size=8", f"model={{name: {name}}}"]
    with pytest.raises(ConfigError, match=r"inputs \(C, H, W\) = \(9, 9, 1\)"):
        train(_config(*overrides), tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "random"),
    [
        ({}, "noisy signs and sampled weights"),
        ({"weight_noise": "none"}, "noisy signs"),
        ({"weight_noise": "none", "noise": "none"}, "deterministic"),
    ],
)
def test_the_legend_says_what_is_random(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, str], random: str
) -> None:
    said = []
    monkeypatch.setattr(
        "bnnkit.training.finish.draw_curves", lambda *_, training, samples: said.append(training)
    )
    overrides = [f"model.{key}={value}" for key, value in options.items()]
    train(_config("epochs=1", *overrides), tmp_path / "run", console=QUIET)
    assert said == [f"training (st, mirror-descent), {random}"]


def test_libraries_are_quiet_only_inside() -> None:
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    with quiet_libraries():
        assert logger.level == logging.ERROR
        warnings.warn_explicit("chatter", UserWarning, "fabric.py", 1, module="lightning_fabric.x")
    assert logger.level == level
    with pytest.raises(UserWarning, match="chatter"):
        warnings.warn_explicit("chatter", UserWarning, "fabric.py", 1, module="lightning_fabric.x")


class _NoMatplotlib(MetaPathFinder):
    """Finds that matplotlib is not installed."""

    def find_spec(self, fullname: str, *_: object) -> None:
        if fullname == "matplotlib":
            raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")


def test_without_matplotlib_a_run_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_NoMatplotlib(), *sys.meta_path])
    with pytest.raises(MissingExtraError, match=r"pip install 'bnnkit\[plot\]'"):
        draw_curves([{"epoch": 1}], tmp_path / "curves.png", "made")
    with (tmp_path / "said").open("w") as file:
        train(_config("epochs=1"), tmp_path / "run", console=Console(file=file))
    assert (tmp_path / "said").read_text().count("no curves.png: drawing curves.png needs") == 1
    assert not (tmp_path / "run" / "curves.png").exists()
