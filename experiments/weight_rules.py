"""A table of all weight rules on the same networks, with the same budget.

    python experiments/weight_rules.py experiments/configs/weight-rules.yaml --devices 4

A job is a network, a rule and a seed: a run of `bnnkit train` in FOLDER/STEM.jobs/JOB.run, which
continues if it was stopped. Rules have the settings of their sources where these differ, in the
configuration; epochs, batches, augmentation and the optimizer of real-valued weights are the same
for all.
"""

from collections.abc import Mapping, Sequence
from io import StringIO
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, ClassVar

import yaml
from experiment import Experiment, Job, main
from experiment_config import Config, Record
from pydantic import Field
from rich.console import Console

from bnnkit.plots import new_figure, save
from bnnkit.training import train
from bnnkit.training.config import Config as TrainingConfig
from bnnkit.training.config import parse_config
from bnnkit.training.history import read_history
from bnnkit.training.run_folder import RunFolder


class RuleConfig(Config):
    """A row of the table.

    Attributes:
        rule: The name of the weight rule.
        training: Keys of the training that its source sets otherwise; "model.weight_noise" and the
            like, with dots.
        published: For a network, the test accuracy in its source in percent.
        networks: For a network, further keys of the training there.
        why: A remark.
    """

    rule: str
    training: dict[str, Any] = Field(default={})
    networks: dict[str, dict[str, Any]] = Field(default={})
    published: dict[str, float] = Field(default={})
    why: str = ""


class TableConfig(Config):
    """The networks, the rules and the common budget.

    Attributes:
        training: The common configuration of `bnnkit train`, without the network.
        networks: The model's keys of each network.
        rules: By label.
        seeds: Of the runs.
        on_cpu: Keys that a device other than a GPU needs.
    """

    places: ClassVar[dict[str, Any]] = {"training": {"data": {"dir"}}}

    training: dict[str, Any]
    networks: dict[str, dict[str, Any]]
    rules: dict[str, RuleConfig]
    seeds: tuple[int, ...] = (0, 1, 2)
    on_cpu: dict[str, Any] = Field(
        default={"precision": "32-true", "compile": False, "cuda_graph": False}
    )


def jobs(config: TableConfig) -> list[str]:
    """All seeds of a rule on a network are next to each other, so that they are shared out."""
    return [
        f"{network}.{label}.{seed}"
        for network in config.networks
        for label in config.rules
        for seed in config.seeds
    ]


def run(config: TableConfig, job: Job) -> Record:
    """Train one network."""
    out = job.state.with_suffix(".run")
    training = training_of(config, job.name, job.device.type)
    train(training, out, console=Console(file=StringIO()))
    history = read_history(RunFolder(out).metrics)
    final = next(record for record in reversed(history) if record.get("final"))
    job.say(f"{100 * final['test_accuracy']:.2f} %")
    return {
        "accuracy": final["test_accuracy"],
        "validation_accuracy": final.get("validation_accuracy"),
        "accuracy_samples": final.get("test_accuracy_samples"),
        "train_loss": [record["train_loss"] for record in history if "train_loss" in record],
        "seconds": sum(record.get("seconds", 0) for record in history),
        "config": training.model_dump(mode="json", exclude={"data": {"dir"}}),
    }


def training_of(config: TableConfig, name: str, device: str) -> TrainingConfig:
    """The configuration of a job's run: the common one, and the keys of network, rule and seed.

    Raises:
        ConfigError: If a key or value is wrong.
    """
    network, label, seed = name.split(".")
    rule = config.rules[label]
    model: dict[str, Any] = {**config.networks[network], "weight_rule": rule.rule}
    placement = {} if device == "cuda" else config.on_cpu
    keys = {"model": model, "seed": int(seed), "device": device, **placement, **rule.training}
    keys |= rule.networks.get(network, {})
    overrides = [f"{k}={yaml.safe_dump(v, default_flow_style=True)}" for k, v in keys.items()]
    return parse_config(yaml.safe_dump(config.training), overrides, source=name)


def table(result: Record) -> list[Record]:
    """A row for each rule: for each network the mean, the deviation and the published number."""
    rows = []
    for label, rule in result["config"]["rules"].items():
        row: Record = {"rule": label, "why": rule["why"]}
        for network in result["config"]["networks"]:
            found = _accuracies(result["jobs"], f"{network}.{label}.")
            if found:
                row[network] = {
                    "mean": 100 * fmean(found),
                    "deviation": 100 * stdev(found) if len(found) > 1 else None,
                    "runs": len(found),
                    "published": rule["published"].get(network),
                }
        rows.append(row)
    return rows


def _accuracies(records: Mapping[str, Record], start: str) -> list[float]:
    return [record["accuracy"] for name, record in records.items() if name.startswith(start)]


def draw(result: Record, path: Path) -> None:
    """Draw a panel for each network, a mark for each run, and write the table beside it."""
    networks, rows = list(result["config"]["networks"]), table(result)
    figure = new_figure(4.8 * len(networks), 1.2 + 0.3 * len(rows), drawing="the weight rules")
    panels = figure.subplots(1, len(networks), sharey=True, squeeze=False)[0]
    labels = [row["rule"] for row in rows]
    for axes, network in zip(panels, networks, strict=True):
        for place, label in enumerate(labels):
            found = [100 * a for a in _accuracies(result["jobs"], f"{network}.{label}.")]
            axes.plot(found, [place] * len(found), "o", color="#2563eb", alpha=0.6)
            published = result["config"]["rules"][label]["published"].get(network)
            if published is not None:
                axes.plot([published], [place], "|", color="#e8590c", ms=14, mew=2)
        axes.set_title(network, fontsize=10)
        axes.set_xlabel("test accuracy (%); bars: published")
        axes.grid(axis="x", color="#e4e7eb")
    panels[0].set_yticks(range(len(labels)), labels)
    panels[0].invert_yaxis()
    save(figure, path)
    path.with_suffix(".md").write_text(as_markdown(networks, rows))


def as_markdown(networks: Sequence[str], rows: Sequence[Record]) -> str:
    """The table, in percent: mean and deviation of the runs, and the published number."""
    lines = [f"| rule | {' | '.join(networks)} |", f"| --- |{' ---: |' * len(networks)}"]
    for row in rows:
        cells = [_cell(row.get(network)) for network in networks]
        lines.append(f"| `{row['rule']}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(found: Record | None) -> str:
    if found is None:
        return ""
    words = f"{found['mean']:.2f}"
    if found["deviation"] is not None:
        words += f" ± {found['deviation']:.2f}"
    return words if found["published"] is None else f"{words} ({found['published']:.2f})"


EXPERIMENT = Experiment("weight_rules", TableConfig, jobs, run, draw)

if __name__ == "__main__":
    main(EXPERIMENT)
