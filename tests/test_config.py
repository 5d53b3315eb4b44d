"""Reading configurations: what is right, and one line for whatever is wrong."""

from pathlib import Path

import pytest

from bnnkit.errors import ConfigError, FileError
from bnnkit.training.config import Config, differences, dump_config, load_config, parse_config

EXAMPLES = sorted((Path(__file__).parents[1] / "examples" / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_are_valid(path: Path) -> None:
    assert load_config(path).data.name in path.stem


def test_examples_are_there() -> None:
    assert {"digits-mlp", "digits-convnet", "mnist-convnet", "cifar10-vgg"} <= {
        path.stem for path in EXAMPLES
    }


@pytest.mark.parametrize(
    ("text", "missing"),
    [("# nothing\n", "data and model"), ("lr: 1", "data and model"), ("data: {}", "model")],
)
def test_a_file_says_which_data_and_model(tmp_path: Path, text: str, missing: str) -> None:
    path = tmp_path / "short.yaml"
    path.write_text(text)
    message = f"short.yaml: expected at least data and model, {missing} missing"
    with pytest.raises(ConfigError, match=message):
        load_config(path)
    assert load_config(path, ["data.name=digits", "model.name=convnet", "lr=0.01"]) == Config()


def test_overrides() -> None:
    config = parse_config(
        "data: {name: mnist}\nlr: 0.5\n",
        ["lr=1e-3", "model.width=64", "model.noise=none", "compile=true", "data.dir=/x=y"],
    )
    assert (config.lr, config.compile) == (0.001, True)
    assert config.model.options == {"width": 64, "noise": "none"}
    assert (config.data.name, config.data.dir) == ("mnist", "/x=y")


def test_dump_and_parse_are_inverse() -> None:
    config = parse_config("model: {name: vgg, width: 8}\nlr: 1.0e-05\ndata: {dir: größe}\n")
    assert parse_config(dump_config(config)) == config
    assert "label_smoothing: 0.0" in dump_config(config)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("learning_rate: 1", r"unknown key learning_rate; valid keys: data, model, seed, .*lr"),
        (
            "data: {path: x}",
            r"unknown key data.path; valid keys: name, dir, workers, shuffle_buffer, "
            r"preprocessing$",
        ),
        ("epochs: 0", r"epochs: expected a value greater than or equal to 1, got 0$"),
        ("epochs: 1.5", r"epochs: expected an integer, got 1.5$"),
        ("lr: fast", r"lr: expected a number, got 'fast'$"),
        ("lr: .nan", r"lr: expected a finite number, got nan$"),
        ("batch_size: 1", "greater than or equal to 2"),
        ("label_smoothing: 1", "less than 1"),
        (
            "schedule: line",
            r"schedule: expected 'cosine', .* or your own .*, got 'line'$",
        ),
        ("optimizer: lion", r"optimizer: expected 'adam', 'adamw', 'sgd' or your .*, got 'lion'"),
        ("latent: sgd", r"latent: expected keys and values, such as {optimizer: sgd, lr: 0.1}"),
        ("latent: {lrr: 1}", r"unknown key latent.lrr; valid keys: optimizer, lr, "),
        ("latent: {lr: 0}", r"latent.lr: expected a value greater than 0, got 0"),
        ("distillation: {teachers: []}", r"distillation.teachers: .* at least 1 item"),
        ("distillation: {temperature: 2}", r"distillation.teachers: "),
        ("validation: 1", "less than 1"),
        ("epochs: 0\nlr: -1", r"epochs: .*; lr: "),
        ("- a\n- b", "expected 'key: value' lines, got list"),
        ("model: mlp", r"model: expected keys and values, such as {name: convnet}, got 'mlp'$"),
        ("data: [a]", r"data: expected keys and values, such as {name: digits}, got \['a'\]$"),
        ("data: {name: 3}", r"data.name: expected text, got 3$"),
        ("compile: 7", r"compile: expected true or false, got 7$"),
        ("lr: 1\nlr: 2", r"wrong.yaml, line 2: the key 'lr' is given twice; remove one"),
        ("lr: 1\n1: 2", r"wrong.yaml, line 2: expected text as a key, got 1; put it in quotes"),
        ("lr: [1", "is not valid YAML, line"),
        ("lr: !!python/object:os.system x", "wrong.yaml, line 1: could not determine"),
        ("lr: \x00", "is not valid YAML"),
    ],
)
def test_one_line_says_what_is_wrong(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr", "expected an override key=value, got 'lr'"),
        ("=1", "expected an override key=value"),
        ("lr.x=1", "cannot set lr.x: lr is a value"),
        ("lrr=1", "unknown key lrr"),
        ("lr=[", "lr=.* is not valid YAML"),
    ],
)
def test_wrong_overrides(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^own.yaml: {message}"):
        parse_config("lr: 1", [override], source="own.yaml")


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(FileError, match=r"cannot read the configuration .*none.yaml: No such"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FileError, match="cannot read the configuration"):
        load_config(tmp_path / "binary.yaml")


def test_differences_leave_out_where_a_run_computes() -> None:
    old = parse_config("lr: 0.1\nmodel: {width: 8}\n")
    assert differences(old, old) == []
    assert differences(old, parse_config(dump_config(old), ["device=cpu", "data.dir=x"])) == []
    for said in ("{}", "{resize: 12}"):
        new = parse_config(dump_config(old), [f"data.preprocessing={said}"])
        assert differences(old, new) == differences(new, old) == []
    new = parse_config("lr: 0.2\nmodel: {depth: 3}\n")
    assert differences(old, new) == [
        "model.width is 8, not None",
        "lr is 0.1, not 0.2",
        "model.depth is None, not 3",
    ]
