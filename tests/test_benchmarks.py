"""The scripts of benchmarks/: what is a loss of speed, and the table of the results."""

import copy
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from bnnkit.nn import BinaryConv1d, BinaryConv2d, Sign

FOLDER = Path(__file__).parent.parent / "benchmarks"


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


# Some of them import torch.
markdown_block = _script("markdown_block")  # the others import these two
networks = _script("networks")
_script("cpu_times")  # encoder, literature, speech_and_segmentation and zoo_latency import it
float_twin = _script("float_twin")  # literature, mobilenet and speech_and_segmentation import it
_script("arm_program")  # the next two import it
_script("arm_table")
arm_model = _script("arm_model")
arm_c_model = _script("arm_c_model")
_script("c_programs")
c_code = _script("c_code")
check = _script("check")
cifar10_report = _script("cifar10_report")
few_bits = _script("few_bits")
scaling = _script("scaling")
table = _script("table")
encoder = _script("encoder")
mobilenet = _script("mobilenet")
literature = _script("literature")
speech = _script("speech_and_segmentation")
training = _script("training")
zoo = _script("zoo")
zoo_equality = _script("zoo_equality")
zoo_latency_figure = _script("zoo_latency_figure")


def _results() -> dict[str, Any]:
    ratios = [
        {"network": "vgg", "engine": "bnnkit", "against": against, "median": median}
        for against, median in (("onnxruntime-fp32", 20.0), ("lce", 10.0))
    ]
    for found in ratios:
        found |= {"low": 9.0, "high": 21.0, "least": 15.0}
    step = {"name": "conv", "step": "Convolution", "median_us": 2.0, "share": 1.0}
    times = [
        {"run_name": "vgg/bnnkit/batch:1/threads:1", "aggregate_name": name, "real_time": 321.0}
        for name in ("median", "p90", "min")
    ]
    return {
        "context": {
            "cpu_model": "a CPU",
            "cpu_features": ["avx2"],
            "num_cpus": 2,
            "date": "2026-01-02T03:04:05",
            "load_avg": [0.5, 0, 0],
            "load_avg_after": [1.5, 0, 0],
            "versions": {"bnnkit": "1"},
        },
        "benchmarks": times,
        "ratios": ratios,
        "left_out": {},
        "profile": {"vgg": [{**step, "gmacs": 2000.0, "of_ceiling": 0.9}]},
        "footprint": {
            "network": "vgg",
            "added_megabytes": 2.5,
            "startup_seconds": {"with_cache": 1.0, "without_cache": 5.0},
        },
    }


@pytest.mark.parametrize(
    ("factor", "is_lost"), [(1.2, False), (1.0, False), (0.86, False), (0.84, True)]
)
def test_a_loss_over_15_percent_fails(factor: float, is_lost: bool) -> None:
    new = _results()
    new["ratios"][1]["median"] *= factor
    found = list(check.losses(_results(), new))
    assert bool(found) == is_lost
    if is_lost:
        assert found == ["vgg: bnnkit against lce: 8.40 times as fast, was 10.00"]


def test_what_was_not_measured_fails_unless_the_engine_is_missing() -> None:
    new = _results()
    del new["ratios"][1]
    assert list(check.losses(_results(), new)) == ["vgg: bnnkit against lce: not measured"]
    new["left_out"]["lce"] = "not installed"
    assert list(check.losses(_results(), new)) == []


def test_new_ratios_are_no_loss() -> None:
    stored = _results()
    del stored["ratios"][1]
    assert list(check.losses(stored, _results())) == []


def test_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored, slow, new = tmp_path / "stored.json", tmp_path / "slow.json", _results()
    stored.write_text(json.dumps(new))
    worse = copy.deepcopy(new)
    worse["ratios"][0]["median"] = 1.0
    slow.write_text(json.dumps(worse))
    assert check.main([str(stored), str(stored)]) == 0
    assert capsys.readouterr().out == "no loss over 15 %\n"
    assert check.main([str(slow), str(stored)]) == 1
    assert "1.00 times as fast, was 20.00" in capsys.readouterr().out
    assert check.main([]) == 2


