"""Samples of a stochastic model on the command line: run, eval, bench and verify."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from artifacts import noisy_digits_like
from command_line import run, succeed

from bnnkit.artifact.ensemble_config import EnsembleConfig
from bnnkit.artifact.operators.functions import function, names
from bnnkit.bench import benchmark as benchmark_module
from bnnkit.runtime import Model, load


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stochastic model, its inputs as an array, and as a labelled set."""
    path = tmp_path_factory.mktemp("noisy")
    model, images = noisy_digits_like()
    model.model.functions.extend(function(name) for name in names())
    onnx.save(model.model, path / "m.onnx")
    np.save(path / "x.npy", images)
    labels = Model(model).predict(images, samples=20).argmax(axis=1)
    np.savez(path / "set.npz", x=images, y=np.where(np.arange(64) % 5, labels, 9 - labels))
    return path


@pytest.fixture
def images(folder: Path) -> Any:
    return np.load(folder / "x.npy")


@pytest.mark.parametrize("engine", ["bnnkit", "onnxruntime", "reference"])
def test_run_writes_the_mean_over_samples(folder: Path, images: Any, engine: str) -> None:
    out = folder / "p.npy"
    succeed(
        *("run", folder / "m.onnx", folder / "x.npy", "-o", out, "--engine", engine),
        *("--samples", 4, "--seed", 2**64 - 1, "--antithetic"),
    )
    expected = load(folder / "m.onnx").predict(images, samples=4, seed=2**64 - 1, antithetic=True)
    np.testing.assert_allclose(np.load(out), expected, rtol=0, atol=1e-6)


def test_run_without_samples_is_deterministic(folder: Path, images: Any) -> None:
    model = load(folder / "m.onnx")
    succeed("run", folder / "m.onnx", folder / "x.npy", "-o", folder / "out.npy")
    np.testing.assert_array_equal(np.load(folder / "out.npy"), model.run(images))
    succeed("run", folder / "m.onnx", folder / "x.npy", "-o", folder / "out.npy", "--samples", 0)
    np.testing.assert_array_equal(np.load(folder / "out.npy"), model.predict(images))


def test_the_former_options_still_work_and_are_not_shown(folder: Path) -> None:
    words = ("run", folder / "m.onnx", folder / "x.npy", "--samples", "auto")
    present, former = folder / "present.npy", folder / "former.npy"
    succeed(*words, "-o", present, "--error-rate", 0.2, "--max-samples", 8)
    succeed(*words, "-o", former, "--error", 0.2, "--most-samples", 8)
    assert former.read_bytes() == present.read_bytes()
    for command in ("run", "eval"):
        said = succeed(command, "--help")
        assert "--max-samples" in said
        assert "--most-samples" not in said
        assert re.search(r"--error-rate\b", said)
        assert not re.search(r"--error\b(?!-)", said)


def test_run_says_how_unsure_the_ensemble_is(folder: Path, images: Any) -> None:
    out = folder / "p.npz"
    said = succeed(
        *("run", folder / "m.onnx", folder / "x.npy", "-o", out, "--samples", "auto"),
        *("--error-rate", 0.2, "--max-samples", 8, "--seed", 3),
    )
    config = EnsembleConfig(samples="auto", error_rate=0.2, max_samples=8, seed=3)
    expected = load(folder / "m.onnx").ensemble(images, config)
    with np.load(out, allow_pickle=False) as found:
        assert found.files == ["probabilities", "entropy", "mutual_information", "samples"]
        for name in found.files:
            np.testing.assert_array_equal(found[name], getattr(expected, name))
    assert 2 <= expected.samples.min() < expected.samples.max() <= 8
    assert f"{expected.samples.mean():.2f} on average" in said


def test_batches_draw_the_samples_of_the_whole(folder: Path, images: Any) -> None:
    many = np.concatenate([images] * 5)
    np.save(folder / "many.npy", many)
    out = folder / "many_p.npy"
    succeed("run", folder / "m.onnx", folder / "many.npy", "-o", out, "--samples", 2)
    expected = load(folder / "m.onnx").predict(many, samples=2)
    np.testing.assert_array_equal(np.load(out), expected)
    assert (expected[:64] != expected[64:128]).any()  # an image again is another image


