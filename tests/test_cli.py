import json
import re
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import onnx
import pytest
from artifacts import ArtifactBuilder
from command_line import run, succeed
from onnx import TensorProto

from bnnkit.artifact.checks.computed import COMPUTED
from bnnkit.bench import benchmark as benchmark_module
from bnnkit.cli.console import print_json
from bnnkit.cli.group import COMMANDS, bnnkit_command
from bnnkit.cli.options import RenamedOption
from bnnkit.engines import ENGINES, open_file
from bnnkit.runtime import load

README = Path(__file__).parent.parent / "README.md"


def _commands() -> list[tuple[str, click.Command]]:
    context = click.Context(bnnkit_command)
    found = [(name, bnnkit_command.get_command(context, name)) for name in COMMANDS]
    return [(name, command) for name, command in found if command is not None]


def test_help_lists_every_command() -> None:
    listed = succeed("--help")
    assert all(re.search(rf"^  {name} ", listed, re.MULTILINE) for name in COMMANDS)
    assert succeed() == listed
    assert succeed("-h") == listed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_and_its_options(name: str) -> None:
    assert len(dict(_commands())) == len(COMMANDS)
    command = dict(_commands())[name]
    assert command.name == name
    assert command.help is not None
    assert command.help.splitlines()[0] == COMMANDS[name]
    options = [p for p in command.params if isinstance(p, click.Option)]
    assert all(option.help and option.help.endswith(".") for option in options)
    shown = succeed(name, "--help")
    for option in options:  # former names work, but are not shown
        names = option.opts[:1] if isinstance(option, RenamedOption) else option.opts[-1:]
        assert names[0] in shown


@pytest.mark.skipif(not README.exists(), reason="no README.md beside the tests")
def test_every_command_is_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    assert [name for name in COMMANDS if f"bnnkit {name}" not in text] == []


