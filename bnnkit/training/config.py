"""The configuration of a training run: its keys, and reading and writing it as YAML."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import AfterValidator, Field

from bnnkit.artifact.format.sample import MOST_SAMPLES
from bnnkit.errors import ConfigError, FileError, brief
from bnnkit.files.kinds import but_it_is, kind_of_path
from bnnkit.files.regular_file import read_bytes
from bnnkit.images.preprocessing import preprocessing_from
from bnnkit.training.config_values import (
    Augment,
    Count,
    Decay,
    LearningRate,
    LossName,
    Momentum,
    NoiseScale,
    OptimizerName,
    Policy,
    ScheduleName,
    Share,
)
from bnnkit.training.flat import flat
from bnnkit.training.model_config import SECTION, BinarizeConfig, ModelConfig
from bnnkit.training.plain_yaml import load_keys


class _Section(pydantic.BaseModel):
    model_config = SECTION


def _preprocessing(values: dict[str, Any]) -> dict[str, Any]:
    """Check the values; return them in the form of JSON."""
    checked: dict[str, Any] = json.loads(preprocessing_from(values).to_json())
    return checked


class DataConfig(_Section):
    """The data set.

    Attributes:
        name: A key of `bnnkit.data.DATASETS`, the path of an .npz file, or your own
            function as "module:function"; see `bnnkit.data.own_dataset`.
        dir: The folder of the files; None for data/NAME. Your own function gets it as `data_dir`.
        workers: Processes that read data that are not held in memory; None takes one for each CPU,
            at most 8, and 0 reads in the process of training. It does not change the results.
        shuffle_buffer: For an iterable data set of torch: the number of examples among which the
            next one is drawn at random; 0 keeps the order of the data set.
        preprocessing: How an image file becomes an input like those of the data set, such as
            {resize: 256, mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}; the keys are
            those of `bnnkit.runtime.Preprocessing`. It does not change the training; exported
            files store it, for `bnnkit run MODEL photo.png`. None takes that of the data set.
    """

    name: str = "digits"
    dir: str | None = None
    workers: Annotated[int, Field(ge=0)] | None = None
    shuffle_buffer: Annotated[int, Field(ge=0)] = 1000
    preprocessing: Annotated[dict[str, Any], AfterValidator(_preprocessing)] | None = None


class LatentConfig(_Section):
    """The optimizer of the latent weights; None takes the value for the other weights.

    Attributes:
        optimizer: As in `Config`.
        lr: The peak learning rate; the schedule is the same.
        weight_decay: As in `Config`.
        momentum: As in `Config`.
        optimizer_options: As in `Config`; without them an `optimizer` that is set here has none.
    """

    optimizer: OptimizerName | None = None
    lr: LearningRate | None = None
    weight_decay: Decay | None = None
    momentum: Momentum | None = None
    optimizer_options: dict[str, Any] | None = None


class DistillationConfig(_Section):
    """Training on the outputs of other networks.

    The loss is weight * T^2 * KL(teachers || network), both softened by the temperature T, and
    (1 - weight) * the loss of the labels.

    Attributes:
        teachers: Run folders or checkpoints; the network learns from the mean of their logits.
        temperature: T.
        weight: Share of the teachers in the loss.

    References:
        Hinton, Vinyals & Dean, Distilling the Knowledge in a Neural Network, 2015,
        https://arxiv.org/abs/1503.02531.
    """

    teachers: Annotated[list[str], Field(min_length=1)]
    temperature: Annotated[float, Field(gt=0, le=1000)] = 4.0
    weight: Annotated[float, Field(gt=0, le=1)] = 1.0


class Config(_Section):
    """A training run.

    Attributes:
        data: The data set.
        model: The network.
        seed: Seed of the initial weights, the order, the augmentation and the noise.
        epochs: Passes over the training data.
        batch_size: Examples per step over all devices together, which share them evenly; an
            incomplete last batch of an epoch is left out.
        validation: Share of the training examples that is held out and evaluated during the run;
            the examples are the same in all runs. The test data are evaluated once, at the end.
        keep: The network in the checkpoint: "last", of the last epoch, or "best", of the epoch
            with the highest accuracy, or lowest mean absolute error, on the validation examples.
        patience: The run finishes early, after an evaluation on the validation examples, if their
            loss has not fallen below its lowest value for so many epochs. None trains all epochs.
        loss: "cross-entropy" for classes, integers (N,); "multi-label", the binary cross-entropy
            of each label alone, for labels of 0 and 1, (N, K), of which the network gives the
            log-odds; "mse", "l1" or "huber" for real values, (N, K).
        optimizer: "adam" or "adamw" with torch's defaults, "sgd" with Nesterov momentum, or your
            own function as "module:function" (see `bnnkit.training.own_optimizer`).
        optimizer_options: Keyword arguments of your own function.
        lr: The peak learning rate.
        momentum: Momentum of "sgd".
        weight_decay: Decay of all weights and latent weights, not of biases and batch norms: an
            L2 penalty in the gradient, or, with "adamw", decoupled from it.
        latent: A separate optimizer for the latent weights.
        warmup: Epochs in which the learning rate rises linearly from 0.
        schedule: "cosine" or "linear" to 0; "steps", a tenth from 60 % and a hundredth from 80 %
            of the epochs on (the paper's 300 and 400 of 500); "constant"; or your own function as
            "module:function", which gets the share of the run that is done, in [0, 1), and returns
            the factor of the peak learning rate.
        noise_scale: Epochs, from 1, and the factor of the signs' noise in each, such as
            [[1, 1], [60, 0.15]]: linear between them and constant outside. It scales the noise
            that is drawn, not the gradient. The network is deployed with the scale of its epoch.
            None is 1.
        clip_gradients: The largest norm of the gradient of all parameters together; a longer
            gradient is scaled to it. None does not clip.
        ema: Decay of an exponential moving average of all weights, latent weights too, over the
            steps; 0.999 averages about the last 1000. The network that is evaluated and kept has
            the averaged weights, and batch norms re-estimated for them. None does not average.
        label_smoothing: Share of the target that is spread over all classes, or, of a label, over
            present and absent.
        distillation: Teachers; None trains on the labels only.
        start_from: A run folder or a checkpoint of the same architecture, whose weights and batch
            norms the run starts from; real weights of a float network become the latent weights of
            its binary twin. None starts from random weights.
        freeze: Parameters that are not trained: names with the wildcards *, ? and [...], such as
            "features.0.*". Statistics of batch norms are not parameters.
        augment: "crop" shifts images by random padding and cropping, up to 4 pixels; "crop-flip"
            also mirrors half of them, which digits and letters do not survive;
            "crop-flip-uniform" is the same with all shifts equally likely; "none".
        auto_augment: A policy of torchvision (needs `bnnkit[augment]`), before `augment`.
        auto_augment_options: Arguments of its class, such as {num_ops: 2, magnitude: 9}.
        cutout: Side of a square that is blanked at a random place of each image, in pixels; 0
            blanks nothing.
        mixup: Each input is a weighted mean of two of the batch, and so is its target (the labels,
            or the teachers' probabilities); the weight is from Beta(mixup, mixup). The training
            accuracy counts the label of the larger part. None mixes nothing.
        store_logits: Whether the finished run writes its network's logits of all views of all
            training images beside the checkpoint, for distillation. If they are missing, the
            first run that needs them computes them.
        recalibrate: Training batches, augmented but without auto_augment, cutout and mixup, from
            which the batch-norm statistics are re-estimated, in the mode of deployment, at the
            end; 0 keeps those of training.
        recalibrate_mode: How the network will be deployed: as an ensemble of "samples" of the
            noise or as one "deterministic" network; "auto" is "samples" if signs are noisy, else
            "deterministic".
        eval_every: Epochs between two evaluations of the deterministic network on the validation
            examples; flip rates and shares of saturated weights are recorded at the
            same time.
        eval_samples: Samples of the noise in evaluations of the ensemble; 0 evaluates none.
        eval_samples_every: Epochs between two evaluations of the ensemble, each of which costs
            about an epoch's time on a CPU; the last epoch and the finished network are always
            evaluated.
        save_every: Epochs between two saved states from which a stopped run continues.
        log: Other forms of the metrics to write at the end: "csv" for metrics.csv,
            "tensorboard" for events in the folder tensorboard; TensorBoard must be installed.
        sync_batch_norm: Whether the batch norms of several processes share their statistics in
            each step, so that the result is that of one process with the whole batch; otherwise
            each normalises its own share, which is faster and another training.
        precision: Precision of training; evaluation is always in float32.
        compile: Whether to compile the network with torch.compile.
        cuda_graph: Whether to record a step once as a CUDA graph and replay it, on GPUs; it saves
            the CPU's work of launching kernels.
        device: "auto" is the GPU if there is one, else the CPU.
        devices: Devices on each machine; under torchrun, torchrun's numbers count.
        num_nodes: Number of machines; all must share the run folder.
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    seed: Annotated[int, Field(ge=0, lt=2**64)] = 0
    epochs: Count = 30
    batch_size: Annotated[int, Field(ge=2)] = 128
    validation: Share = 0.1
    keep: Literal["last", "best"] = "last"
    patience: Count | None = None
    loss: LossName = "cross-entropy"
    optimizer: OptimizerName = "adam"
    optimizer_options: dict[str, Any] = {}
    lr: LearningRate = 0.01
    momentum: Momentum = 0.9
    weight_decay: Decay = 0.0
    latent: LatentConfig | None = None
    warmup: Annotated[float, Field(ge=0)] = 0.0
    schedule: ScheduleName = "cosine"
    noise_scale: NoiseScale | None = None
    clip_gradients: Annotated[float, Field(gt=0)] | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    label_smoothing: Share = 0.0
    distillation: DistillationConfig | None = None
    start_from: str | None = None
    freeze: list[str] = []
    augment: Augment = "none"
    auto_augment: Policy | None = None
    auto_augment_options: dict[str, Any] = {}
    cutout: Annotated[int, Field(ge=0)] = 0
    mixup: Annotated[float, Field(gt=0, le=1000)] | None = None
    store_logits: bool = False
    recalibrate: Annotated[int, Field(ge=0)] = 100
    recalibrate_mode: Literal["auto", "samples", "deterministic"] = "auto"
    eval_every: Count = 1
    eval_samples: Annotated[int, Field(ge=0, le=MOST_SAMPLES)] = 10
    eval_samples_every: Count = 5
    save_every: Count = 1
    log: list[Literal["csv", "tensorboard"]] = []
    sync_batch_norm: bool = True
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    compile: bool = False
    cuda_graph: bool = True
    device: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Count = 1
    num_nodes: Count = 1


# These keys may change when a run is continued: they do not change its result.
_PLACEMENT = {
    "data.dir", "data.workers", "save_every", "compile", "cuda_graph", "device", "devices",
    "num_nodes", "store_logits", "log",
}  # fmt: skip


def load_config(path: Path, overrides: Sequence[str] = ()) -> Config:
    """Read a configuration.

    Args:
        path: A YAML file.
        overrides: "key=value", with dots for the keys of a section: "lr=0.001", "model.width=64".
            The value is YAML.

    Raises:
        FileError: The file cannot be read.
        ConfigError: The file is not YAML, lacks data or model, or has an unknown key or an
            invalid value.
    """
    return complete_config(load_values(path, overrides), str(path))


def load_values(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Read the keys and values of a configuration, which are not checked.

    Args:
        path: A YAML file.
        overrides: As for `load_config`.

    Raises:
        FileError: The file cannot be read.
        ConfigError: The file is not YAML.
    """
    content = read_bytes(path, what="the configuration")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        kind = but_it_is(kind_of_path(path))
        raise FileError(f"cannot read the configuration {path}: {error}{kind}") from error
    return load_keys(text, overrides, str(path))


def complete_config(values: Mapping[str, Any], source: str) -> Config:
    """Make a configuration of its keys and values; `source` is its name in errors.

    Raises:
        ConfigError: Data or model is missing, a key is unknown, or a value is invalid.
    """
    config = _config_of(values, source)
    missing = [key for key in ("data", "model") if key not in config.model_fields_set]
    if missing:
        raise ConfigError(
            f"{source}: expected at least data and model, {' and '.join(missing)} missing; "
            "for example data: {name: digits} and model: {name: convnet}"
        )
    return config


def parse_config(text: str, overrides: Sequence[str] = (), *, source: str = "config") -> Config:
    """Parse a configuration from YAML text; `source` is its name in errors.

    Raises:
        ConfigError: As for `load_config`.
    """
    return _config_of(load_keys(text, overrides, source), source)


def _config_of(values: Mapping[str, Any], source: str) -> Config:
    try:
        return Config.model_validate(values)
    except pydantic.ValidationError as error:
        details = error.errors(include_url=False, include_context=True)
        problems = [_explain(detail) for detail in details[:_MOST_PROBLEMS]]
        if len(details) > _MOST_PROBLEMS:
            problems.append(f"and {len(details) - _MOST_PROBLEMS} more")
        raise ConfigError(f"{source}: {'; '.join(problems)}") from error


def dump_config(config: Config) -> str:
    """Write the configuration as YAML, with every key; `parse_config` reads it back."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def differences(old: Config, new: Config) -> list[str]:
    """List the keys that make two configurations different runs, as "lr is 0.01, not 0.02".

    Keys that say only where and how a run computes are not compared, nor is data.preprocessing,
    which only exported files use.
    """
    before, after = (
        flat(config.model_dump(exclude={"data": {"preprocessing"}})) for config in (old, new)
    )
    return [
        f"{key} is {before.get(key)}, not {after.get(key)}"
        for key in dict.fromkeys([*before, *after])
        if key not in _PLACEMENT and before.get(key) != after.get(key)
    ]


_SECTIONS = {
    "DataConfig": "name: digits",
    "ModelConfig": "name: convnet",
    "BinarizeConfig": "estimator: deterministic-st",
    "LatentConfig": "optimizer: sgd, lr: 0.1",
    "DistillationConfig": "teachers: [RUN], temperature: 4",
}
_SECTION_OF_KEY: dict[str, type[_Section | BinarizeConfig]] = {
    "data": DataConfig,
    "binarize": BinarizeConfig,
    "latent": LatentConfig,
    "distillation": DistillationConfig,
}
_MOST_PROBLEMS = 3
_KINDS = {
    "int_": "an integer",
    "float_": "a number",
    "bool_": "true or false",
    "string_": "text",
}


def _explain(detail: Any) -> str:
    *sections, name = [str(part) for part in detail["loc"]]
    key = ".".join([*sections, name])
    if key == "sweep":
        return "the section sweep is for `bnnkit sweep`, which trains with each of its values"
    if detail["type"] == "extra_forbidden":
        section = _SECTION_OF_KEY[sections[-1]] if sections else Config
        return f"unknown key {key}; valid keys: {', '.join(section.model_fields)}"
    return f"{key}: expected {_expected(detail)}, got {brief(detail['input'])}{_hint(detail)}"


def _hint(detail: Any) -> str:
    value = detail["input"]
    has_several = isinstance(value, list) or (isinstance(value, str) and "," in value)
    is_number = detail["type"].startswith(("int_", "float_"))
    return "; `bnnkit sweep` trains with each of several values" * (has_several and is_number)


def _expected(detail: Any) -> str:
    kind = detail["type"]
    if kind == "model_type":
        return f"keys and values, such as {{{_SECTIONS[detail['ctx']['class_name']]}}}"
    for prefix, words in _KINDS.items():
        if kind.startswith(prefix):
            return words
    message: str = detail["msg"].removeprefix("Input should be ").removeprefix("Value error, ")
    return f"a value {message}" if kind.startswith(("greater", "less")) else message
