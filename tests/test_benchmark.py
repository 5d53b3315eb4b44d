import json
import sys
from typing import Any

import numpy as np
import pytest
from artifacts import ArtifactBuilder, digits_like
from onnx import TensorProto

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.operators.functions import function, names
from bnnkit.bench import benchmark as benchmark_module
from bnnkit.bench.benchmark import (
    MIN_ROUNDS,
    Benchmark,
    Measurement,
    benchmark,
    random_images,
    ratio,
    rounds_together,
)
from bnnkit.bench.machine import describe_machine, describe_machine_to_publish
from bnnkit.bench.report_json import to_json
from bnnkit.bench.step_times import StepTime, step_times
from bnnkit.engines import open_engine
from bnnkit.errors import UsageError


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Artifact:
    """A small network, and short measurements."""
    monkeypatch.setattr(benchmark_module, "WARM_UP_S", 0.0)
    monkeypatch.setattr(benchmark_module, "BLOCK_S", 0.001)
    network, _ = digits_like()
    network.model.functions.extend(function(name) for name in names())
    return network


def _measurement(engine: str, wall_us: list[list[float]], batch: int = 1) -> Measurement:
    wall = np.array(wall_us)
    return Measurement(
        engine=engine, version="1", batch=batch, threads=1, wall_us=wall, cpu_us=wall.mean(axis=1)
    )


def test_percentiles_are_of_single_runs() -> None:
    measured = _measurement(
        "a", [list(map(float, range(0, 51))), list(map(float, range(50, 101)))]
    )
    assert measured.median_us == 50
    assert measured.percentile_us(0) == 0
    assert measured.percentile_us(100) == 100


def test_ratio_is_taken_within_each_round() -> None:
    first = _measurement("a", [[1, 1, 9], [10, 10, 10], [2, 2, 2]])  # a slow second round
    other = _measurement("b", [[3, 3, 3], [40, 40, 40], [10, 10, 10]])
    found = ratio(other, first)
    assert found.median == 4
    assert found.low == pytest.approx(3.2)
    assert found.high == pytest.approx(4.8)


def test_every_engine_runs_in_every_round(model: Artifact) -> None:
    measured = benchmark(
        model,
        engines=("bnnkit", "onnxruntime", "onnxruntime-fp32"),
        threads=(1, 2),
        batches=(1, 3),
        seconds=0.01,
    )
    assert measured.left_out == {}
    groups = list(rounds_together(measured))
    assert [(g[0].batch, g[0].threads) for g in groups] == [(1, 1), (3, 1), (1, 2), (3, 2)]
    for group in groups:
        assert [m.engine for m in group] == ["bnnkit", "onnxruntime", "onnxruntime-fp32"]
        assert len({len(m.wall_us) for m in group}) == 1
        for m in group:
            assert len(m.wall_us) >= MIN_ROUNDS
            assert m.cpu_us.shape == m.wall_us.shape[:1]
            assert (m.wall_us > 0).all()


