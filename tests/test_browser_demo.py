"""The browser demo in Chromium: the numbers of `predict`, the runtime's signs, and its use."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import onnx
import pytest
from browser_pages import PACKAGES, in_browser, served, what_is_missing

import bnnkit.runtime as rt
from bnnkit.artifact.format.probabilities import softmax
from bnnkit.artifact.format.sample import Sample
from bnnkit.engines.ort_session import with_outputs
from bnnkit.runtime.open_file import read
from bnnkit.zoo import located

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(what_is_missing()), reason=f"not installed: {what_is_missing()}"),
]
MODEL = "zoo:mnist-convnet-ensemble"
SAMPLES = 10
TOLERANCE = 1e-6
"""The last layer is a float32 product, which ONNX Runtime sums in its own order."""
SEEDS = (0, 2**32, 2**64 - 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo as make_demo.py writes it."""
    out = tmp_path_factory.mktemp("demo")
    command = [sys.executable, str(PACKAGES / "make_demo.py"), "-o", str(out)]
    subprocess.run(command, check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def used(folder: Path) -> Any:
    """What happened when a person used the demo (tests/browser/run_demo.mjs)."""
    with served(folder) as url:
        return {"url": url, **in_browser("run_demo.mjs", url)}


def in_node(program: str, given: bytes) -> bytes:
    """Run a module that reads from 0, the standard input, and writes to 1."""
    imports = 'import { readFileSync, writeFileSync } from "node:fs";'
    command = ["node", "--input-type=module", "--eval", imports + program]
    return subprocess.run(command, input=given, check=True, capture_output=True).stdout


def answers(used: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """All answers of the demo, by what led to them."""
    others = {name: used[name] for name in ("mouse", "other", "keyboard", "phone")}
    return {**used["samples"], **others}


def test_probabilities_are_those_of_predict(used: dict[str, Any]) -> None:
    model = rt.load(MODEL)
    for name, answer in answers(used).items():
        image = np.array(answer["pixels"], np.uint8).reshape(1, *model.input_shape)
        seed = answer["seed"]
        expected = {
            "onePass": model.predict(image)[0],
            "mean": model.predict(image, samples=SAMPLES, seed=seed)[0],
        }
        for k in range(SAMPLES):
            scores = model.run_sample(image, Sample(index=k, seed=seed))
            assert isinstance(scores, np.ndarray)
            found = np.array(answer["samples"][k])
            assert np.abs(found - softmax(scores)[0]).max() <= TOLERANCE, (name, k)
        mean = sum(np.array(sample) for sample in answer["samples"]) / SAMPLES
        assert np.array_equal(np.float32(mean), np.float32(answer["mean"]))
        for key, probabilities in expected.items():
            assert np.abs(np.array(answer[key]) - probabilities).max() <= TOLERANCE, (name, key)


@pytest.mark.parametrize("name", [MODEL, "zoo:mnist-convnet", "zoo:mnist-ds-cnn"])
def test_signs_are_those_of_the_runtime(name: str, folder: Path) -> None:
    model, artifact = rt.load(name), read(located(name))
    onnx.save(with_outputs(artifact.model, artifact.signs), folder / "signs.onnx")
    images = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape), np.uint8)
    (folder / "images.bin").write_bytes(images.tobytes())
    runs = [(image, -1, 0) for image in (0, 1)]
    if model.is_stochastic:
        runs += [(image, k, seed) for image in (0, 1) for seed in SEEDS for k in (0, 9)]
    listed = json.dumps([(image, k, str(seed)) for image, k, seed in runs])
    with served(folder) as url:
        found = in_browser("run_samples.mjs", url, listed)
    for (image, k, seed), outputs in zip(runs, found, strict=True):
        sample = None if k < 0 else Sample(index=k, seed=seed)
        traced = model.trace(images[image : image + 1], sample=sample)
        assert sum(signs.size for signs in traced.values()) > 1000
        for sign, values in traced.items():
            here = np.frombuffer(base64.b64decode(outputs[sign]), np.uint8)
            assert set(np.unique(here)) <= {0, 2}
            assert np.array_equal(np.packbits(here == 0), np.packbits(values.ravel() == 0)), sign


