"""When AdaSTE's slope is boosted: figure 1 of Le, Hoier, Lin & Zach, CVPR 2022.

With s = tanh and beta = 2|theta / l'|, which reflects theta to -theta or moves it to 3 theta, the
finite difference (s(theta) - s(theta - beta l')) / (beta l') matches s' near 0. It is larger than
s' where the loss pulls a saturated weight back, and not where it pushes it outwards. The figure
also has the slope of the rule `adaste`, whose s is the minimum of a double well, for several mu.

    python experiments/adaste_slope.py experiments/configs/adaste-slope.yaml
"""

from math import cosh, tanh
from pathlib import Path

import torch
from experiment import Experiment, Job, main
from experiment_config import Config, Record

from bnnkit.nn.weight_rules.adaste import slope
from bnnkit.plots import new_figure, save


class SlopeConfig(Config):
    """The cases of the figure, and the options of the rule.

    Attributes:
        cases: For each, theta and the sign of l'.
        alpha: Of the rule.
        mus: Values of mu; the rule is the sign where mu alpha is 1 or more.
        reach: Of the rule.
        most_slope: Of the rule.
        limit: The largest |theta| of the curves.
        points: The number of theta, even, so that 0 is left out.
    """

    cases: dict[str, tuple[float, int]]
    alpha: float = 0.01
    mus: tuple[float, ...] = (0.1, 1.0, 10.0, 100.01)
    reach: float = 1.0
    most_slope: float = 0.5
    limit: float = 4.0
    points: int = 400


def finite_difference(theta: float, gradient: float) -> float:
    """The slope of tanh between theta and theta - beta l', beta = 2 |theta / l'|."""
    step = 2 * abs(theta / gradient) * gradient
    return (tanh(theta) - tanh(theta - step)) / step


def run(config: SlopeConfig, job: Job) -> Record:
    cases = {name: _case(theta, sign) for name, (theta, sign) in config.cases.items()}
    theta = torch.linspace(-config.limit, config.limit, config.points, dtype=torch.float64)
    curves = {
        str(mu): {
            str(sign): slope(
                theta,
                torch.full_like(theta, sign),
                torch.tensor(mu, dtype=torch.float64),
                config.alpha,
                config.reach,
                config.most_slope,
            ).tolist()
            for sign in (-1, 1)
        }
        for mu in config.mus
    }
    return {"tanh": cases, "theta": theta.tolist(), "double_well": curves}


def _case(theta: float, sign: int) -> Record:
    derivative, difference = 1 / cosh(theta) ** 2, finite_difference(theta, sign)
    return {
        "theta": theta,
        "sign": sign,
        "derivative": derivative,
        "finite_difference": difference,
        "boost": difference / derivative,
    }


def draw(result: Record, path: Path) -> None:
    record = result["jobs"]["curves"]
    cases, curves = record["tanh"], record["double_well"]
    figure = new_figure(11, 6.5, drawing="AdaSTE's slope")
    grid = figure.add_gridspec(2, max(len(cases), 2))
    xs = [n / 50 - 6 for n in range(601)]
    for column, (name, case) in enumerate(cases.items()):
        axes = figure.add_subplot(grid[0, column])
        theta, end = case["theta"], case["theta"] - 2 * abs(case["theta"]) * case["sign"]
        axes.plot(xs, [tanh(x) for x in xs], color="#8c97a8")
        axes.plot([theta, end], [tanh(theta), tanh(end)], "o-", color="#e8590c", ms=4)
        words = f"tanh' {case['derivative']:.3g}, difference {case['finite_difference']:.3g}"
        axes.set_title(f"{name}\n{words}", fontsize=9)
    for column, sign in enumerate((-1, 1)):
        axes = figure.add_subplot(grid[1, column])
        for mu, of_signs in curves.items():
            axes.plot(record["theta"], of_signs[str(sign)], label=f"mu {mu}")
        axes.set_title(f"rule adaste, l' {'<' if sign < 0 else '>'} 0: slope", fontsize=9)
        axes.set_xlabel("theta")
        axes.legend(frameon=False, fontsize=8)
    save(figure, path)


EXPERIMENT = Experiment("adaste_slope", SlopeConfig, lambda config: ["curves"], run, draw)

if __name__ == "__main__":
    main(EXPERIMENT)
