"""The experiments, in their small settings, and their stored results."""

import json
from pathlib import Path
from typing import Any

import adaste_slope
import autoencoder
import noise_proxies
import pytest
import vae
import weight_rules
from experiment import Experiment, main
from experiment_config import Record, load_config

from bnnkit.errors import ConfigError
from bnnkit.nn.estimators import ESTIMATORS
from bnnkit.nn.weight_rules import WEIGHT_RULES, get_weight_rule

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "experiments" / "configs"
RESULTS = ROOT / "docs" / "results"
EXPERIMENTS: dict[str, Experiment[Any]] = {
    "noise-proxies": noise_proxies.EXPERIMENT,
    "adaste-slope": adaste_slope.EXPERIMENT,
    "vae": vae.EXPERIMENT,
    "autoencoder": autoencoder.EXPERIMENT,
    "weight-rules": weight_rules.EXPERIMENT,
}


def result_of(name: str, out: Path, *overrides: str) -> Record:
    """Run an experiment by its command, and return what it wrote."""
    experiment = EXPERIMENTS[name.removesuffix("-small")]
    main(experiment, [str(CONFIGS / f"{name}.yaml"), *overrides, "--out", str(out)])
    assert (out / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    result: Record = json.loads((out / f"{name}.json").read_text())
    assert result["finished"]
    return result


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_configurations_are_valid(path: Path) -> None:
    experiment = EXPERIMENTS[
        path.stem.removesuffix("-small").removesuffix("-cpu").removesuffix("-rates")
    ]
    assert experiment.jobs(load_config(experiment.config, path))


def test_every_estimator_and_weight_rule_is_in_an_experiment() -> None:
    config = load_config(autoencoder.AutoencoderConfig, CONFIGS / "autoencoder.yaml")
    found = {estimator.name for estimator in config.estimators.values()}
    with_loss = {"arm", "disarm", "reinforce", "local-expectations"}
    # psa is for several layers.
    assert found == set(ESTIMATORS.names) - {"psa"} | with_loss
    table = load_config(weight_rules.TableConfig, CONFIGS / "weight-rules.yaml")
    assert {rule.rule for rule in table.rules.values()} == set(WEIGHT_RULES.names)


def test_runs_of_the_table_have_valid_configurations(tmp_path: Path) -> None:
    config = load_config(weight_rules.TableConfig, CONFIGS / "weight-rules.yaml")
    names = weight_rules.jobs(config)
    assert len(names) == len(config.networks) * len(config.rules) * 3
    for name in names[::3]:
        training = weight_rules.training_of(config, name, "cuda")
        options = training.model.options
        get_weight_rule(options["weight_rule"], options.get("weight_rule_options"))
    assert training.model.options["padding_value"] == "zeros"
    assert training.latent is not None
    assert (training.latent.lr, training.precision) == (1e-3, "bf16-mixed")  # of bop
    assert weight_rules.training_of(config, names[0], "cpu").precision == "32-true"


def test_proxies_follow_from_noises(tmp_path: Path) -> None:
    arguments = [str(CONFIGS / "noise-proxies.yaml"), "samples=2000", "--only", "curves"]
    main(noise_proxies.EXPERIMENT, [*arguments, "--out", str(tmp_path)])  # without the figure
    curves = json.loads((tmp_path / "noise-proxies.jobs" / "curves.json").read_text())
    for noise in ("uniform", "logistic", "triangular"):
        assert curves[noise]["largest_difference_from_proxy"] < 1e-12
        assert curves[noise]["largest_z_of_drawn"] < 5  # of 241 frequencies


def test_adaste_boosts_where_the_loss_pulls_a_saturated_weight_back(tmp_path: Path) -> None:
    record = result_of("adaste-slope", tmp_path)["jobs"]["curves"]
    near, pulled, pushed = (case["boost"] for case in record["tanh"].values())
    assert near == pytest.approx(1, abs=0.02)
    assert pulled > 30
    assert pushed < 1
    exact = record["double_well"]["100.01"]  # s is the sign
    for theta, slope in zip(record["theta"], exact["-1"], strict=True):
        assert slope == (0.5 if theta < 0 else 0)  # 1 / |theta| is more than 0.5 up to 2


@pytest.mark.slow
def test_the_vae_is_worse_without_the_factor_2(tmp_path: Path) -> None:
    record = result_of("vae-small", tmp_path)["jobs"]["lr-0.01"]
    last = record["loss"][-1]
    assert max(last["ST"]) + 0.1 < min(last["ST without factor 2"])
    assert len(record["training"]) == 40


@pytest.mark.slow
def test_the_autoencoder(tmp_path: Path) -> None:
    jobs = result_of("autoencoder-small", tmp_path)["jobs"]
    few, many = jobs["bits-4"], jobs["bits-32"]
    for record in (few, many):
        assert record["epochs"] == [0, 10, 20, 30]
        assert [point["epoch"] for point in record["points"]] == [0, 20]
        for label, losses in record["loss"][-1].items():
            assert losses[0] < record["loss"][0][label][0] - 50
    start = many["points"][0]["accuracies"][0]
    assert start["ST"]["cosine"]["value"] > start["det_ST"]["cosine"]["value"]
    assert start["ST"]["cosine"]["value"] > start["ARM"]["cosine"]["value"]
    assert start["DisARM"]["cosine"]["value"] > start["ARM"]["cosine"]["value"]
    assert start["ST"]["rmse"]["value"] < start["identity_ST"]["rmse"]["value"]
    assert "local expectations" not in start
    # The bias of ST falls with the bits, at the initial weights.
    assert (
        few["points"][0]["accuracies"][0]["ST"]["cosine"]["value"] < start["ST"]["cosine"]["value"]
    )


@pytest.mark.slow
def test_the_table_of_weight_rules(tmp_path: Path) -> None:
    result = result_of("weight-rules-small", tmp_path, "networks={mlp: {name: mlp, width: 64}}")
    rows = {row["rule"]: row["mlp"]["mean"] for row in weight_rules.table(result)}
    assert set(rows) == set(WEIGHT_RULES.names)
    assert min(rows.values()) > 80
    lines = (tmp_path / "weight-rules-small.md").read_text().splitlines()
    assert lines[:2] == ["| rule | mlp |", "| --- | ---: |"]
    assert len(lines) == 2 + len(rows)


def test_a_stopped_experiment_keeps_its_curves_and_continues(tmp_path: Path) -> None:
    short = ["epochs=3", "eval_every=1", "batch_size=200", "data.images=400"]
    arguments = [str(CONFIGS / "vae-small.yaml"), *short, "--out"]
    main(vae.EXPERIMENT, [*arguments, str(tmp_path), "--seconds", "0"])
    stopped = json.loads((tmp_path / "vae-small.json").read_text())
    assert not stopped["finished"]
    assert stopped["stopped"] == ["lr-0.01"]
    assert stopped["jobs"]["lr-0.01"]["epochs"] == [1]
    main(vae.EXPERIMENT, [*arguments, str(tmp_path)])
    continued = json.loads((tmp_path / "vae-small.json").read_text())
    main(vae.EXPERIMENT, [*arguments, str(tmp_path / "whole")])
    whole = json.loads((tmp_path / "whole" / "vae-small.json").read_text())
    assert continued["finished"]
    assert continued["jobs"] == whole["jobs"]


@pytest.mark.slow
def test_processes_share_the_jobs(tmp_path: Path) -> None:
    overrides = ["lrs=[0.01, 0.003]", "epochs=2", "eval_every=1", "data.images=100"]
    result_of("vae-small", tmp_path / "one", *overrides)
    result_of("vae-small", tmp_path / "two", *overrides, "--devices", "2", "--device", "cpu")
    one, two = (
        json.loads((tmp_path / name / "vae-small.json").read_text()) for name in ("one", "two")
    )
    assert one["jobs"] == two["jobs"]


def test_a_result_is_not_mixed_with_another_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(CONFIGS / "adaste-slope.yaml"), "--out", str(tmp_path), "--only", "curves"]
    main(adaste_slope.EXPERIMENT, arguments)
    with pytest.raises(SystemExit):
        main(adaste_slope.EXPERIMENT, [*arguments[:1], "alpha=0.02", *arguments[1:]])
    assert "jobs of another configuration" in capsys.readouterr().err


