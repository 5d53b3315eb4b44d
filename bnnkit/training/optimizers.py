"""The optimizers of a network: one for its latent weights, one for all other parameters."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from bnnkit.data.own_code import is_own
from bnnkit.errors import ConfigError
from bnnkit.nn import latent_parameters
from bnnkit.training.config import Config, LatentConfig
from bnnkit.training.own_optimizer import make_own
from bnnkit.training.schedule import make_schedule, warmup_factor


class Optimizers:
    """All optimizers of a run, stepped together.

    Without a section `latent` in the configuration, one optimizer has all parameters.

    Attributes:
        all: The torch optimizers; a run saves and restores their states.
        parameters: All trained parameters.

    Args:
        network: The network, on its device.
        config: The run's configuration.

    Raises:
        ConfigError: The configuration has a section latent, but the network has no latent weights,
            or only them or none of them are trained; or your own function of an optimizer or a
            schedule does not work, or optimizer_options are given without one.
    """

    def __init__(self, network: nn.Module, config: Config) -> None:
        self._config, self._schedule = config, make_schedule(config.schedule)
        self.parameters = [p for p in network.parameters() if p.requires_grad]
        latent = _trained_latent_weights(network, config) if config.latent else []
        own = {id(parameter) for parameter in latent}
        others = [p for p in self.parameters if id(p) not in own]
        if not others:
            raise ConfigError("latent: freeze leaves only latent weights; leave out latent")
        self.all = [_optimizer(others, config)]
        if config.latent:
            self.all.append(_optimizer(latent, _as_config(config, config.latent)))
        match_gradient_strides(self.parameters)

    def set_learning_rates(self, step: int, steps_per_epoch: int) -> None:
        """Set every learning rate for a step.

        Args:
            step: Number of steps done in the whole run.
            steps_per_epoch: Number of training steps in an epoch.
        """
        config = self._config
        progress = step / (steps_per_epoch * config.epochs)
        factor = self._schedule(progress)
        factor *= warmup_factor(step, config.warmup * steps_per_epoch)
        for optimizer in self.all:
            for group in optimizer.param_groups:
                _set(group, group["peak_lr"] * factor)

    @property
    def are_recordable(self) -> bool:
        """Whether a CUDA graph can replay their steps.

        They then have their learning rates and numbers of steps on the device.
        """
        groups = [group for optimizer in self.all for group in optimizer.param_groups]
        return all(
            isinstance(group["lr"], Tensor) and bool(group.get("capturable") or group.get("fused"))
            for group in groups
        )

    def learning_rates(self) -> list[float]:
        """Return the rate of the real-valued weights, then that of the latent weights if set."""
        return [float(optimizer.param_groups[0]["lr"]) for optimizer in self.all]


def match_gradient_strides(parameters: Iterable[nn.Parameter]) -> None:
    """Give gradients of 1x1 convolutions the strides of their parameter.

    Contiguous and channels-last memory are the same for such a kernel, and PyTorch may hand out
    either one's strides; fused optimizers refuse a gradient whose strides are not the parameter's.
    """
    for parameter in parameters:
        if parameter.dim() == 4 and parameter.shape[2:] == (1, 1):
            with torch.no_grad():
                parameter.set_(_canonical(parameter.detach()))  # type: ignore[call-overload]
            parameter.register_hook(_canonical)  # type: ignore[no-untyped-call]


def _trained_latent_weights(network: nn.Module, config: Config) -> list[nn.Parameter]:
    latent = latent_parameters(network)
    if not latent:
        raise ConfigError(
            f"latent: the model {config.model.name} has no binary weights; leave out latent"
        )
    trained = [parameter for parameter in latent if parameter.requires_grad]
    if not trained:
        raise ConfigError("latent: freeze leaves no latent weights to train; leave out latent")
    return trained


def _canonical(tensor: Tensor) -> Tensor:
    """Return the values with the strides of contiguous memory, also along axes of length 1."""
    return tensor.reshape(tensor.shape[:2]).view(tensor.shape)


def _as_config(config: Config, latent: LatentConfig) -> Config:
    """Return the run's configuration, overridden by the values of the section `latent`."""
    update = latent.model_dump(exclude_none=True)
    if latent.optimizer is not None:
        update.setdefault("optimizer_options", {})
    return config.model_copy(update=update)


def _optimizer(parameters: Sequence[nn.Parameter], config: Config) -> torch.optim.Optimizer:
    """Make an optimizer; biases and batch norms, which have one axis, do not decay."""
    groups: list[dict[str, Any]] = [
        {
            "params": [p for p in parameters if p.dim() > 1],
            "weight_decay": config.weight_decay,
        },
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if is_own(config.optimizer):
        return make_own(
            config.optimizer,
            groups,
            options=config.optimizer_options,
            lr=config.lr,
            momentum=config.momentum,
        )
    if config.optimizer_options:
        raise ConfigError(
            "optimizer_options are arguments of an optimizer of your own, as module:function, got "
            f"optimizer {config.optimizer}; leave them out"
        )
    groups = [group | {"peak_lr": config.lr} for group in groups]
    return _make(groups, config, parameters[0].device)


def _make(
    groups: list[dict[str, Any]], config: Config, device: torch.device
) -> torch.optim.Optimizer:
    on_gpu = device.type == "cuda"
    # On a GPU the learning rate is a tensor there: a replayed step reads the current value.
    lr: Any = torch.tensor(config.lr, device=device) if on_gpu else config.lr
    if config.optimizer == "sgd":
        return torch.optim.SGD(
            groups, lr=lr, momentum=config.momentum, nesterov=config.momentum > 0, fused=on_gpu
        )
    kind = torch.optim.AdamW if config.optimizer == "adamw" else torch.optim.Adam
    return kind(groups, lr=lr, fused=on_gpu, capturable=on_gpu)


def _set(group: dict[str, Any], lr: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr
