"""Draws the pictures of docs/explained: `python docs/explained/figures.py`, half a minute.

It trains a small network on scikit-learn's digits, exports it, and reads what the file holds.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx.numpy_helper import to_array
from torch import Tensor, nn

import bnnkit.nn as bnn
from bnnkit.data import Dataset, load
from bnnkit.export import export_onnx
from bnnkit.plots import new_figure, save
from bnnkit.runtime import open_artifact

FOLDER = Path(__file__).parent
INK, BLUE, ORANGE, GREEN = "#22303c", "#2f6db3", "#c4622d", "#3c8a4e"
POINTS = 601


def trained(digits: Dataset) -> nn.Sequential:
    """A network of two convolutions, whose second one is binary."""
    torch.manual_seed(0)
    first = bnn.IntegerConv2d(1, 32, 3, padding=1, zero_point=digits.zero_point or [0])
    network = nn.Sequential(
        *(first, nn.BatchNorm2d(32), bnn.Sign(noise="none")),
        *(bnn.BinaryConv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), bnn.Sign(noise="none")),
        *(nn.Flatten(), nn.Linear(64 * 8 * 8, 10)),
    )
    x, y = torch.from_numpy(digits.x_train), torch.from_numpy(digits.y_train)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for batch in torch.randint(len(x), (200, 128)):
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[batch]), y[batch]).backward()
        optimizer.step()
    return network.eval()


def thresholds_of_file(network: nn.Sequential, digits: Dataset) -> np.ndarray[Any, Any]:
    """The thresholds of the binary convolution in the exported file, int32 (64,)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "digits.onnx"
        export_onnx(network, torch.from_numpy(digits.x_train[:1]), path)
        graph = open_artifact(path).model.graph
    (node,) = [node for node in graph.node if node.op_type == "BinaryConv2dThreshold"]
    (stored,) = [to_array(one) for one in graph.initializer if one.name == node.input[2]]
    return np.asarray(stored)


def draw_thresholds() -> None:
    """Two channels: the line of their batch norm, and the sums of the test images."""
    digits = load("digits")
    network = trained(digits)
    stored = thresholds_of_file(network, digits)
    with torch.no_grad():
        of_test = network[:4](torch.from_numpy(digits.x_test))
    sums = of_test.movedim(1, 0).flatten(1).numpy()
    norm = network[4]
    assert isinstance(norm, nn.BatchNorm2d)
    rising = [k for k in range(64) if norm.weight[k] > 0]
    usual = min(rising, key=lambda k: abs((sums[k] >= stored[k]).mean() - 0.5))
    far = min(rising, key=lambda k: abs((sums[k] >= stored[k]).mean() - 0.15))
    figure = new_figure(9, 3.4, drawing="thresholds")
    for axes, channel in zip(figure.subplots(1, 2), (usual, far), strict=True):
        _draw_channel(axes, sums[channel], norm, channel, int(stored[channel]))
    save(figure, FOLDER / "thresholds.png")
    print(f"channels {usual} and {far}, thresholds {stored[usual]} and {stored[far]}")


@torch.no_grad()
def _draw_channel(
    axes: Any, sums: np.ndarray[Any, Any], norm: nn.BatchNorm2d, channel: int, threshold: int
) -> None:
    values, counts = np.unique(sums, return_counts=True)
    is_plus = values >= threshold
    share = 100 * counts / len(sums)
    axes.bar(values[is_plus], share[is_plus], 1.6, color=BLUE, label="sign +1")
    axes.bar(values[~is_plus], share[~is_plus], 1.6, color=ORANGE, label="sign -1")
    axes.set_xlabel("integer sum s of a channel")
    axes.set_ylabel("share of the sums, %")
    line = axes.twinx()
    grid = torch.arange(int(values.min()), int(values.max()) + 1, dtype=torch.float32)
    every = grid[None, None, None].expand(1, norm.num_features, 1, -1)
    line.plot(grid, norm(every)[0, channel, 0], color=INK)
    line.axhline(0, color=INK, linewidth=0.6)
    line.set_ylabel("batch norm of s")
    # Between the last sum with -1 and the first with +1.
    axes.axvline(threshold - 0.5, color=GREEN, linestyle="--", label=f"threshold T = {threshold}")
    axes.legend(loc="upper left", fontsize=8)
    axes.set_ylim(0, 1.35 * share.max())


def draw_straight_through() -> None:
    """One noisy sign: draws, their mean, and the derivatives that estimators use."""
    figure = new_figure(9, 3.4, drawing="the straight-through estimator")
    left, right = figure.subplots(1, 2)
    a = torch.linspace(-3, 3, POINTS)
    torch.manual_seed(0)
    sign = bnn.Sign(noise="logistic").train()
    few = a[::12]
    for _ in range(6):
        left.plot(few, sign(few).detach() + 0.02 * torch.randn(len(few)), ".", color=ORANGE,
                  markersize=2.5)  # fmt: skip
    drawn = torch.stack([sign(a).detach() for _ in range(10_000)]).mean(0)
    left.plot(a, drawn, color=BLUE, linewidth=2, label="mean of 10,000 draws")
    left.plot(a, torch.tanh(a), "--", color=INK, label="2F(a) - 1 = tanh(a)")
    left.set_xlabel("a")
    left.set_ylabel("sign(a - z)")
    left.legend(loc="center left", fontsize=8)
    for name, style in (("st", "-"), ("clipped-identity", "--"), ("approx-sign", "-."),
                        ("identity-st", ":")):  # fmt: skip
        right.plot(a, _derivative(name, a), style, label=name)
    right.set_xlabel("a")
    right.set_ylabel("derivative in the backward pass")
    right.legend(loc="upper left", fontsize=8)
    save(figure, FOLDER / "straight-through.png")