def test_wrong_keys_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"vae\.yaml: .*nonsense"):
        load_config(vae.VaeConfig, CONFIGS / "vae.yaml", ["nonsense=1"])


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        ("just text", ["alpha=1"], "expected 'key: value' lines, got str"),
        ("alpha: 1\nalpha: 2", [], "the key 'alpha' is given twice"),
        ("{", [], "is not valid YAML"),
        ("", ["alpha"], "expected an override key=value, got 'alpha'"),
        ("alpha: 1", ["alpha.x=1"], "cannot set alpha.x: alpha is a value"),
        ("alpha: [1]", [], r"alpha: expected a valid number, got \[1\]$"),
    ],
)
def test_wrong_configurations_are_refused_in_a_line(
    text: str, overrides: list[str], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(adaste_slope.SlopeConfig, path, overrides)
    assert str(caught.value).startswith(str(path))
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not valid JSON"),
        ("[]", "expected a result with the keys experiment, config, jobs"),
        ('{"experiment": "vae", "config": {}}', "expected a result with the keys"),
        ('{"experiment": "vae", "config": {}, "jobs": {}}', "expected a result of adaste_slope"),
        ('{"experiment": "adaste_slope", "config": {}, "jobs": {}}', "broken.json: "),
    ],
)
def test_broken_results_are_refused_in_a_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.json").write_text(text)
    with pytest.raises(SystemExit) as caught:
        main(adaste_slope.EXPERIMENT, [str(tmp_path / "broken.json")])
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert message in said
    assert said.count("\n") == 1


