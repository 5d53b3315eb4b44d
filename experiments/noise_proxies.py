"""Proxies of the sign that follow from the distribution of the noise.

Figure 1 of Shekhovtsov & Yanush, GCPR 2021: above E[sign(a - z)] = 2F(a) - 1, below its derivative
2F'(a). Uniform noise gives the clipped identity, logistic noise tanh, and triangular noise a wider
ApproxSign. Frequencies of drawn signs are the check.

    python experiments/noise_proxies.py experiments/configs/noise-proxies.yaml
"""

from pathlib import Path
from typing import Any

import torch
from experiment import Experiment, Job, main
from experiment_config import Config, Record
from pydantic import Field

import bnnkit.nn as bnn
from bnnkit.nn.estimators import Estimator, get_estimator
from bnnkit.plots import new_figure, save


class ProxiesConfig(Config):
    """The figure's noises, each with the free proxy that its 2F' should equal.

    Attributes:
        noises: For each noise, the name and the options of an estimator.
        limit: The largest |a|.
        points: The number of a.
        samples: Signs drawn at each a.
        seed: Seed of the signs.
    """

    noises: dict[str, dict[str, Any]]
    limit: float = Field(default=3.0, gt=0)
    points: int = Field(default=241, ge=3)
    samples: int = Field(default=20000, ge=1)
    seed: int = 0


def run(config: ProxiesConfig, job: Job) -> Record:
    torch.manual_seed(config.seed)
    a = torch.linspace(-config.limit, config.limit, config.points, dtype=torch.float64)
    return {"a": a.tolist(), **{n: _of_noise(config, n, a) for n in config.noises}}


def _of_noise(config: ProxiesConfig, name: str, a: torch.Tensor) -> Record:
    noise = bnn.get_noise(name)
    slope = 2 * noise.pdf(a)
    proxy = _proxy(config.noises[name])
    expected = proxy.jacobian(a, noise)
    sign = bnn.Sign(name)
    drawn = sign(a.expand(config.samples, -1)).mean(0)
    mean = 2 * noise.cdf(a) - 1
    error = (drawn - mean).abs() / (1 - mean.square()).clamp(min=1e-12).sqrt()
    return {
        "mean": mean.tolist(),
        "slope": slope.tolist(),
        "drawn": drawn.tolist(),
        "proxy": repr(proxy),
        "largest_difference_from_proxy": float((slope - expected).abs().max()),
        "largest_z_of_drawn": float((error * config.samples**0.5)[mean.abs() < 1].max()),
    }


def _proxy(words: dict[str, Any]) -> Estimator:
    return get_estimator(words["name"], {k: v for k, v in words.items() if k != "name"})


def draw(result: Record, path: Path) -> None:
    curves = result["jobs"]["curves"]
    noises = list(result["config"]["noises"])
    figure = new_figure(3.2 * len(noises), 5, drawing="noise proxies")
    for column, noise in enumerate(noises):
        above, below = (
            figure.add_subplot(2, len(noises), 1 + column + row * len(noises)) for row in (0, 1)
        )
        above.plot(curves["a"], curves[noise]["drawn"], ".", ms=2, color="#8c97a8")
        above.plot(curves["a"], curves[noise]["mean"], color="#2563eb")
        above.set_title(f"{noise} noise: E sign(a - z)", fontsize=10)
        below.plot(curves["a"], curves[noise]["slope"], color="#e8590c")
        below.set_title(f"2F', {curves[noise]['proxy'].partition('(')[0]}", fontsize=10)
        below.set_ylim(-0.05, 1.1)
    save(figure, path)


EXPERIMENT = Experiment("noise_proxies", ProxiesConfig, lambda config: ["curves"], run, draw)

if __name__ == "__main__":
    main(EXPERIMENT)