def _derivative(estimator: str, a: Tensor) -> Tensor:
    """What the backward pass of a sign multiplies the gradient by."""
    a = a.clone().requires_grad_()
    bnn.Sign(noise="logistic", estimator=estimator).train()(a).sum().backward()
    assert a.grad is not None
    return a.grad


def draw_kernels() -> None:
    """The share of the ceiling that binary layers reach, from the stored profile."""
    stored = FOLDER.parents[1] / "benchmarks" / "results" / "latency.json"
    profile = json.loads(stored.read_text(encoding="utf-8"))["profile"]
    titles = {"vgg": "VGG, 32 x 32", "bi-real-18": "Bi-Real ResNet-18, 224 x 224"}
    figure = new_figure(9, 3.6, drawing="shares of the ceiling")
    for axes, (network, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        layers = [layer for layer in profile[network] if layer["of_ceiling"] is not None]
        names = [layer["name"].removesuffix(".conv") for layer in layers]
        axes.barh(names, [100 * layer["of_ceiling"] for layer in layers], color=BLUE)
        axes.invert_yaxis()
        axes.set_xlim(0, 100)
        axes.tick_params(axis="y", labelsize=7)
        axes.set_xlabel("share of the ceiling, %")
        axes.set_title(title, fontsize=10)
    save(figure, FOLDER / "kernels.png")


def draw_mirror_descent() -> None:
    """From latent weight to probability, mirror maps, speeds, and the way of one weight."""
    figure = new_figure(9, 6.6, drawing="mirror descent")
    (probabilities, maps), (speeds, ways) = figure.subplots(2, 2)
    latent = torch.linspace(-3, 3, POINTS)
    theta = torch.linspace(1, 999, 999, dtype=torch.float64) / 1000
    for name, style in (("logistic", "-"), ("triangular", "-."), ("uniform", "--")):
        noise = bnn.get_noise(name)
        probabilities.plot(latent, noise.cdf(latent), style, label=name)
        eta = noise.quantile(theta)
        integral = torch.cumulative_trapezoid(eta, theta)
        maps.plot(theta[1:], integral - integral[498], style, label=name)
        speeds.plot(theta, noise.pdf(eta), style, label=f"mirror descent, {name}")
    logistic = bnn.get_noise("logistic")
    density = logistic.pdf(logistic.quantile(theta))
    speeds.plot(theta, 2 * density**2, ":", color=INK, label="gradient descent on η, logistic")
    probabilities.set_xlabel("η, the latent weight")
    probabilities.set_ylabel("θ = F(η)")
    maps.set_ylabel("mirror map Φ(θ)")
    speeds.set_ylabel("change of θ for a unit pull")
    for axes in (maps, speeds):
        axes.set_xlabel("θ, the probability of +1")
    for label, style, way in _ways_of_a_weight():
        ways.plot(way, style, label=label)
    ways.axhline(_posterior(), color=INK, linewidth=0.8, linestyle=(0, (1, 3)), label="posterior")
    ways.set_xlabel("step")
    ways.set_ylabel("θ")
    for axes in (probabilities, maps, speeds, ways):
        axes.legend(fontsize=8)
    speeds.set_ylim(0, 0.85)
    save(figure, FOLDER / "mirror-descent.png")


PULL, EXAMPLES, STEPS, LR = 0.05, 20, 120, 0.5
"""A weight w of a loss -PULL w, the mean over so many examples; steps of SGD and their rate."""


def _posterior() -> float:
    """The probability of w = +1, given the examples and an even prior."""
    return 1 / (1 + float(np.exp(-2 * EXAMPLES * PULL)))


def _ways_of_a_weight() -> list[tuple[str, str, list[float]]]:
    """Label, style and the probabilities of +1 along a training that starts at 0.02."""
    options = {"n_examples": EXAMPLES}
    rules = {
        "mirror-descent": (bnn.BinaryLinear(1, 1, weight_rule="mirror-descent"), "-"),
        "variational-bayes": (
            bnn.BinaryLinear(1, 1, weight_rule="variational-bayes", weight_rule_options=options),
            "-.",
        ),
        "projected-gradient": (bnn.BinaryLinear(1, 1, weight_rule="projected-gradient"), "--"),
    }
    found = []
    for name, (layer, style) in rules.items():
        found.append((name, style, _way(layer.latent, layer.binary_weight.noise, layer)))
    latent, sign = nn.Parameter(torch.empty(1, 1)), bnn.Sign(noise="logistic").train()
    way = _way(latent, sign.noise, lambda _: sign(latent))
    found.append(("gradient descent on η", ":", way))
    return found


def _way(latent: nn.Parameter, noise: bnn.Noise, weight: Any) -> list[float]:
    """Move a latent weight by SGD; the gradient of this loss does not depend on the draw."""
    with torch.no_grad():
        latent.fill_(float(noise.quantile(torch.tensor(0.02))))
    optimizer = torch.optim.SGD([latent], lr=LR)
    if isinstance(weight, nn.Module):
        bnn.attach_rules(weight, optimizer)
    probabilities = []
    for _ in range(STEPS):
        probabilities.append(float(noise.cdf(latent.detach())))
        optimizer.zero_grad()
        (-PULL * weight(torch.ones(1, 1))).sum().backward()
        optimizer.step()
    return probabilities


if __name__ == "__main__":
    draw_mirror_descent()
    draw_kernels()
    draw_thresholds()
    draw_straight_through()
