"""A recipe for a network: configurations that train it and, taught by it, its binary twin."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
import yaml

from bnnkit import models
from bnnkit.data import AnyDataset, StreamedDataset
from bnnkit.data.own_code import is_own
from bnnkit.errors import ConfigError, FileError
from bnnkit.files.atomic import write_bytes
from bnnkit.training.build_model import changes_of_twin
from bnnkit.training.config import DataConfig, parse_config
from bnnkit.training.model_config import BinarizeConfig, ModelConfig
from bnnkit.training.recipe_files import FLOAT, TWIN, check_recipe_folder

_MOST_BATCHES: Final = 390
_BINARIZE: Final = {
    "estimator": "deterministic-st",
    "noise": "logistic",
    "weight_rule": "standardised",
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What `make_recipe` wrote.

    Attributes:
        files: The configurations, in the order of training.
        commands: The commands that train, export and verify, to be run in the same directory.
        changes: How the binary twin differs from the network.
    """

    files: tuple[Path, ...]
    commands: tuple[str, ...]
    changes: models.Changes


def make_recipe(
    model: ModelConfig, data: DataConfig, dataset: AnyDataset, folder: Path, *, epochs: int = 200
) -> Recipe:
    """Write the configurations that train a network and its binary twin, with comments.

    Args:
        model: The network: of convolution, batch norm and ReLU, for the inputs of the data set.
        data: The data set's name and folder.
        dataset: The data set.
        folder: Where to write; it is created if it is missing.
        epochs: Of the twin; the network is trained for half as many.

    Raises:
        ConfigError: The data set has no classes; or the network cannot be built, does not accept
            the data, or cannot become binary.
        FileError: The folder cannot be written, or holds a configuration of that name.
    """
    if dataset.targets != "classes":
        raise ConfigError(
            f"expected a data set of classes, {dataset.name} has {dataset.targets}; write the"
            " configurations by hand, with loss, model.binarize and start_from"
        )
    twin = model.model_copy(update={"binarize": BinarizeConfig.model_validate(_BINARIZE)})
    changes = changes_of_twin(twin, dataset)
    texts = _texts(model, data, dataset, folder, epochs)
    for name, text in texts.items():
        parse_config(text, source=name)
    check_recipe_folder(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot create {folder}: {error.strerror or error}") from error
    for name, text in texts.items():
        write_bytes(folder / name, text.encode())
    return Recipe(
        files=tuple(folder / name for name in texts),
        commands=_commands(model, data, dataset, folder),
        changes=changes,
    )


def _texts(
    model: ModelConfig, data: DataConfig, dataset: AnyDataset, folder: Path, epochs: int
) -> dict[str, str]:
    plain = {"name": model.name, **model.options}
    n_examples = len(dataset.train)
    batch_size = min(128, 1 << max(1, (n_examples // 10).bit_length() - 1))
    shared = {
        "data": _flow({"name": data.name, **data.model_dump(exclude_defaults=True)}),
        "batch_size": batch_size,
        "augment": _augment(dataset),
        "speed": _SPEED_GPU if torch.cuda.is_available() else _SPEED_CPU,
        "recalibrate": min(_MOST_BATCHES, max(1, n_examples // batch_size)),
        "validation": _validation(dataset),
    }
    store_logits = "" if isinstance(dataset, StreamedDataset) else _STORE_LOGITS
    run = {FLOAT: folder / "float", TWIN: folder / "binary"}
    train = {name: _train(folder / name, out, model, data) for name, out in run.items()}
    return {
        FLOAT: _FLOAT.format(
            command=train[FLOAT],
            model=_flow(plain),
            epochs=max(1, epochs // 2),
            store_logits=store_logits,
            **shared,
        ),
        TWIN: _TWIN.format(
            command=train[TWIN],
            name="\n  ".join(
                yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).splitlines()
            ),
            teacher=_flow([str(run[FLOAT])]),
            start=_scalar(str(run[FLOAT])),
            epochs=epochs,
            **shared,
        ),
    }


def _validation(dataset: AnyDataset) -> str:
    streamed = dataset if isinstance(dataset, StreamedDataset) else None
    if streamed and streamed.train.is_stream and streamed.validation is None:
        return "0               # no examples of a stream can be held out"
    return "0.1             # held out, to choose by; 0 trains the final network on everything"


def _augment(dataset: AnyDataset) -> str:
    if len(dataset.input_shape) == 3 and dataset.input_shape[0] == 3:
        return "crop-flip-uniform    # shifts up to 4 pixels and mirrors; none: no augmentation"
    return "none                 # crop shifts images, crop-flip-uniform mirrors them too"


def _commands(
    model: ModelConfig, data: DataConfig, dataset: AnyDataset, folder: Path
) -> tuple[str, ...]:
    run, file = folder / "binary", folder / "binary.onnx"
    trusted = _trusted(model.name)
    where = "" if data.dir is None else f" --data-dir {shlex.quote(data.dir)}"
    of_data = f" --data {shlex.quote(data.name)}{where}{_trusted(data.name)}"
    return (
        _train(folder / FLOAT, folder / "float", model, data),
        _train(folder / TWIN, run, model, data),
        f"bnnkit export {_quoted(run)} -o {_quoted(file)}{trusted}",
        f"bnnkit verify {_quoted(run)} {_quoted(file)}{trusted}",
        f"bnnkit eval {_quoted(file)}{of_data}",
    )


def _train(config: Path, out: Path, model: ModelConfig, data: DataConfig) -> str:
    modules = dict.fromkeys([_trusted(model.name), _trusted(data.name)])
    return f"bnnkit train {_quoted(config)} --out {_quoted(out)}{''.join(modules)}"


def _trusted(name: str) -> str:
    return f" --trust-code {name.partition(':')[0]}" if is_own(name) else ""


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))


def _flow(values: Mapping[str, Any] | list[str]) -> str:
    text = yaml.safe_dump(
        values, default_flow_style=True, sort_keys=False, width=2**20, allow_unicode=True
    )
    return text.strip()


def _scalar(value: str) -> str:
    return _flow([value])[1:-1]


_STORE_LOGITS: Final = """\
store_logits: true          # of all training images and their shifts, for stage 2
"""
_SPEED_GPU: Final = """precision: bf16-mixed
compile: true"""
_SPEED_CPU: Final = """# On a GPU:
# precision: bf16-mixed
# compile: true"""

_FLOAT: Final = """\
# Stage 1: the network as it is, with real weights. It teaches its binary twin (stage 2).
#   {command}
data: {data}
model: {model}
epochs: {epochs}
batch_size: {batch_size}
validation: {validation}
optimizer: sgd              # with Nesterov momentum 0.9
lr: 0.1
weight_decay: 5.0e-4
warmup: 3
schedule: cosine
augment: {augment}
recalibrate: {recalibrate}
eval_every: 10
save_every: 10
{store_logits}{speed}
"""

_TWIN: Final = """\
# Stage 2: the binary twin, with binary weights and activations, taught by the network of stage 1.
#   {command}
data: {data}
model:
  {name}
  binarize:
    estimator: deterministic-st # no noise in training; the gradient is the logistic density's
    noise: logistic
    weight_rule: standardised   # the sign of the standardised latent weights
    activation: rprelu          # where values go around binary layers; none removes activations
    skips: each                 # around each binary layer where shapes allow it; own adds none
    real: []                    # names or patterns of further layers that stay real-valued
    min_inputs: 16              # layers with fewer inputs stay real; more for MobileNets
start_from: {start}
distillation:                   # no labels at all
  teachers: {teacher}
  temperature: 4                # 4 to 16 are as good, 2 is worse
epochs: {epochs}
batch_size: {batch_size}
validation: {validation}
latent:                         # SGD with decay, so that signs go on flipping; Adam freezes them
  optimizer: sgd
  lr: 0.1
  momentum: 0.9
  weight_decay: 5.0e-4
optimizer: adam                 # real weights and batch norms
lr: 0.001
warmup: 1
schedule: cosine
augment: {augment}
recalibrate: {recalibrate}
eval_every: 10
save_every: 10
{speed}
"""