def test_an_engine_that_is_not_installed_is_left_out(
    model: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    measured = benchmark(model, engines=("bnnkit", "onnxruntime"), seconds=0.001)
    assert [m.engine for m in measured.measurements] == ["bnnkit"]
    assert "bnnkit[ort]" in measured.left_out["onnxruntime"]
    with pytest.raises(UsageError, match="no engine can be measured: onnxruntime: "):
        benchmark(model, engines=("onnxruntime",), seconds=0.001)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engines": ("bnnkit", "tf")}, "got 'tf'"),
        ({"engines": ()}, "an engine or more"),
        ({"engines": ("bnnkit",), "threads": (0,)}, "positive"),
        ({"engines": ("bnnkit",), "batches": (0,)}, "positive"),
        ({"engines": ("bnnkit",), "seconds": 0.0}, "positive"),
        ({"engines": ("bnnkit",), "seconds": float("nan")}, "finite"),
        ({"engines": ("bnnkit",), "seconds": float("inf")}, "finite"),
    ],
)
def test_wrong_use(model: Artifact, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        benchmark(model, **options)


@pytest.mark.parametrize("dtype", [TensorProto.UINT8, TensorProto.FLOAT])
def test_random_images_fit_and_are_seeded(dtype: int) -> None:
    a = ArtifactBuilder()
    real = a.add("Cast", "x", to=TensorProto.FLOAT)
    model = a.artifact((2, 5, 5), real, dtype=dtype, sizes={real: (2, 5, 5)})
    images = random_images(model, 6)
    open_engine("reference", model).check(images)
    np.testing.assert_array_equal(images, random_images(model, 6))
    assert (images != random_images(model, 6, seed=1)).any()
    if dtype == TensorProto.UINT8:
        assert images.min() < 10
        assert images.max() > 245


def test_json_has_the_shape_of_google_benchmark() -> None:
    first = _measurement("bnnkit", [[1, 3], [2, 2]], batch=4)
    other = _measurement("onnxruntime", [[10, 10], [20, 20]], batch=4)
    measured = Benchmark(measurements=(first, other), left_out={"reference": "too slow"})
    steps = [StepTime(name="conv", step="Convolution", median_us=2.0, share=1.0)]
    content = json.loads(json.dumps(to_json(measured, model="m.onnx", profile=steps)))
    assert {"date", "host_name", "num_cpus", "executable", "library_build_type"} <= set(
        content["context"]
    )
    entries = content["benchmarks"]
    name = "m.onnx/bnnkit/batch:4/threads:1"
    repetitions = [e for e in entries if e["name"] == name]
    assert [e["repetition_index"] for e in repetitions] == [0, 1]
    assert all(e["run_type"] == "iteration" and e["iterations"] == 2 for e in repetitions)
    assert [e["real_time"] for e in repetitions] == [2, 2]
    assert repetitions[0]["items_per_second"] == 4 / 2e-6
    aggregates = {
        e["aggregate_name"]: e
        for e in entries
        if e["run_type"] == "aggregate" and e["run_name"] == name
    }
    assert list(aggregates) == ["mean", "median", "stddev", "p90", "p99", "min"]
    assert aggregates["median"]["real_time"] == 2
    assert aggregates["min"]["real_time"] == 1
    assert aggregates["p90"]["real_time"] == pytest.approx(np.percentile([1, 3, 2, 2], 90))
    assert all(e["time_unit"] == "us" and e["threads"] == 1 for e in entries)
    assert len({e["family_index"] for e in entries}) == 2
    (comparison,) = content["ratios"]
    assert (comparison["engine"], comparison["against"]) == ("bnnkit", "onnxruntime")
    assert comparison["median"] == pytest.approx(7.5)
    assert content["left_out"] == {"reference": "too slow"}
    assert content["profile"] == [
        {
            "name": "conv",
            "step": "Convolution",
            "median_us": 2,
            "share": 1,
            "gmacs": None,
            "of_ceiling": None,
        }
    ]


def test_steps_are_those_of_the_network(model: Artifact) -> None:
    found = step_times(model, random_images(model, 2), runs=5)
    node_names = [node.name for node in model.model.graph.node]
    positions = [node_names.index(step.name) for step in found]
    assert positions == sorted(positions)
    layers = {"IntegerConv2d0", "BinaryConv2dThreshold3", "BinaryLinear7", "Gemm10"}
    assert layers <= {step.name for step in found}
    passes = [step.median_us / step.share for step in found]
    assert passes == pytest.approx(passes[:1] * len(passes))
    assert passes[0] > max(step.median_us for step in found)
    assert all(step.median_us > 0 for step in found)


def test_machine_is_described_in_json() -> None:
    context = json.loads(json.dumps(describe_machine()))
    assert context["num_cpus"] >= 1
    assert context["versions"]["numpy"] == np.__version__
    assert context["cpu_model"]
    assert None not in context.values()
    assert context.keys() - describe_machine_to_publish().keys() == {"host_name", "executable"}


def test_an_engine_that_cannot_take_the_batch_is_left_out() -> None:
    model, _ = digits_like()
    model.model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    measured = benchmark(model, engines=("bnnkit", "reference"), seconds=0.001)
    assert [m.engine for m in measured.measurements] == ["bnnkit"]
    assert "fixed at 2" in measured.left_out["reference"]
