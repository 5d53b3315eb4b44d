"""The guides' scripts about sequences and segmentation run, here in small."""

import re
import wave
from pathlib import Path

import numpy as np
import pytest
from example_scripts import run_example

pytest.importorskip("onnxscript", reason="the extra export is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytestmark = pytest.mark.slow
RATE = 16_000


def test_synthetic_sounds(tmp_path: Path) -> None:
    text = run_example(
        tmp_path, "keyword_spotting.py", "--steps", "60", "--sounds", "300", "--width", "16"
    )
    assert "6 of 8 layers are binary" in text
    assert "another class in ONNX Runtime: 0" in text
    assert float(re.findall(r"test accuracy (\S+)", text)[0]) > 0.3  # one of eight by chance


def test_a_folder_of_speech_commands(tmp_path: Path) -> None:
    """In its form: a folder for each word, and the list of the files for tests."""
    rng = np.random.default_rng(0)
    listed = []
    for word, hz in (("low", 300), ("high", 2000)):
        (tmp_path / "data" / word).mkdir(parents=True)
        for i in range(12):
            tone = np.sin(
                2 * np.pi * hz * rng.uniform(0.9, 1.1) * np.arange(RATE - 100 * i) / RATE
            )
            sound = 8000 * tone + rng.normal(0, 300, tone.shape)
            with wave.open(str(tmp_path / "data" / word / f"{i}_nohash_0.wav"), "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                file.writeframes(sound.astype("<i2").tobytes())
        listed += [f"{word}/{i}_nohash_0.wav" for i in range(4)]
    (tmp_path / "data" / "testing_list.txt").write_text("\n".join(listed))
    words = ("--data-dir", "data", "--words", "low", "high", "--steps", "20", "--width", "8")
    text = run_example(tmp_path, "keyword_spotting.py", *words)
    assert re.findall(r"^(low|high) ", text, re.MULTILINE) == ["low", "high"]
    assert float(re.findall(r"test accuracy (\S+)", text)[0]) > 0.7


def test_segmentation(tmp_path: Path) -> None:
    text = run_example(
        tmp_path, "segmentation.py", "--steps", "12", "--width", "8", "--canvases", "60"
    )
    assert "another class in ONNX Runtime: 0" in text
    assert len(re.findall(r"^IoU of ", text, re.MULTILINE)) == 11
    assert len(re.findall(r"^[.\d]{32}   [.\d]{32}$", text, re.MULTILINE)) == 32