def test_the_softmax_has_the_bits_of_its_definition() -> None:
    rng = np.random.default_rng(0)
    scores = [(rng.standard_normal((200, n)) * 30).astype(np.float32) for n in (1, 2, 3, 10, 33)]
    scores.append(np.array([[0, -90], [300, 0], [-0.0, 0.0]], np.float32))
    rows = [row for part in scores for row in part.tolist()]
    found = in_node(
        f"""
        import {{ softmax }} from "{(PACKAGES / "probabilities.js").as_uri()}";
        const rows = JSON.parse(readFileSync(0, "utf8"));
        writeFileSync(1, JSON.stringify(rows.map((row) => [...softmax(Float32Array.from(row))])));
        """,
        json.dumps(rows).encode(),
    )
    for row, probabilities in zip(rows, json.loads(found), strict=True):
        expected = softmax(np.array(row, np.float32))
        assert np.array_equal(np.float32(probabilities), expected)


def test_only_the_defaults_of_inputs_leave_the_file() -> None:
    content = located(MODEL).read_bytes()
    found = in_node(
        f"""
        import {{ withRequiredInputs }} from "{(PACKAGES / "model_file.js").as_uri()}";
        writeFileSync(1, withRequiredInputs(readFileSync(0)));
        """,
        content,
    )
    expected = onnx.load_from_string(content)
    inputs = {value.name for value in expected.graph.input}
    kept = [tensor for tensor in expected.graph.initializer if tensor.name not in inputs]
    assert len(kept) == len(expected.graph.initializer) - 4
    del expected.graph.initializer[:]
    expected.graph.initializer.extend(kept)
    assert onnx.load_from_string(found) == expected


def test_metadata_are_read() -> None:
    about = in_node(
        f"""
        import {{ metadata }} from "{(PACKAGES / "model_file.js").as_uri()}";
        writeFileSync(1, JSON.stringify(metadata(readFileSync(0))));
        """,
        located(MODEL).read_bytes(),
    )
    stored = onnx.load(located(MODEL)).metadata_props
    assert json.loads(about) == {one.key.removeprefix("bnnkit."): one.value for one in stored}


def test_nothing_is_loaded_from_elsewhere(used: dict[str, Any]) -> None:
    assert used["errors"] == []
    here = urlsplit(used["url"]).netloc
    assert {urlsplit(url).netloc for url in used["requests"]} == {here}
    names = {urlsplit(url).path for url in used["requests"]}
    assert {"/model.onnx", "/ort-wasm-simd-threaded.wasm"} <= names


def test_it_reads_what_is_drawn_or_chosen(used: dict[str, Any]) -> None:
    """The mouse and the finger draw a seven, without a network; the keyboard chooses a three."""
    digits = {name.removeprefix("Digit "): found for name, found in used["samples"].items()}
    assert set("0123456789") < set(digits)
    for name in "0123456789":
        assert np.argmax(digits[name]["mean"]) == int(name)
    for name, digit in (("mouse", 7), ("phone", 7), ("keyboard", 3)):
        assert np.argmax(used[name]["mean"]) == digit


def test_it_says_what_the_samples_disagree_on(used: dict[str, Any]) -> None:
    for answer in answers(used).values():
        votes = [str(np.argmax(sample)) for sample in answer["samples"]]
        assert answer["votes"] == votes
        for vote in votes:
            assert f"for {vote}" in answer["disagreement"]
        assert answer["rows"] == 10
        assert answer["overflow"] <= 0  # nothing is wider than the screen
        assert min(answer["ms"]) > 0
        assert "ten samples" in answer["latency"]
    assert any(len(set(answer["votes"])) > 1 for answer in used["samples"].values())
    assert used["other"]["pixels"] == used["mouse"]["pixels"]
    assert used["other"]["seed"] == 1
    assert used["other"]["samples"] != used["mouse"]["samples"]


def test_an_image_has_the_form_of_mnist(used: dict[str, Any]) -> None:
    for answer in answers(used).values():
        image = np.array(answer["pixels"], np.float64).reshape(28, 28)
        assert image.max() == 255
        rows, columns = np.nonzero(image > 64)
        assert 16 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 21
        centre = (np.indices(image.shape) * image).sum((1, 2)) / image.sum()
        assert np.abs(centre - 13.5).max() <= 0.75