def test_another_cpu_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    stored, new = tmp_path / "stored.json", tmp_path / "new.json"
    results = _results()
    results["context"]["cpu_features"] = ["avx2", "avx512f"]
    stored.write_text(json.dumps(results))
    results["context"]["cpu_features"] = ["avx2", "vnni"]
    new.write_text(json.dumps(results))
    assert check.main([str(new), str(stored)]) == 0
    assert "another CPU (without avx512f, with vnni)" in capsys.readouterr().out


def test_stored_results_pass_against_themselves() -> None:
    assert check.main([str(check.STORED)]) == 0


def test_table_stands_between_the_marks(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    begin, end = markdown_block.marks("results")
    readme.write_text(f"before\n{begin}\nold\n{end}\nafter\n")
    for _ in range(2):  # again gives the same
        table.write_table(_results(), readme)
        text = readme.read_text()
        assert text.startswith(f"before\n{begin}\n")
        assert text.endswith(f"{end}\nafter\n")
        assert "old" not in text
        assert text.count("| CIFAR network, 32x32 | bnnkit | lce | 10.00 | 9.00 to 21.00 |") == 1
        assert "| CIFAR network, 32x32 | bnnkit | 0.321 | 0.321 | 0.321 |" in text
        assert "| CIFAR network, 32x32 | 1 | 2000 to 2000 | 90% | 90% |" in text


@pytest.mark.parametrize(
    "text", ["", "<!-- a -->", "<!-- end of a --><!-- a -->", 2 * "<!-- a --><!-- end of a -->"]
)
def test_a_page_without_the_marks_is_refused(tmp_path: Path, text: str) -> None:
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(ValueError, match="expected <!-- a -->, then <!-- end of a -->, once in"):
        markdown_block.write_block(page, "a", "new")
    assert page.read_text() == text


@pytest.mark.parametrize(
    ("script", "stored", "page", "name"),
    [
        (table, check.STORED, FOLDER / "README.md", "results"),
        (arm_model, arm_model.STORED, arm_model.PAGE, "arm model"),
        (arm_c_model, arm_c_model.STORED, arm_c_model.PAGE, "arm c model"),
        (c_code, c_code.RESULTS, c_code.PAGE, "c code"),
        (encoder, encoder.RESULTS, encoder.README, encoder.BLOCK),
        (few_bits, few_bits.RESULTS, few_bits.README, few_bits.BLOCK),
        (literature, literature.RESULTS, literature.README, literature.BLOCK),
        (mobilenet, mobilenet.RESULTS, mobilenet.README, mobilenet.BLOCK),
        (speech, speech.RESULTS, speech.README, speech.BLOCK),
        (zoo, zoo.CATALOGUE, zoo.PAGE, "zoo"),
        (zoo_equality, zoo_equality.RESULTS, zoo_equality.PAGE, "equality"),
        (zoo_latency_figure, FOLDER / "results" / "zoo-latency.json", zoo.PAGE, "latency"),
    ],
)
def test_pages_have_the_tables_of_the_stored_results(
    script: ModuleType, stored: Path, page: Path, name: str
) -> None:
    content = script.markdown(json.loads(stored.read_text()))
    assert markdown_block.block(name, content) in page.read_text()


def test_exported_c_meets_its_goals() -> None:
    """The bits of the runtime, size, and speed: on x86-64, and modelled on an A72."""
    networks = json.loads(c_code.RESULTS.read_text())["networks"]
    for one in networks:
        assert one["inputs_with_other_bits"] == one["with_other_bits_under_sanitizers"] == 0
        assert one["compiled_bytes"] <= 1.03 * one["ideal_bytes"] + 16 * 1024, one["model"]
        assert one["one_pass"]["times_the_runtime"] >= 0.25, one["model"]
        assert one.get("samples", one["one_pass"])["times_the_runtime"] >= 0.25, one["model"]
    many = {one["model"] for one in networks if one["inputs"] >= 10_000}
    assert many >= {"digits", "zoo:mnist-convnet", "zoo:cifar10-vgg-ensemble"}
    modelled = json.loads(arm_c_model.STORED.read_text())
    (layer,) = (one for one in modelled["layer"] if one["core"] == "cortex-a72")
    assert layer["c"]["macs_per_cycle"] >= 0.7 * layer["runtime"]["macs_per_cycle"]
    (network,) = (one for one in modelled["network"] if one["core"] == "cortex-a72")
    assert network["runtime"]["cycles"] >= 0.7 * network["c"]["cycles"]


def test_scaling_runs_and_ratios() -> None:
    jobs = scaling.jobs_of([1, 2, 4], 128, ["cuda_graph=false"])
    assert [(job.processes, job.batch_size, job.overrides) for job in jobs] == [
        (1, 128, ()), (2, 256, ()), (1, 512, ()), (4, 512, ()), (2, 512, ()),
        (4, 512, ("cuda_graph=false",)),
    ]  # fmt: skip
    assert scaling.jobs_of([1], 8, []) == [scaling.Job(1, 8)]
    speeds = [100, 180, 120, 300]
    results = [
        {"processes": job.processes, "batch_size": job.batch_size, "images_per_second": speed}
        for job, speed in zip(jobs, speeds, strict=False)
    ]
    found = scaling.with_efficiency([*results, {"processes": 4, "batch_size": 512}])
    assert [r.get("weak_efficiency") for r in found] == [1.0, 0.9, 1.0, 0.75, None]
    assert [r.get("strong_efficiency") for r in found] == [1.0, None, 1.0, 0.625, None]


def test_the_page_of_cifar10_is_made_of_the_stored_runs() -> None:
    page = cifar10_report.PAGE.read_text()
    for name, text in cifar10_report.blocks(*cifar10_report.stored()).items():
        assert markdown_block.block(name, text) in page


def test_stored_curves_are_thin_and_whole() -> None:
    points = [[epoch, 1 / epoch] for epoch in range(1, 201)]
    thin = training.thinned(points)
    assert len(thin) == training.POINTS
    assert (thin[0], thin[-1]) == (points[0], points[-1])
    assert training.thinned(points[:7]) == points[:7]


def test_runs_are_stored_from_folders_and_from_files_with_a_prefix(tmp_path: Path) -> None:
    records = [
        {"epoch": 1, "train_loss": 2.0, "train_accuracy": 0.25, "seconds": 3.0},
        {"epoch": 2, "train_loss": 1.0, "train_accuracy": 0.5, "seconds": 1.0,
         "flip_rates": {"a": 0.5, "b": 0.25}},
        {"epoch": 2, "final": True, "test_loss": 1.5, "test_accuracy": 0.75},
    ]  # fmt: skip
    config = "{data: {name: cifar10}, epochs: 2, seed: 3, batch_size: 4, device: cuda}"
    (tmp_path / "vgg-s3.metrics.jsonl").write_text("\n".join(map(json.dumps, records)))
    (tmp_path / "vgg-s3.config.yaml").write_text(config)
    found = training.summary(tmp_path / "vgg-s3", "a GPU", "abc")
    assert (found["name"], found["seed"], found["test_accuracy"]) == ("vgg-s3", 3, 0.75)
    assert found["seconds_per_epoch"] == 2
    assert found["config"] == {"epochs": 2, "seed": 3, "batch_size": 4}
    assert found["curves"]["flip_rate"] == [[2, 0.375]]
    assert found["curves"]["train_accuracy"] == [[1, 0.25], [2, 0.5]]
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("metrics.jsonl", "config.yaml"):
        (tmp_path / f"vgg-s3.{name}").rename(folder / name)
    assert training.summary(folder, "a GPU", "abc") == {**found, "name": "run"}


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Identity])
def test_a_float_twin_has_the_shapes_of_the_binary_network(activation: type[nn.Module]) -> None:
    network = nn.Sequential(
        Sign(), BinaryConv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2), nn.Flatten(2),
        Sign(), BinaryConv1d(6, 5, 3),
    )  # fmt: skip
    twin, x = float_twin.float_twin(network, activation), torch.randn(2, 4, 9, 8)
    assert [type(layer) for layer in twin] == [
        activation, nn.Conv2d, nn.Flatten, activation, nn.Conv1d,
    ]  # fmt: skip
    assert twin(x).shape == network(x).shape
    assert isinstance(network[0], Sign)  # the network itself stays
