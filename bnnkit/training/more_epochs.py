"""What it means to give a run more epochs.

The run goes on from its saved state, and every step that is left takes the learning rate, and the
progress of scheduled weight rules, of a run that had the new number of epochs from the start. If
neither depends on the number of epochs (schedule: constant, and no scheduled rule), the result is
that of such a run, bit for bit on a CPU. Otherwise it differs, because the steps before had the
rates of a shorter run: with cosine and linear, the rate has fallen to 0 and rises again.
"""

from torch import nn

from bnnkit.nn.latent_weights import latent_weights
from bnnkit.nn.weight_rules import ScheduledRule
from bnnkit.training.config import Config
from bnnkit.training.schedule import make_schedule


def more_epochs_line(config: Config, network: nn.Module, *, before: int, done: int) -> str:
    """Say how the run goes on, and whether the result is that of a run of as many epochs.

    Args:
        config: The configuration, with the new number of epochs.
        network: The network.
        before: The former number of epochs.
        done: The number of epochs done.
    """
    start = f"{before} epochs become {config.epochs}"
    reasons = _what_depends_on_the_epochs(config, network)
    if not reasons:
        return f"{start}; the result is that of a run of {config.epochs} epochs"
    factor = make_schedule(config.schedule)(done / config.epochs)
    rate = "" if config.schedule == "constant" else f" (now {factor:.3g} of the peak rate)"
    run = f"a {config.epochs}-epoch run"
    return (
        f"{start}; from here on, {' and '.join(reasons)} are those of {run}{rate}. "
        f"Epochs 1 to {done} had others, so the result is not that of {run}"
    )


def _what_depends_on_the_epochs(config: Config, network: nn.Module) -> list[str]:
    reasons = [] if config.schedule == "constant" else ["the learning rates"]
    if any(isinstance(weight.rule, ScheduledRule) for weight, _ in latent_weights(network)):
        reasons.append("the settings of the weight rule")
    return reasons
