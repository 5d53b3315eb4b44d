"""Classes of images: `Model.classify`, and `bnnkit run` on files, folders and standard input."""

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from artifacts import digits_like
from click.testing import CliRunner
from command_line import fail, run

import bnnkit.runtime as rt
from bnnkit.artifact.artifact import Artifact
from bnnkit.cli.group import bnnkit_command
from bnnkit.errors import FileError, UsageError
from bnnkit.images.preprocessing import stored_preprocessing
from bnnkit.runtime import Classification, Preprocessing

Image = pytest.importorskip("PIL.Image")
NAMES = tuple(f"class {k}" for k in range(10))


@pytest.fixture
def folder(tmp_path: Path, images: Path) -> Path:
    """Four inputs of `model` as PNG files."""
    path = tmp_path / "photos"
    path.mkdir()
    for n, pixels in enumerate(np.load(images)[:4, 0]):
        Image.fromarray(pixels).save(path / f"{n}.png")
    return path


def best(found: list[Classification]) -> list[int]:
    return [one.top[0].index for one in found]


def test_the_probabilities_are_those_of_predict(model: Path, images: Path, folder: Path) -> None:
    network, inputs = rt.load(model), np.load(images)[:4]
    expected = network.predict(inputs)
    k = expected.shape[1]
    forms = (folder, str(folder), sorted(folder.iterdir()), inputs, list(inputs[:, 0]))
    for form in forms:
        found = network.classify(form, top=k + 3)
        for one, row in zip(found, expected, strict=True):
            assert {top.index: top.probability for top in one.top} == dict(enumerate(row.tolist()))
            values = [top.probability for top in one.top]
            assert values == sorted(values, reverse=True)
            assert (one.label, one.probability) == (one.top[0].label, one.top[0].probability)
    assert [Path(one.image).name for one in network.classify(folder)] == [
        f"{n}.png" for n in range(4)
    ]
    assert network.classify(inputs)[2].image == "image 2"
    (one,) = network.classify(folder / "1.png", top=2)
    assert len(one.top) == 2
    with (folder / "1.png").open("rb") as file:
        assert network.classify(file, top=2)[0].top == one.top


@pytest.mark.slow
def test_samples_are_those_of_predict_also_beyond_one_batch() -> None:
    network = rt.load("zoo:cifar10-vgg-ensemble")
    images = np.random.default_rng(0).integers(0, 256, (67, 3, 32, 32), dtype=np.uint8)
    few = [image.transpose(1, 2, 0) for image in images]
    expected = network.predict(images, samples=2, seed=3)
    found = network.classify(few, samples=2, seed=3, top=1)
    assert [one.probability for one in found] == expected.max(axis=1).tolist()
    assert {one.samples for one in found} == {2}
    assert all(0 <= (one.mutual_information or 0) <= (one.entropy or 0) for one in found)
    assert found[0].label in json.loads(network.metadata["classes"])


def with_metadata(model: Path, **entries: str) -> Path:
    found = onnx.load(model)
    for key, value in entries.items():
        found.metadata_props.add(key=f"bnnkit.{key}", value=value)
    onnx.save(found, model)
    return model


def test_the_file_says_how_images_are_prepared(model: Path, folder: Path) -> None:
    stored = Preprocessing(invert=True, resize=11, interpolation="bicubic")
    changed = rt.load(
        with_metadata(model, preprocessing=stored.to_json(), classes=json.dumps(NAMES))
    )
    found = changed.classify(folder, top=10)
    assert found == changed.classify(folder, top=10, preprocessing=stored)
    assert found != changed.classify(folder, top=10, preprocessing=Preprocessing())
    assert {top.label for top in found[0].top} <= set(NAMES)


@pytest.mark.parametrize("entry", ['{"mean": 0.5}', "[]", "no JSON", '{"resize": 3}'])
def test_wrong_entries_end_in_one_line(entry: str, model: Path, folder: Path) -> None:
    with_metadata(model, preprocessing=entry)
    assert fail("run", model, folder)
    with pytest.raises(UsageError):
        rt.load(model).classify(folder)


def test_names_that_do_not_fit_are_not_used(model: Path, folder: Path) -> None:
    with_metadata(model, classes='["only one"]')
    assert rt.load(model).classify(folder)[0].label.isdecimal()


def test_what_cannot_be_classified_is_said(model: Path, folder: Path) -> None:
    network = rt.load(model)
    with pytest.raises(UsageError, match="expected one image or more"):
        network.classify([])
    with pytest.raises(UsageError, match="expected top to be a positive number"):
        network.classify(folder, top=0)
    with pytest.raises(FileError, match="No such file"):
        network.classify("https://example.org/photo.png")
    values = rt.load(with_metadata(model, outputs='["values"]'))
    with pytest.raises(UsageError, match=r"the file holds values \(N, .*on the command line -o"):
        values.classify(folder)