def test_version() -> None:
    assert re.fullmatch(r"bnnkit \d+\.\d+\.\d+\n", succeed("--version"))


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['bnnkit', '--help']\n"
        "from bnnkit.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = ('numpy', 'onnx', 'numba', 'torch', 'onnxruntime', 'rich', 'matplotlib')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_commands_that_need_no_torch_import_none(digits_model: Path, tmp_path: Path) -> None:
    model, images = digits_model, tmp_path / "images.npy"
    np.save(images, np.zeros((2, 1, 8, 8), np.uint8))
    code = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from bnnkit.cli.group import bnnkit_command\n"
        "for line in sys.stdin.read().splitlines():\n"
        "    result = CliRunner().invoke(bnnkit_command, line.split('\\t'))\n"
        "    assert result.exit_code == 0, result.output\n"
        "assert 'torch' not in sys.modules and 'onnxruntime' not in sys.modules"
    )
    lines = [
        ["run", model, images, "-o", tmp_path / "out.npy"],
        ["info", model, "--json"],
        ["bench", model, "--engines", "bnnkit", "--seconds", "0.01", "--profile"],
    ]
    text = "\n".join("\t".join(map(str, line)) for line in lines)
    done = subprocess.run([sys.executable, "-c", code], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("engine", ENGINES)
def test_run_writes_what_the_engine_gives(model: Path, images: Path, engine: str) -> None:
    out = model.parent / "out.npy"
    said = succeed("run", model, images, "-o", out, "--engine", engine, "--threads", 2)
    assert str(out) in said
    found = np.load(out)
    (expected,) = open_file("reference", model).run(np.load(images))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    assert sorted(p.name for p in model.parent.iterdir()) == [
        "images.npy",
        "model.onnx",
        "out.npy",
    ]


def test_run_with_samples_writes_probabilities(model: Path, images: Path) -> None:
    out = model.parent / "out.npy"
    succeed("run", model, images, "-o", out, "--samples", 0, "--seed", 7)
    np.testing.assert_allclose(np.load(out).sum(axis=1), 1, rtol=1e-6)
    expected = load(model).predict(np.load(images))
    np.testing.assert_array_equal(np.load(out), expected)


def test_run_in_batches_is_the_same(model: Path, images: Path) -> None:
    many = np.concatenate([np.load(images)] * 80)
    np.save(images, many)
    out = model.parent / "out.npy"
    succeed("run", model, images, "-o", out)
    np.testing.assert_array_equal(np.load(out), open_file("bnnkit", model).run(many)[0])


def test_run_writes_several_outputs_by_name(tmp_path: Path) -> None:
    a = ArtifactBuilder()
    signs = a.sign("x")
    real = a.to_real(signs)
    model = a.artifact((5,), real, signs, dtype=TensorProto.FLOAT, sizes={real: (5,), signs: (5,)})
    onnx.save(model.model, tmp_path / "m.onnx")
    images = a.rng.standard_normal((4, 5)).astype(np.float32)
    np.save(tmp_path / "x.npy", images)
    succeed("run", tmp_path / "m.onnx", tmp_path / "x.npy", "-o", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz", allow_pickle=False) as found:
        assert found.files == [real, signs]
        np.testing.assert_array_equal(found[real], np.where(images >= 0, 1, -1))
    result = run("run", tmp_path / "m.onnx", tmp_path / "x.npy", "-o", tmp_path / "out.npy")
    assert result.exit_code == 2
    assert "2 outputs" in result.stderr
    assert not (tmp_path / "out.npy").exists()


def test_eval_of_checkpoint_and_model_agree(
    digits_run: Path, digits_model: Path, tmp_path: Path
) -> None:
    plot = tmp_path / "reliability.png"
    found = {}
    for path in (digits_run, digits_run / "checkpoint.safetensors", digits_model):
        found[path] = json.loads(succeed("eval", path, "--data", "digits", "--json"))
    first, *others = found.values()
    assert set(first) >= {"accuracy", "nll", "brier", "ece", "images", "samples", "data"}
    assert (first["images"], first["samples"], first["data"]) == (359, 0, "digits")
    assert 0 <= first["accuracy"] <= 1
    for other in others:
        for key in ("accuracy", "nll", "brier", "ece"):
            assert other[key] == pytest.approx(first[key], abs=1e-5)
    table = succeed("eval", digits_model, "--samples", 0, "--plot", plot)
    assert f"{first['accuracy']:.2%}" in table
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_export_writes_the_model_and_reports(digits_run: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    table = succeed("export", digits_run, "--to", "onnx", "-o", path)
    assert "integer" in table
    assert "why not binary" in table
    report = json.loads(succeed("export", digits_run, "-o", path, "--json"))
    assert report["file_bytes"] == path.stat().st_size
    assert {layer["kind"] for layer in report["layers"]} == {"binary", "integer", "float"}
    assert list(tmp_path.iterdir()) == [path]


def test_verify_of_equal_engines(digits_run: Path, digits_model: Path) -> None:
    found = json.loads(succeed("verify", digits_run, digits_model, "--json"))
    assert found["is_equal"]
    assert found["n_images"] == 359
    assert found["comparisons"][0]["engine"] == "torch"
    table = succeed("verify", digits_model, "--images", 5)
    assert "5 images, the test part of digits" in table
    assert table.endswith("equal\n")
    assert "left out: torch" in table
    assert "bnnkit those that are written to memory" in table


def test_verify_takes_inputs_from_files(
    digits_run: Path, digits_model: Path, model: Path, images: Path, tmp_path: Path
) -> None:
    assert f"7 images, {images}" in succeed("verify", model, "--data", images)
    assert "random inputs" in succeed("verify", model, "--images", 3)
    data = tmp_path / "data.npz"
    x = np.random.default_rng(0).integers(0, 256, (20, 1, 8, 8)).astype(np.uint8)
    np.savez(data, x=x, y=np.arange(20) % 10)
    assert "4 images, the test part of data" in succeed(
        "verify", digits_run, digits_model, "--data", data
    )


def test_verify_of_inputs_that_are_not_images_calls_them_examples(tmp_path: Path) -> None:
    a = ArtifactBuilder(0)
    out = a.gemm("x", 12, 2)
    onnx.save(a.artifact((12,), out, sizes={out: (2,)}).model, tmp_path / "values.onnx")
    said = succeed("verify", tmp_path / "values.onnx", "--images", 3)
    assert "on 3 examples, random inputs" in said
    assert "image" not in said


def test_verify_says_what_differs_and_exits_with_1(digits_run: Path, digits_model: Path) -> None:
    model = onnx.load(digits_model)
    threshold = next(t for t in model.graph.initializer if t.name.endswith("threshold"))
    values = onnx.numpy_helper.to_array(threshold).copy()
    values.flat[3] += 100000
    threshold.CopyFrom(onnx.numpy_helper.from_array(values, threshold.name))
    changed = digits_model.with_name("changed.onnx")
    onnx.save(model, changed)
    result = run("verify", digits_run, changed)
    assert result.exit_code == 1
    assert result.stdout.endswith("NOT equal\n")
    name = threshold.name.removesuffix(".threshold")
    assert re.search(
        rf"torch: the first tensor that differs is {name}, [\d,]+ signs", result.stdout
    )
    assert json.loads(run("verify", digits_run, changed, "--json").stdout)["is_equal"] is False


def test_bench_prints_and_writes_json(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark_module, "WARM_UP_S", 0.0)
    file = model.parent / "bench.json"
    table = succeed(
        *("bench", model, "--engines", "bnnkit, onnxruntime", "--threads", "1,2"),
        *("--batch", "2", "--seconds", "0.01", "--profile", "--json", file),
    )
    assert len(re.findall(r"^  onnxruntime ", table, re.MULTILINE)) == 2
    assert "layers in bnnkit's runtime" in table
    assert re.search(r"sum of the steps: [\d.,]+ us, a whole pass: [\d.,]+ us", table)
    content = json.loads(file.read_text())
    assert {e["threads"] for e in content["benchmarks"]} == {1, 2}
    assert content["context"]["model"] == "model.onnx"
    assert content["profile"]
    assert content["float32_us"].keys() <= {step["name"] for step in content["profile"]}
    assert re.search("binarizing does not pay in|every binary layer is faster", table)


def test_a_file_with_an_operator_that_the_runtime_lacks(tmp_path: Path) -> None:
    a = ArtifactBuilder(0)
    lacking = a.add("Hardmax", a.gemm("x", 12, 4))
    assert "Hardmax" not in COMPUTED
    path = tmp_path / "hardmax.onnx"
    onnx.save(a.artifact((12,), lacking, sizes={lacking: (4,)}).model, path)
    assert json.loads(succeed("info", path, "--json"))["lacking"] == {"Hardmax": 1}
    line = "operators that bnnkit's runtime lacks, with the number of nodes: Hardmax (1)"
    assert line in succeed("info", path)
    result = run("bench", path)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is a Hardmax, an operator that bnnkit's runtime lacks; --engines" in result.stderr
    others = ("bench", path, "--engines", "onnxruntime", "--seconds", "0.01")
    assert "onnxruntime" in run(*others).stdout


@pytest.mark.slow
def test_train_continues_to_export(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("data: {name: mnist}\nmodel: {name: mlp, width: 16, depth: 1}\nepochs: 1\n")
    out = tmp_path / "run"
    said = succeed("train", config, "model.width=8", "data.name=digits", "--out", out)
    assert "epoch 1/1" in said
    assert {"config.yaml", "metrics.jsonl", "checkpoint.safetensors"} <= {
        path.name for path in out.iterdir()
    }
    again = succeed("train", config, "model.width=8", "data.name=digits", "--out", out)
    assert "nothing to do" in again
    succeed("export", out, "-o", tmp_path / "m.onnx")
    succeed("verify", out, tmp_path / "m.onnx")


def test_a_batch_that_the_file_fixes(model: Path, images: Path) -> None:
    content = onnx.load(model)
    content.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(content, model)
    assert succeed("verify", model, "--images", 3).endswith("equal\n")
    expected = open_file("bnnkit", model).run(np.load(images))[0]
    for engine in ENGINES:
        out = model.parent / "out.npy"
        succeed("run", model, images, "-o", out, "--engine", engine)
        np.testing.assert_allclose(np.load(out), expected, rtol=0, atol=1e-4)


def test_json_has_no_nan(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": [float("nan"), 1.5], "b": {"c": float("-inf")}})
    assert json.loads(capsys.readouterr().out) == {"a": [None, 1.5], "b": {"c": None}}
