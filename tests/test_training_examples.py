"""The guides' scripts about training run, here in small, and reach what they are for."""

import re
import sys
from pathlib import Path

import pytest
from command_line import run
from example_scripts import run_example

pytest.importorskip("onnxscript", reason="the extra export is not installed")
pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[1]


def test_a_pretrained_network(tmp_path: Path) -> None:
    text = run_example(tmp_path, "binarize_pretrained.py", "--epochs", "5", "-o", "small.onnx")
    found = [float(number) for number in re.findall(r"^\w.* (\d+\.\d) %$", text, re.MULTILINE)]
    pretrained, integer, untrained, trained, in_file = found
    assert abs(pretrained - integer) < 1
    assert untrained < trained
    assert trained > 85
    assert in_file == pytest.approx(trained, abs=0.3)
    assert re.findall(r"^  \S+ +(\w+)", text, re.MULTILINE) == [
        "integer",
        *4 * ["binary"],
        "float",
    ]


def test_distillation(tmp_path: Path) -> None:
    text = run_example(tmp_path, "distil.py", "--epochs", "4", "--seeds", "1")
    teacher, *students = [float(number) for number in re.findall(r": (\d+\.\d) %", text)]
    assert teacher > 95
    assert len(students) == 2
    assert min(students) > 75


def test_the_choice_of_an_estimator(tmp_path: Path) -> None:
    few = ("--bits", "8", "--epochs", "2", "--samples", "60", "--trials", "10", "--batches", "2")
    text = run_example(tmp_path, "choose_estimator.py", *few, "-o", "figure.png")
    cosines = dict(re.findall(r"^(\S+) +(\d\.\d\d) \(", text, re.MULTILINE))
    assert float(cosines["st"]) > float(cosines["identity-st"])
    assert (tmp_path / "figure.png").read_bytes()[:4] == b"\x89PNG"


def test_a_noise_and_a_rule_of_ones_own(tmp_path: Path) -> None:
    text = run_example(tmp_path, "own_noise_and_rule.py", "own.onnx")
    assert [float(number) > 0.93 for number in re.findall(r"accuracy (\S+)", text)] == [True] * 2


def test_they_train_by_the_configuration_of_the_guide(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs/guides/own-noise-and-rule.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```(python|yaml)\n(.*?)```", text, re.DOTALL)
    code = "\n".join(block for language, block in blocks if language == "python")
    (config,) = [block for language, block in blocks if language == "yaml"]
    (tmp_path / "module_of_guide.py").write_text(code)
    (tmp_path / "config.yaml").write_text(config.replace("mymodule", "module_of_guide"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "module_of_guide", None)  # so that it is removed again
    del sys.modules["module_of_guide"]
    trust = ("--trust-code", "module_of_guide")
    small = ("epochs=1", "model.width=4", "recalibrate=2")
    for command in (
        ("train", "config.yaml", *small, "--out", "run", *trust),
        ("export", "run", "-o", "model.onnx", *trust),
    ):
        result = run(*command)
        assert result.exit_code == 0, result.output
    shown = run("eval", "model.onnx", "--data", "digits", "--samples", "0,10")
    assert shown.exit_code == 0, shown.output


def test_the_table_of_the_paper(tmp_path: Path) -> None:
    small = ("epochs=6", "model.width=16", "recalibrate=9", "--seeds", "1", "--out", "runs")
    rows = (
        run_example(tmp_path, "paper_table.py", *small)
        .split("the paper, CIFAR-10\n")[1]
        .splitlines()
    )
    assert [row.split()[0] for row in rows] == ["logistic", "uniform", "triangular"]
    assert all(float(row.split()[1]) > 30 for row in rows)