def test_real_inputs_without_an_entry_warn(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "real.onnx"
    onnx.save(
        onnx.parser.parse_model(
            '<ir_version: 10, opset_import: ["" : 21]> agraph (float[N, 1, 8, 8] x) => '
            "(float[N, 64] scores) { scores = Flatten (x) }"
        ),
        path,
    )
    network = rt.load(path)
    with pytest.warns(UserWarning, match="does not say how the pixels") as warned:
        plain = network.classify(folder)
    assert warned[0].filename == __file__
    assert plain == network.classify(folder, preprocessing=Preprocessing())
    normalised = network.classify(folder, preprocessing=Preprocessing(mean=0.5, std=0.01))
    assert best(normalised) == best(plain)
    assert normalised != plain
    result = run("run", path, folder, "--json", "--std", "0.01", "--mean", "0.5")
    assert [one["top"][0]["probability"] for one in json.loads(result.stdout)] == [
        one.probability for one in normalised
    ]


def test_the_command_prints_and_writes_the_same(model: Path, folder: Path, tmp_path: Path) -> None:
    found = json.loads(run("run", model, folder, "--json", "--top", 3).stdout)
    assert [len(one["top"]) for one in found] == [3] * 4
    rows = list(csv.DictReader(io.StringIO(run("run", model, folder, "--csv", "--top", 3).stdout)))
    assert [(r["image"], int(r["rank"]), float(r["probability"])) for r in rows] == [
        (one["image"], rank, top["probability"])
        for one in found
        for rank, top in enumerate(one["top"], 1)
    ]
    for name, style in (("out.json", "--json"), ("out.csv", "--csv")):
        out = tmp_path / name
        assert "the classes of 4 images" in run("run", model, folder, "-o", out, "--top", 3).stdout
        assert out.read_text() == run("run", model, folder, style, "--top", 3).stdout
    table = run("run", model, folder).stdout
    assert all(str(folder / f"{n}.png") in table for n in range(4))
    assert "probability" in run("run", model, folder / "0.png", "--samples", 0).stdout


def test_images_give_arrays_as_a_npy_file_does(
    model: Path, images: Path, folder: Path, tmp_path: Path
) -> None:
    many = tmp_path / "many.npy"
    np.save(many, np.load(images)[:4])
    for source, out in ((folder, "a.npy"), (many, "b.npy")):
        assert run("run", model, source, "-o", tmp_path / out).exit_code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), np.load(tmp_path / "b.npy"))
    of_array = json.loads(run("run", model, many, "--json").stdout)
    of_files = json.loads(run("run", model, *sorted(folder.iterdir()), "--json").stdout)
    assert [one["top"] for one in of_array] == [one["top"] for one in of_files]


@pytest.mark.parametrize("engine", ["onnxruntime", "reference"])
def test_every_engine_names_the_same(engine: str, model: Path, folder: Path) -> None:
    theirs, ours = (
        json.loads(run("run", model, folder, "--json", *more).stdout)
        for more in (("--engine", engine), ())
    )
    for their, our in zip(theirs, ours, strict=True):
        # The last layer is real-valued: engines add its products in their own order.
        for one, other in zip(their["top"], our["top"], strict=True):
            assert one == other | {"probability": pytest.approx(other["probability"], abs=1e-6)}


def test_standard_input(model: Path, images: Path, folder: Path) -> None:
    def piped(content: bytes) -> list[dict[str, object]]:
        arguments = ["run", str(model), "-", "--json"]
        result = CliRunner().invoke(bnnkit_command, arguments, input=content)
        assert result.exit_code == 0, result.stderr
        found: list[dict[str, object]] = json.loads(result.stdout)
        return found

    (one,) = piped((folder / "2.png").read_bytes())
    assert one["image"] == "standard input"
    assert one["top"] == json.loads(run("run", model, folder / "2.png", "--json").stdout)[0]["top"]
    assert len(piped(images.read_bytes())) == len(np.load(images))
    for content, kind in ((b"", "an empty file"), (b"text", "a text file")):
        result = CliRunner().invoke(bnnkit_command, ["run", str(model), "-"], input=content)
        assert result.exit_code == 2
        want = "expected a .npy array, or a PNG or JPEG image, in standard input"
        assert result.stderr == f"bnnkit run: {want}; it is {kind}\n"


def test_wrong_use_is_one_line(model: Path, images: Path, folder: Path, tmp_path: Path) -> None:
    assert fail("run", model, folder, "--json", "--csv") == "expected --json or --csv, got both"
    assert "leave out one of them" in fail("run", model, folder, "--json", "-o", "x.json")
    assert "OUT.csv or OUT.json" in fail("run", model, folder, "-o", tmp_path / "out.txt")
    assert "expected one .npy or .npz file, or images" in fail("run", model, images, images)
    assert "expected - for standard input once" in fail("run", model, "-", "-")
    assert "uint8 images" in fail("run", model, folder, "--mean", "0.5")
    assert "a number, or 3" in fail("run", model, folder, "--mean", "a")
    (folder / "3.png").write_text("no image")
    assert fail("run", model, folder).startswith(f"{folder / '3.png'} is damaged or no image")
    assert fail("run", model, folder / "3.png").startswith(f"{folder / '3.png'} is damaged")


