"""The networks that come with the package."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import bnnkit.runtime as rt
from bnnkit.cli.group import bnnkit_command
from bnnkit.errors import ArtifactError
from bnnkit.zoo import ZooModel, located, zoo
from bnnkit.zoo.catalogue import FOLDER

DOCS = Path(__file__).parent.parent / "docs" / "zoo.md"
MOST_BYTES = 12e6
MOST_ECE = {"cifar10": 0.02, "mnist": 0.025}


@pytest.mark.parametrize("model", zoo(), ids=lambda model: model.name)
def test_the_catalogue_is_of_the_files(model: ZooModel) -> None:
    content = model.path.read_bytes()
    assert (hashlib.sha256(content).hexdigest(), len(content)) == (model.sha256, model.size)
    assert (FOLDER.parent.parent / "examples" / "configs" / model.recipe).is_file()
    assert f"| `{model.name}` | {model.title} | {model.accuracy:.2%} |" in DOCS.read_text()
    assert (model.accuracy_samples is not None) == model.name.endswith("-ensemble")


def test_every_file_is_in_the_catalogue_and_all_are_small() -> None:
    assert {path.stem for path in FOLDER.glob("*.onnx")} == {model.name for model in zoo()}
    assert sum(model.size for model in zoo()) < MOST_BYTES


def test_a_name_stands_for_a_file() -> None:
    name = "cifar10-vgg-small"
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    by_name, by_path = rt.load(f"zoo:{name}"), rt.load(located(f"zoo:{name}"))
    assert np.array_equal(by_name.run(images), by_path.run(images))
    assert by_name.predict(images).shape == (2, 10)


def test_commands_take_names(tmp_path: Path) -> None:
    inputs, outputs = tmp_path / "x.npy", tmp_path / "y.npy"
    images = np.random.default_rng(1).integers(0, 256, (2, 3, 32, 32), dtype=np.uint8)
    np.save(inputs, images)
    name = "zoo:cifar10-vgg-small"
    found = CliRunner().invoke(bnnkit_command, ["run", name, str(inputs), "-o", str(outputs)])
    assert found.exit_code == 0, found.output
    assert np.array_equal(np.load(outputs), rt.load(name).run(images))
    assert CliRunner().invoke(bnnkit_command, ["info", name]).exit_code == 0


def test_an_unknown_name_lists_the_names() -> None:
    with pytest.raises(ArtifactError, match=r"out of cifar10-\w+.*, got 'vgg'"):
        rt.load("zoo:vgg")
    found = CliRunner().invoke(bnnkit_command, ["info", "zoo:vgg"])
    assert found.exit_code == 2


def test_the_command_lists_all() -> None:
    table = CliRunner().invoke(bnnkit_command, ["zoo"]).output
    listed = json.loads(CliRunner().invoke(bnnkit_command, ["zoo", "--json"]).output)
    assert [entry["name"] for entry in listed] == [model.name for model in zoo()]
    for entry, model in zip(listed, zoo(), strict=True):
        assert {"name", "data", "accuracy", "sha256"} <= set(entry)
        assert re.search(rf"{model.name} .* {100 * model.accuracy:.2f} %", table)


@pytest.mark.parametrize("model", zoo(), ids=lambda model: model.name)
def test_confidence_is_calibrated(model: ZooModel) -> None:
    """The deployed answer: of ten samples, or of one pass without noise."""
    assert (model.ece_samples is None) == (model.accuracy_samples is None)
    assert (model.ece if model.ece_samples is None else model.ece_samples) < MOST_ECE[model.data]


def test_stored_comparisons_are_of_the_files() -> None:
    results = FOLDER.parent.parent / "benchmarks" / "results" / "zoo-equality.json"
    models = {model.name: model for model in zoo()}
    entries = json.loads(results.read_text())
    assert entries
    for entry in entries:
        model = models[entry["name"]]
        assert entry["sha256"] == model.sha256
        for one in entry["passes"]:
            expected = model.accuracy if one["samples"] == 0 else model.accuracy_samples
            assert one["accuracy"]["bnnkit"] == expected
            assert one["equal_classes"] >= entry["images"] - 2