class _Processes:
    """Instead of processes: what they would have been given."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.started: list[tuple[list[str], str]] = []
        monkeypatch.setattr("subprocess.Popen", self._start)

    def _start(self, command: list[str], env: dict[str, str]) -> "_Processes":
        jobs = command[command.index("--only") + 1 :]
        self.started.append((jobs, env["CUDA_VISIBLE_DEVICES"]))
        return self

    def wait(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("visible", "gpus"),
    [(None, ["0", "1"]), ("3,5,6", ["3", "5"]), ("GPU-a, GPU-b", ["GPU-a", "GPU-b"])],
)
def test_devices_run_the_chosen_jobs_on_the_users_gpus(
    visible: str | None, gpus: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    processes = _Processes(monkeypatch)
    arguments = [
        str(CONFIGS / "vae-small.yaml"),
        "lrs=[0.01, 0.003, 0.001]",
        "--out",
        str(tmp_path),
    ]
    main(vae.EXPERIMENT, [*arguments, "--devices", "2", "--only", "lr-0.001", "lr-0.01"])
    assert processes.started == [(["lr-0.001"], gpus[0]), (["lr-0.01"], gpus[1])]


def test_more_devices_than_visible_gpus_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
    processes = _Processes(monkeypatch)
    with pytest.raises(SystemExit):
        main(
            vae.EXPERIMENT,
            [str(CONFIGS / "vae-small.yaml"), "--out", str(tmp_path), "--devices", "2"],
        )
    assert "expected as many GPUs in CUDA_VISIBLE_DEVICES, got '3'" in capsys.readouterr().err
    assert not processes.started


def test_each_job_names_the_code_that_ran_it(tmp_path: Path) -> None:
    arguments = [str(CONFIGS / "adaste-slope.yaml"), "--out", str(tmp_path)]
    main(adaste_slope.EXPERIMENT, [*arguments, "--only", "curves", "--revision", "first"])
    main(adaste_slope.EXPERIMENT, [*arguments, "--revision", "second"])  # reuses the job
    result = json.loads((tmp_path / "adaste-slope.json").read_text())
    assert "revision" not in result
    made_by = result["jobs"]["curves"]["made_by"]
    assert (made_by["revision"], made_by["device"]) == ("first", "CPU")


@pytest.mark.slow
@pytest.mark.parametrize("path", sorted(RESULTS.glob("*.json")), ids=lambda path: path.stem)
def test_stored_results_can_be_drawn_again(path: Path, tmp_path: Path) -> None:
    result = json.loads(path.read_text())
    experiment = next(e for e in EXPERIMENTS.values() if e.name == result["experiment"])
    assert result["finished"]
    assert experiment.config.model_validate(result["config"])
    experiment.draw(result, tmp_path / "again.png")


def test_the_table_has_the_optimizers_that_were_best_on_held_out_images() -> None:
    config = load_config(weight_rules.TableConfig, CONFIGS / "weight-rules.yaml")
    rates = load_config(weight_rules.TableConfig, CONFIGS / "weight-rules-rates.yaml")
    jobs = json.loads((RESULTS / "weight-rules-rates.json").read_text())["jobs"]
    for label, rule in config.rules.items():
        if label.endswith("-sgd"):  # the optimizer of the authors
            continue
        for network, keys in rule.networks.items():
            tried = {
                name: jobs[f"{network}.{name}.100"]["validation_accuracy"]
                for name in (f"{label}-{letter}" for letter in "abc")
            }
            best = max(tried, key=tried.__getitem__)
            assert keys == {"latent": rates.rules[best].training["latent"]}, (label, network)
