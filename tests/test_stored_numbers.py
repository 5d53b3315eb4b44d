"""Numbers in the prose and tables of pages are those of the stored results, each in its place."""

import json
import re
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
NUMBER = r"(?<![\w.])\d+\.\d+(?![\w.]*\d)"
Values = dict[str, float]


def _stored(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def _latency() -> Values:
    """Medians of bnnkit in ms, and how many times as fast it is as others."""
    results = _stored(RESULTS / "latency.json")
    times = {
        entry["run_name"].removesuffix("/bnnkit/batch:1/threads:1"): entry["real_time"] / 1e3
        for entry in results["benchmarks"]
        if entry["aggregate_name"] == "median"
    }
    ratios = {f"{r['network']} {r['engine']} {r['against']}": r for r in results["ratios"]}
    return times | {name: ratio["median"] for name, ratio in ratios.items()}


def _zoo_latency() -> Values:
    """CPU times in ms by network and engine, and the ratios to the float32 twin."""
    found = {}
    for name, network in _stored(RESULTS / "zoo-latency.json")["networks"].items():
        for engine, times in network["latency_us"].items():
            found[f"{name} {engine}"] = times["cpu"] / 1e3
        for engine, ratio in network.get("float32_over", {}).items():
            found[f"{name} over {engine}"] = ratio["cpu"]
    return found


def _mobilenet() -> Values:
    """How many times as fast the binary network is as its float original in the fastest runs."""
    networks = _stored(RESULTS / "mobilenet.json")["networks"]
    ratios = {name: found["original_over"] for name, found in networks.items()}
    return {name: ratio["binary in bnnkit"]["least"] for name, ratio in ratios.items()}


def _zoo() -> Values:
    """Sizes in MB, and accuracies in %."""
    found = {}
    for model in _stored(ROOT / "bnnkit" / "zoo" / "zoo.json"):
        found[f"{model['name']} size"] = model["size"] / 1e6
        found[model["name"]] = 100 * model["accuracy"]
        found[f"{model['name']} samples"] = 100 * (model["accuracy_samples"] or 0)
    return found


def _runs() -> Values:
    """Accuracies of the runs on CIFAR-10 in %: mean, standard deviation, epochs, number."""
    groups: dict[str, list[Any]] = {}
    for run in _stored(RESULTS / "training.json"):
        if run["data"] == "cifar10" and not run["revision"].startswith("before"):
            groups.setdefault(re.sub(r"(-s\d+|\d+)$", "", run["name"]), []).append(run)
    found: Values = {}
    for name, runs in groups.items():
        accuracies = [100 * run["test_accuracy"] for run in runs]
        epochs = [run["epochs"] for run in runs]
        found |= {
            name: fmean(accuracies),
            f"{name} std": stdev(accuracies) if len(runs) > 1 else 0,
            f"{name} samples": 100 * (runs[0]["test_accuracy_samples"] or 0),
            f"{name} from": min(epochs),
            f"{name} to": max(epochs),
            f"{name} runs": len(runs),
        }
    return found


def _gains() -> Values:
    """Points that ten samples gain over the network without noise, noise of scale 0.15."""
    runs = _stored(RESULTS / "training.json")
    plain = {(r["name"], r["revision"]): r["test_accuracy"] for r in runs if r["epochs"] == 362}
    gains = [
        100 * (one["samples_10"] - plain[one["name"], one["revision"]])
        for one in _stored(RESULTS / "noise-scales.json")
        if (one["name"], one["revision"]) in plain and one["scale"] == 0.15
    ]
    return {"least": min(gains), "most": max(gains)}


def _ensembles() -> Values:
    """Accuracies and calibration errors by data set and samples."""
    evaluations = _stored(RESULTS / "ensembles.json")["evaluations"]
    return {
        f"{name} {one['samples']}{kind}": value
        for name, found in evaluations.items()
        for one in found
        for kind, value in (
            ("", 100 * one["accuracy"]),
            (" ece", one["ece"]),
            (" mean", one["mean_samples"]),
        )
    }


STORED = {
    "latency": _latency(),
    "cpu": _zoo_latency(),
    "mobilenet": _mobilenet(),
    "zoo": _zoo(),
    "runs": _runs(),
    "gains": _gains(),
    "ensembles": _ensembles(),
}
"""Stored values by result and name."""

WHEN = """
| CIFAR VGG, 32x32 | {latency[vgg]:.3f} | {latency[vgg bnnkit onnxruntime-fp32]:.1f} (ONNX Runtime) | {latency[vgg bnnkit onnxruntime-int8]:.1f} (ONNX Runtime) |
| Bi-Real ResNet-18, 224x224 | {latency[bi-real-18]:.3f} | {latency[bi-real-18 bnnkit onnxruntime-fp32]:.1f} (ONNX Runtime) | {latency[bi-real-18 bnnkit openvino-int8]:.1f} (OpenVINO) |
With AVX2 only, bnnkit is {latency[vgg bnnkit, AVX2 onnxruntime-fp32]:.1f} and {latency[bi-real-18 bnnkit, AVX2 onnxruntime-fp32]:.1f} times as fast as float32
The VGG of the zoo has {zoo[cifar10-vgg size]:.2f} MB, VGG-Small {zoo[cifar10-vgg-small size]:.2f} MB
| float | {runs[teacher]:.2f} ± {runs[teacher std]:.2f} % ({runs[teacher from]} epochs) | {runs[teacher runs]} |
| binary weights only, distilled | {runs[resnet18-weights]:.2f} ± {runs[resnet18-weights std]:.2f} % ({runs[resnet18-weights from]} to {runs[resnet18-weights to]} epochs) | {runs[resnet18-weights runs]} |
| binary weights and activations, distilled | {runs[resnet18]:.2f} ± {runs[resnet18 std]:.2f} % ({runs[resnet18 from]} epochs) | {runs[resnet18 runs]} |
the binary VGG reaches {runs[paper-logistic]:.1f} % in one pass and {runs[paper-logistic samples]:.1f} % with ten samples; distilled it reaches {runs[vgg]:.1f} %.
ResNet-18 takes {cpu[cifar10-resnet18-weights bnnkit]:.1f} ms of CPU time for an image, with both binary {cpu[cifar10-resnet18 bnnkit]:.1f} ms, and its float32 twin in ONNX Runtime {cpu[cifar10-resnet18-weights onnxruntime-fp32]:.1f} to {cpu[cifar10-resnet18 onnxruntime-fp32]:.1f} ms
`mnist-convnet` is {cpu[mnist-convnet over bnnkit]:.1f} times as fast as its float32 twin, the VGG {cpu[cifar10-vgg over bnnkit]:.0f} times.
`mnist-ds-cnn` is {cpu[mnist-ds-cnn over bnnkit]:.1f} times as fast as its float32 twin; a binary MobileNetV2 with random weights {mobilenet[mobilenet-v2, 224x224]:.1f} times as fast as its float original at 224x224 and {mobilenet[mobilenet-v2, 32x32]:.1f} times at 32x32
Ten samples of the VGG take {cpu[cifar10-vgg-ensemble bnnkit, 10]:.1f} ms
still {cpu[cifar10-vgg-ensemble over bnnkit, 10]:.1f} times as fast as one float32 pass. They gain {gains[least]:.1f} to {gains[most]:.1f} points
"""  # noqa: E501
README = """
bnnkit takes {latency[vgg]:.2f} ms for an image of CIFAR-10 and {latency[bi-real-18]:.1f} ms for one of 224x224 pixels
| ONNX Runtime, float32 | {latency[vgg bnnkit onnxruntime-fp32]:.0f} | {latency[bi-real-18 bnnkit onnxruntime-fp32]:.1f} |
| ONNX Runtime, int8 | {latency[vgg bnnkit onnxruntime-int8]:.1f} | {latency[bi-real-18 bnnkit onnxruntime-int8]:.1f} |
| OpenVINO, int8 | {latency[vgg bnnkit openvino-int8]:.1f} | {latency[bi-real-18 bnnkit openvino-int8]:.1f} |
| OpenVINO, 1 bit | {latency[vgg bnnkit openvino-1bit]:.1f} | {latency[bi-real-18 bnnkit openvino-1bit]:.1f} |
| Larq Compute Engine | {latency[vgg bnnkit lce]:.0f} | {latency[bi-real-18 bnnkit lce]:.1f} |
| CIFAR-10, VGG, trained as in the paper | {runs[paper-logistic]:.1f} % | {runs[paper-logistic samples]:.1f} % |
| CIFAR-10, VGG, distilled | {zoo[cifar10-vgg]:.1f} % | {zoo[cifar10-vgg-ensemble samples]:.1f} % |
| CIFAR-10, ResNet-18, distilled | {zoo[cifar10-resnet18]:.1f} % | |
| CIFAR-10, ResNet-18, binary weights only | {zoo[cifar10-resnet18-weights]:.1f} % | |
| MNIST, small convnet | {ensembles[mnist 0]:.2f} % | {ensembles[mnist 10]:.2f} % |
the distilled VGG gains {gains[least]:.1f} to {gains[most]:.1f} points
"""  # noqa: E501
FEATURES = """
| MNIST, convnet, 10 epochs | {ensembles[mnist 0]:.2f} % in one pass, {ensembles[mnist 10]:.2f} % with ten samples |
calibrated for samples: {ensembles[cifar10 0]:.2f} % in one pass, {ensembles[cifar10 10]:.2f} % with ten
{ensembles[cifar10 0 ece]:.3f} in one pass, {ensembles[cifar10 10 ece]:.3f} with ten samples
{ensembles[cifar10 auto]:.2f} % with {ensembles[cifar10 auto mean]:.1f} samples on average
VGG {runs[vgg]:.1f} % and ResNet-18 {runs[resnet18]:.1f} % (means over seeds), VGG-Small {runs[vgg-small]:.1f} % in one pass
ResNet-18 {runs[resnet18-weights]:.1f} %, VGG16 {runs[vgg16-weights]:.1f} % (means over seeds)
"""  # noqa: E501
PAGES = {"docs/explained/when.md": WHEN, "README.md": README, "docs/features.md": FEATURES}
"""What each page says, a passage a line, with the names of stored values for the numbers."""


def _passages(text: str) -> list[str]:
    return text.format(**STORED).strip().splitlines()


@pytest.mark.parametrize("page", PAGES)
def test_the_numbers_of_a_page_are_those_of_the_stored_results(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    assert [one for one in _passages(PAGES[page]) if one not in text] == []


def test_every_decimal_number_of_when_is_compared() -> None:
    text = (ROOT / "docs/explained/when.md").read_text(encoding="utf-8")
    for passage in _passages(WHEN):
        text = text.replace(passage, "")
    assert re.findall(NUMBER, text) == []
