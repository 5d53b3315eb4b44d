"""The examples of the guides about deployment run, small, and do what the guides say."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import command_line
import numpy as np
import pytest
from example_scripts import EXAMPLES, run_example

import bnnkit.runtime as rt
from bnnkit.runtime.c_code import export_c

LITERT = os.environ.get("BNNKIT_LITERT_PYTHON")
BREVITAS = os.environ.get("BNNKIT_BREVITAS_PYTHON")
DATA = Path(__file__).parent / "data" / "guides"

pytestmark = pytest.mark.slow


def test_a_layer_that_stayed_float(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each mistake makes a float layer, and its mended network has none."""
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    monkeypatch.setattr(sys, "argv", ["float_layers.py"])
    with warnings.catch_warnings():  # the example ignores them
        runpy.run_path(str(EXAMPLES / "float_layers.py"), run_name="__main__")
    text = capsys.readouterr().out
    cases = re.findall(
        r"^(\S+): .*\n  broken:\n((?:    .*\n)+)  mended:\n((?:    .*\n)+)", text, re.M
    )
    assert len(cases) == 9
    for name, broken, mended in cases:
        assert " float " in broken, name
        assert " float " not in mended, name


def test_c_and_cpp(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    pytest.importorskip("sklearn")
    if not all(map(shutil.which, ("cmake", "gcc", "g++"))):
        pytest.skip("cmake, gcc or g++ is not installed")
    text = run_example(tmp_path, "c/build_and_run.py", "--digits", 20)
    for language in ("C", "C++", "ctypes"):
        assert f"{language}: 20 of 20 probabilities are bnnkit's, to the last bit" in text


def test_jni(tmp_path: Path) -> None:
    """The files for Android build for the Java of this computer and give the probabilities."""
    pytest.importorskip("PIL")
    java = shutil.which("javac")
    if java is None or shutil.which("cmake") is None:
        pytest.skip("cmake or a JDK is not installed")
    headers = Path(java).resolve().parents[1] / "include"
    cpp = tmp_path / "cpp"
    shutil.copytree(EXAMPLES / "phone" / "android", cpp)
    export_c("zoo:mnist-convnet", cpp / "network", name="mnist")
    flags = f"-DCMAKE_C_FLAGS=-I{headers} -I{headers / 'linux'} -Wall -Wextra -Werror"
    call("cmake", "-S", cpp, "-B", tmp_path / "build", flags)
    call("cmake", "--build", tmp_path / "build", "--target", "digits")
    (tmp_path / "Try.java").write_text(TRY)
    call("javac", "-d", tmp_path, cpp / "Mnist.java", tmp_path / "Try.java")
    text = call("java", f"-Djava.library.path={tmp_path / 'build'}", "-cp", tmp_path, "Try")
    *rows, refused = text.splitlines()
    image = (np.arange(784) % 251).astype(np.uint8).reshape(1, 1, 28, 28)
    (expected,) = rt.load("zoo:mnist-convnet").predict(image)
    assert np.array_equal(np.array(rows, np.float32), expected)
    assert refused == "expected 28 x 28 pixels"


TRY = """
import org.example.digits.Mnist;

class Try {
    public static void main(String[] arguments) {
        byte[] pixels = new byte[784];
        for (int i = 0; i < pixels.length; i++) pixels[i] = (byte) (i % 251);
        for (float p : Mnist.predict(pixels)) System.out.println(p);
        try {
            Mnist.predict(new byte[3]);
        } catch (IllegalArgumentException error) {
            System.out.println(error.getMessage());
        }
    }
}
"""


def test_a_phone(tmp_path: Path) -> None:
    pytest.importorskip("onnx_ir", reason="the extra export is not installed")
    pytest.importorskip("PIL")
    text = run_example(tmp_path, "phone/export_assets.py")
    assert re.search(r"builtin\.tflite: [\d,]+ bytes; .*3 CONV_2D", text)
    assert re.search(r"lce\.tflite: [\d,]+ bytes; .*2 LceBconv2d", text)
    if LITERT is None:
        pytest.skip("BNNKIT_LITERT_PYTHON names no Python with ai-edge-litert")
    text = run_example(tmp_path, "phone/check_litert.py", "assets", python=LITERT)
    assert "the same class for 20 of 20 images" in text


@pytest.mark.parametrize("model", ["zoo:mnist-convnet", "zoo:cifar10-vgg-ensemble"])
def test_a_board(model: str, tmp_path: Path) -> None:
    wheel = tmp_path / "bnnkit-0-py3-none-any.whl"
    wheel.write_bytes(b"")
    run_example(tmp_path, "board/prepare.py", model, "--wheel", wheel)
    board = tmp_path / "board"
    call("sh", "-n", board / "setup.sh")
    text = call(sys.executable, board / "check_board.py")
    assert "run.0: the same bits, 8 inputs" in text
    assert ("predict: the same bits, 8 inputs" in text) == ("ensemble" in model)
    expected = arrays(board / "expected.npz")
    expected["run.0"][0, 0] += 1
    np.savez(board / "expected.npz", **expected)
    done = subprocess.run(
        [sys.executable, board / "check_board.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "run.0: DIFFERS, 8 inputs" in done.stdout


def test_a_board_gets_one_model(tmp_path: Path) -> None:
    (tmp_path / "board").mkdir()
    (tmp_path / "board" / "model.onnx").write_bytes(b"")
    command = [sys.executable, str(EXAMPLES / "board" / "prepare.py"), "zoo:mnist-convnet"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("expected an empty folder, got board")


def test_plain_onnx(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    pytest.importorskip("onnxruntime")
    text = run_example(tmp_path, "convert/from_plain_onnx.py", "--steps", 40)
    assert re.findall(r"^\S+ +(float|binary) ", text, re.M) == [
        "float",
        "binary",
        "binary",
        "float",
    ]
    assert "the same class for 360 of 360 images" in text
    before, after = re.findall(r"([\d,]+) bytes before, ([\d,]+) after", text)[0]
    assert int(after.replace(",", "")) < int(before.replace(",", "")) / 8


def test_larq() -> None:
    """What examples/convert/from_larq.py wrote, with an accuracy in Larq of 0.894."""
    check = arrays(DATA / "digits_larq.npz")
    scores = rt.load(DATA / "digits_larq.tflite").predict(check["images"])
    assert f"{(scores.argmax(1) == check['labels']).mean():.3f}" == "0.894"


@pytest.mark.skipif(
    BREVITAS is None, reason="BNNKIT_BREVITAS_PYTHON names no Python with Brevitas"
)
def test_brevitas(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    assert BREVITAS is not None
    text = run_example(tmp_path, "convert/from_brevitas.py", "digits.onnx", python=BREVITAS)
    found = json.loads(
        in_this_process("convert", tmp_path / "digits.onnx", "-o", tmp_path / "m.onnx", "--json")
    )
    kinds = [layer["kind"] for layer in found["layers"]]
    assert kinds == ["float", "binary", "binary", "float"]
    check = arrays(tmp_path / "digits.npz")
    scores = rt.load(tmp_path / "m.onnx").predict(check["images"])
    accuracy = (scores.argmax(1) == check["labels"]).mean()
    assert text.split()[-1] == f"{accuracy:.3f}"


def test_an_ensemble(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its commands run in this process, which has imported torch already."""
    pytest.importorskip("onnxscript", reason="the extra export is not installed")
    pytest.importorskip("matplotlib")
    names = runpy.run_path(str(EXAMPLES / "ensemble.py"))
    monkeypatch.setitem(names["main"].__globals__, "bnnkit", in_this_process)
    monkeypatch.setattr(sys, "argv", ["ensemble.py", "-o", str(tmp_path), "--epochs", "2"])
    names["main"]()
    text = capsys.readouterr().out
    assert len(re.findall(r"^ +(?:\d+|auto) +[\d.]+ +0\.\d+ +\d\.\d+ +0\.\d+$", text, re.M)) == 16
    assert len(re.findall(r"^ +[\d.]+ +[\d.]+% +[\d.]+", text, re.M)) == 8
    assert text.count("chosen") >= 2
    assert re.search(r"^samples within 2 % of the nll of 32: \d+$", text, re.M)
    assert (tmp_path / "ensemble.png").stat().st_size > 10_000


def in_this_process(*words: object) -> str:
    result = command_line.run(*words)
    assert result.exit_code == 0, result.output
    return result.stdout


def arrays(path: Path) -> dict[str, Any]:
    with np.load(path) as file:
        return dict(file)


def call(*command: object) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
