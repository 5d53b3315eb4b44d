"""The exported C's own test passes on every target that this computer can compile and run."""

from pathlib import Path

import numpy as np
import pytest
from artifacts import noisy_real_like
from c_targets import TARGETS, Target

from bnnkit.runtime.c_code import export_c

pytestmark = pytest.mark.slow


def _skip_if_missing(target: Target) -> None:
    if target.missing:
        pytest.skip(f"not installed: {', '.join(target.missing)} (.ci/c_targets installs them)")


@pytest.fixture(scope="module")
def digits(digits_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported digits network, with noise."""
    folder = tmp_path_factory.mktemp("digits")
    export_c(digits_model, folder)
    return folder


@pytest.fixture(scope="module")
def skips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported network with real numbers, skip connections and float inputs."""
    folder = tmp_path_factory.mktemp("skips")
    export_c(noisy_real_like()[0], folder)
    return folder


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The exported CIFAR-10 network of the zoo, with noise."""
    folder = tmp_path_factory.mktemp("vgg")
    export_c("zoo:cifar10-vgg-ensemble", folder)
    return folder


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_digits(target: Target, digits: Path) -> None:
    _skip_if_missing(target)
    assert target.run(digits, "bnn") == "bnn: passed\n"


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_skip_connections(target: Target, skips: Path) -> None:
    _skip_if_missing(target)
    assert target.run(skips, "bnn") == "bnn: passed\n"


@pytest.mark.parametrize(
    "name", ["gcc-native", "clang", "sanitizers-native", "cortex-a72", "armv7-neon"]
)
def test_vgg(name: str, vgg: Path) -> None:
    (target,) = (one for one in TARGETS if one.name == name)
    _skip_if_missing(target)
    assert target.run(vgg, "bnn") == "bnn: passed\n"


def test_a_wrong_output_fails(digits: Path, tmp_path: Path) -> None:
    target = TARGETS[0]
    _skip_if_missing(target)
    for file in digits.glob("*.[ch]"):
        text = file.read_text()
        if file.name == "bnn_test.c":
            start = text.index("run_output[3][10] = {\n{\n") + len("run_output[3][10] = {\n{\n")
            bits = int(text[start:].partition("u")[0])
            text = (
                f"{text[:start]}{np.uint32(bits) ^ np.uint32(1)}{text[start + len(str(bits)) :]}"
            )
        (tmp_path / file.name).write_text(text)
    assert "FAILED" in target.run(tmp_path, "bnn")