def test_eval_of_several_numbers_of_samples(folder: Path) -> None:
    plot = folder / "cost.png"
    arguments = ("eval", folder / "m.onnx", "--data", folder / "set.npz", "--seed", 1)
    found = json.loads(succeed(*arguments, "--samples", "0,1,4,auto", "--json", "--plot", plot))
    assert [entry["samples"] for entry in found] == [0, 1, 4, "auto"]
    assert [entry["mean_samples"] for entry in found[:3]] == [0, 1, 4]
    assert 2 <= found[3]["mean_samples"] <= 10
    for entry in found:
        assert entry["seed"] == 1
        assert entry["microseconds"] > 0
        assert 0 <= entry["accuracy"] <= 1
        assert 0 <= entry["ece"] <= 1
    assert found[1]["nll"] != found[0]["nll"]
    assert plot.read_bytes().startswith(b"\x89PNG")
    alone = json.loads(succeed(*arguments, "--samples", 4, "--json"))
    for key in ("accuracy", "nll", "brier", "ece", "mean_samples"):
        assert alone[key] == found[2][key]
    table = succeed(*arguments, "--samples", "0,auto")
    assert re.search(r"^ +auto +\d+\.\d\d +\d+\.\d\d% ", table, re.MULTILINE)


def test_eval_of_a_checkpoint_draws_the_samples_of_its_model(
    digits_run: Path, digits_model: Path
) -> None:
    options = ("--samples", "0,3,auto", "--seed", 5, "--json")
    of_checkpoint, of_model = (
        json.loads(succeed("eval", path, *options)) for path in (digits_run, digits_model)
    )
    for one, other in zip(of_checkpoint, of_model, strict=True):
        for key in ("accuracy", "nll", "brier", "ece", "mean_samples"):
            assert one[key] == pytest.approx(other[key], abs=1e-3), key
    assert of_model[0]["nll"] != of_model[1]["nll"]


def test_bench_of_samples(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_module, "WARM_UP_S", 0.0)
    file = folder / "bench.json"
    table = succeed(
        *("bench", folder / "m.onnx", "--samples", 3, "--seconds", 0.05, "--json", file),
        *("--engines", "bnnkit,onnxruntime,onnxruntime-fp32"),
    )
    assert re.search(r"^  bnnkit \S+ +3 ", table, re.MULTILINE)
    assert re.search(r"^  onnxruntime-fp32 \S+ +one pass ", table, re.MULTILINE)
    content = json.loads(file.read_text())
    samples = {entry["run_name"]: entry["samples"] for entry in content["benchmarks"]}
    assert samples == {
        "m.onnx/bnnkit/batch:1/threads:1/samples:3": 3,
        "m.onnx/onnxruntime/batch:1/threads:1/samples:3": 3,
        "m.onnx/onnxruntime-fp32/batch:1/threads:1": 0,
    }
    assert [ratio["samples"] for ratio in content["ratios"]] == [[3, 3], [3, 0]]


@pytest.mark.slow
def test_verify_compares_samples(digits_run: Path, digits_model: Path) -> None:
    arguments = ("verify", digits_run, digits_model, "--images", 20)
    table = succeed(*arguments)
    assert "; the deterministic pass and 4 samples, of 2 seeds" in table
    assert table.endswith("equal\n")
    found = json.loads(succeed(*arguments, "--samples", 3, "--json"))
    assert found["is_equal"]
    assert len(found["samples"]) == 6
    assert found["comparisons"][0]["engine"] == "torch"
    assert "samples" not in succeed(*arguments, "--samples", 0)


def test_a_damaged_table_of_noise_is_refused(folder: Path) -> None:
    model = onnx.load(folder / "m.onnx")
    table = next(t for t in model.graph.initializer if t.name == "noise.logistic")
    values = onnx.numpy_helper.to_array(table)[::-1].copy()
    table.CopyFrom(onnx.numpy_helper.from_array(values, table.name))
    onnx.save(model, folder / "damaged.onnx")
    arguments = ["run", folder / "damaged.onnx", folder / "x.npy", "-o", folder / "no.npy"]
    result = run(*arguments)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "noise.logistic" in result.stderr