def test_options_can_take_back_what_the_file_says(model: Path, folder: Path) -> None:
    plain = run("run", model, folder, "--json").stdout
    stored = Preprocessing(invert=True, mean=0.5, std=0.25)
    file = with_metadata(model, preprocessing=stored.to_json())
    assert "uint8 images" in fail("run", file, folder)
    taken_back = ("--no-invert", "--mean", "0", "--std", "1")
    assert run("run", file, folder, "--json", *taken_back).stdout == plain
    assert "sizes from 1" in fail("run", model, folder, "--resize", "0")


def test_names_that_csv_cannot_hold_are_escaped(model: Path, folder: Path, tmp_path: Path) -> None:
    content = (folder / "1.png").read_bytes()
    (folder / "a\x1b[31m.png").write_bytes(content)
    (folder / "b\u202fc.png").write_bytes(content)  # a space
    try:
        (folder / "\udcff.png").write_bytes(content)
    except OSError:
        pytest.skip("names of files are text here")
    escaped = [str(folder / name) for name in (r"a\x1b[31m.png", "b\u202fc.png", r"\udcff.png")]
    out = tmp_path / "out.csv"
    run("run", model, folder, "--top", "1", "-o", out)
    for text in (out.read_text("utf-8"), run("run", model, folder, "--top", "1", "--csv").stdout):
        assert [row["image"] for row in csv.DictReader(io.StringIO(text))][4:] == escaped


def test_bytes_in_any_form(model: Path, folder: Path) -> None:
    network, content = rt.load(model), (folder / "1.png").read_bytes()
    (expected,) = network.classify(folder / "1.png")
    for form in (content, bytearray(content), memoryview(content)):
        assert network.classify(form)[0].top == expected.top


def test_options_of_images_on_an_array_are_noted(model: Path, images: Path) -> None:
    result = run("run", model, images, "--invert", "--json")
    assert result.stderr == "note: --invert has no effect on arrays\n"


@pytest.mark.slow
def test_pillow_is_not_imported_for_arrays(model: Path, images: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from bnnkit.cli.group import bnnkit_command\n"
        "try:\n"
        "    bnnkit_command(sys.argv[1:])\n"
        "except SystemExit as end:\n"
        "    sys.exit(end.code or 'PIL' in sys.modules)\n"
    )
    arguments = ["run", str(model), str(images), "-o", str(tmp_path / "out.npy")]
    subprocess.run([sys.executable, "-c", code, *arguments], check=True, capture_output=True)


def test_labels_that_may_hold_together(tmp_path: Path) -> None:
    network, inputs = digits_like()
    network.model.metadata_props.add(key="bnnkit.outputs", value='["label-probabilities"]')
    model = rt.Model(Artifact(network.model))
    for one, row in zip(model.classify(inputs), model.predict(inputs), strict=True):
        assert one.probability == row.max()
        assert one.entropy is None


def test_metadata_take_a_preprocessing_only() -> None:
    pytest.importorskip("onnx_ir")
    from bnnkit.export import Metadata

    with pytest.raises(UsageError, match="expected a Preprocessing, got 'resize'"):
        Metadata(preprocessing="resize")  # type: ignore[arg-type]


@pytest.mark.slow
def test_a_preprocessing_that_does_not_fit_is_refused_early(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from bnnkit.errors import ConfigError
    from bnnkit.export import Metadata, export_onnx
    from bnnkit.nn import IntegerConv2d
    from bnnkit.training import train
    from bnnkit.training.config import parse_config

    for said in ("mean: 0.5", "resize: 7"):
        config = parse_config(f"{{data: {{preprocessing: {{{said}}}}}, epochs: 1}}")
        with pytest.raises(ConfigError, match="the preprocessing does not fit the data set"):
            train(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    example = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    network = IntegerConv2d(1, 4, 3, zero_point=3).eval()
    metadata = Metadata(preprocessing=Preprocessing(mean=0.5))
    with pytest.raises(UsageError, match="mean and std are for real inputs"):
        export_onnx(network, example, tmp_path / "a.onnx", metadata=metadata)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("by", ["config", "data set"])
def test_exported_files_store_what_the_training_knew(
    by: str, digits_run: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    from bnnkit import data
    from bnnkit.deployment.export_checkpoint import export_checkpoint
    from bnnkit.training import load_checkpoint
    from bnnkit.training.checkpoint import describe, save_checkpoint
    from bnnkit.training.config import parse_config

    said = "data: {preprocessing: {resize: 12, invert: true}}" if by == "config" else ""
    config = parse_config(f"model: {{name: convnet, width: 8}}\n{said}")
    theirs = Preprocessing(resize=9)
    dataset = replace(data.load("digits"), preprocessing=theirs)
    path, model = tmp_path / "checkpoint.safetensors", tmp_path / "digits.onnx"
    save_checkpoint(path, load_checkpoint(digits_run).model, config, describe(dataset, 0.1))
    export_checkpoint(path, model)
    stored = stored_preprocessing(rt.load(model).metadata)
    assert stored == (theirs if by == "data set" else Preprocessing(resize=12, invert=True))
