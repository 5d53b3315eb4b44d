"""Runs that start from another's weights and leave some as they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from short_runs import interrupted_at
from torch import Tensor, nn

from bnnkit import data
from bnnkit.errors import CheckpointError, ConfigError
from bnnkit.nn.latent_weights import latent_weights
from bnnkit.training import load_checkpoint, train
from bnnkit.training.build_model import build_model
from bnnkit.training.checkpoint import describe, save_checkpoint
from bnnkit.training.config import Config, parse_config
from bnnkit.training.stage import freeze, start_from

pytestmark = pytest.mark.usefixtures("one_thread", "undrawn")
QUIET = Console(quiet=True)
DIGITS = data.load("digits")


def _config(*overrides: str) -> Config:
    text = (
        "{model: {name: mlp, width: 16}, epochs: 2, batch_size: 128, device: cpu, lr: 0.05,"
        " eval_samples: 0, recalibrate: 4}"
    )
    return parse_config(text, overrides)


def _saved(path: Path, *overrides: str) -> tuple[Path, dict[str, Tensor]]:
    config = _config(*overrides)
    torch.manual_seed(5)
    network = build_model(config.model, DIGITS)
    save_checkpoint(path, network, config, describe(DIGITS, 0.5))
    return path, network.state_dict()


def test_a_network_starts_from_one_of_its_architecture(tmp_path: Path) -> None:
    path, tensors = _saved(tmp_path / "a.safetensors")
    network = build_model(_config().model, DIGITS)
    start_from(path, network)
    found = network.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in tensors.items())
    assert found.keys() == tensors.keys()


@pytest.mark.parametrize("rule", ["mirror-descent", "bop"])
def test_real_weights_become_latent_weights(tmp_path: Path, rule: str) -> None:
    real, binary = (
        f"model={{name: resnet18-real, width: 4, weights: {weights}}}"
        for weights in ("real", f"binary, weight_rule: {rule}")
    )
    path, tensors = _saved(tmp_path / "a.safetensors", real)
    network = build_model(_config(binary).model, DIGITS)
    start_from(path, network)
    found, names = network.state_dict(), []
    for name, tensor in found.items():
        layer, _, last = name.rpartition(".")
        if last == "latent":
            names.append(name)
            weight = tensors[f"{layer}.weight"]
            assert torch.equal(tensor.sign(), weight.sign())
            if rule == "mirror-descent":
                torch.testing.assert_close(tensor, weight / (2 * weight.square().mean().sqrt()))
        elif "binary_weight" in layer:
            assert torch.equal(tensor, tensors[name.replace("binary_weight.rule.", "")].sign())
        else:
            assert torch.equal(tensor, tensors[name])
    assert len(names) == 19
    assert len(found) - len(tensors) == (19 if rule == "bop" else 0)


def test_a_float_network_becomes_its_binary_twin_in_one_stage_or_two(tmp_path: Path) -> None:
    real, signs, binary = (
        f"model={{name: resnet18-real, width: 4{how}}}"
        for how in ("", ", binarize: {weights: real}", ", binarize: {weight_rule: bop}")
    )
    path, tensors = _saved(tmp_path / "a.safetensors", real)
    stage = build_model(_config(signs).model, DIGITS)
    start_from(path, stage)
    for name, tensor in tensors.items():
        assert torch.equal(stage.state_dict()[name], tensor)
    added = [name for name, _ in stage.named_parameters() if name.startswith("added.")]
    with torch.no_grad():
        stage.get_parameter(added[0]).fill_(0.5)
    save_checkpoint(tmp_path / "b.safetensors", stage, _config(signs), describe(DIGITS, 0.5))
    for start, first in ((path, 0.0), (tmp_path / "b.safetensors", 0.5)):
        twin = build_model(_config(binary).model, DIGITS)
        start_from(start, twin)
        assert (twin.get_parameter(added[0]) == first).all()
        names = {id(parameter): name for name, parameter in twin.named_parameters()}
        latents = list(latent_weights(twin))
        assert len(latents) == 16
        for weight, latent in latents:
            name = names[id(latent)].replace("parametrizations.weight.original", "weight")
            assert torch.equal(weight.eval()(latent), tensors[name].sign())


def test_a_twin_of_a_network_that_standardises_its_inputs_starts_too(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(10, 3, 16, 16)).astype(np.float32), np.arange(10) % 2
    reals = data.Dataset(
        name="reals", x_train=x, y_train=y, x_test=x, y_test=y, classes=("a", "b")
    )
    real, binary = (
        _config(f"model={{name: vgg16-real, width: 2, standardize_inputs: true{how}}}")
        for how in ("", ", binarize: {skips: each}")
    )
    network = build_model(real.model, reals)
    save_checkpoint(tmp_path / "a.safetensors", network, real, describe(reals, 0.5))
    twin = build_model(binary.model, reals)
    start_from(tmp_path / "a.safetensors", twin)
    found, expected = twin.state_dict(), network.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected if name in found)
    assert len(list(latent_weights(twin))) == 12


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    path, _ = _saved(tmp_path / "a.safetensors")
    wide = _config("model.width=24", f"start_from={path}")
    with pytest.raises(
        CheckpointError, match=r"does not fit .*start_from\): features\.\S+ is .*\(16.*expected"
    ):
        train(wide, tmp_path / "run", console=QUIET)
    with pytest.raises(CheckpointError, match="is missing"):
        train(_config("model.depth=4", f"start_from={path}"), tmp_path / "run", console=QUIET)
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        train(_config("start_from=none"), tmp_path / "run", console=QUIET)
    assert not (tmp_path / "run").exists()


def test_frozen_parameters_keep_their_values(tmp_path: Path) -> None:
    path, tensors = _saved(tmp_path / "a.safetensors")
    names = [name for name, _ in load_checkpoint(path).model.named_parameters()]
    options = [f"start_from={path}", "freeze=['*.latent', 'features.1.*']", "ema=0.9"]
    train(_config(*options, "weight_decay=0.1"), tmp_path / "run", console=QUIET)
    found = load_checkpoint(tmp_path / "run").model.state_dict()
    is_kept = {name: torch.equal(found[name], tensors[name]) for name in names}
    assert is_kept == {
        name: name.endswith(".latent") or name.startswith("features.1.") for name in names
    }
    assert sum(is_kept.values()) == 2


def test_a_stopped_stage_is_continued_exactly_without_its_start(tmp_path: Path) -> None:
    path, _ = _saved(tmp_path / "a.safetensors")
    config = _config(f"start_from={path}", "freeze=['features.1.*']", "latent={lr: 0.1}")
    train(config, tmp_path / "straight", console=QUIET)
    with interrupted_at(15):
        train(config, tmp_path / "stopped", console=QUIET)
    path.unlink()
    train(config, tmp_path / "stopped", console=QUIET)
    for name in ("state.safetensors", "checkpoint.safetensors"):
        both = [(tmp_path / run / name).read_bytes() for run in ("straight", "stopped")]
        assert both[0] == both[1], name


def test_patterns_that_do_not_fit() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    with pytest.raises(ConfigError, match=r"such as 0\.weight, 'head\.\*' matches none"):
        freeze(network, ["0.*", "head.*"])
    with pytest.raises(ConfigError, match="all parameters, so nothing can be trained"):
        freeze(network, ["0.*", "1.*"])


@pytest.mark.parametrize(
    ("patterns", "words"),
    [
        ("['*.latent']", "leaves no latent weights"),
        ("['features.[125].*', 'classifier.*']", "leaves only latent weights"),
    ],
)
def test_a_section_latent_needs_both_kinds(tmp_path: Path, patterns: str, words: str) -> None:
    config = _config("latent={lr: 0.1}", f"freeze={patterns}")
    with pytest.raises(ConfigError, match=words):
        train(config, tmp_path / "run", console=QUIET)
