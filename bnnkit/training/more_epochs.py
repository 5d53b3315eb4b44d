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
from bnnkit.training.history import History
from bnnkit.training.run_folder import RunFolder
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


def forget_last_evaluation(config: Config, folder: RunFolder, history: History) -> None:
    """Undo the evaluation of a last epoch that is not the last one any more.

    The last epoch of a run is always evaluated. A run that has more epochs from the start
    evaluates it only if it is a multiple of eval_every or eval_samples_every; then `keep: best`
    and `patience` see it.

    Args:
        config: The configuration, with the new number of epochs.
        folder: The run's folder, still with the configuration of the former number.
        history: The run's records.

    Raises:
        FileError: A file cannot be read or written.
    """
    before = folder.epochs_before()
    if before is None or before >= config.epochs:
        return
    has_scores = before % config.eval_every == 0
    has_ensemble = before % config.eval_samples_every == 0

    def is_dropped(key: str) -> bool:
        if key.startswith("validation_") and key.endswith("_samples"):
            return not has_ensemble
        return not has_scores and key.startswith(("validation_", "flip_rates", "saturated"))

    history.forget(before, is_dropped)
    if not has_scores:
        folder.restore_best()


def _what_depends_on_the_epochs(config: Config, network: nn.Module) -> list[str]:
    reasons = [] if config.schedule == "constant" else ["the learning rates"]
    if any(isinstance(weight.rule, ScheduledRule) for weight, _ in latent_weights(network)):
        reasons.append("the settings of the weight rule")
    return reasons
