"""The results of a sweep: mean and standard deviation over the seeds of each setting.

A setting is a combination of all values but the seed. The best one is chosen on the validation
examples; the test data are reported and choose nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from statistics import fmean, stdev
from typing import Any, Final

from bnnkit.sweeps.run import Run
from bnnkit.training.history import Record

SEED: Final = "seed"
CRITERIA: Final = (
    "validation_accuracy_samples",
    "validation_accuracy",
    "validation_mae_samples",
    "validation_mae",
)
"""The scores that choose the best setting: the first that all finished runs have."""
_PARTS: Final = ("validation_", "test_")
_BEFORE: Final = "_before_recalibration"


@dataclass(frozen=True)
class Spread:
    """The mean and the sample standard deviation of a score.

    The standard deviation is None for one run, and for scores that are infinite or NaN.
    """

    mean: float
    std: float | None


@dataclass(frozen=True, kw_only=True)
class Setting:
    """The runs of a sweep that differ only in their seed.

    Attributes:
        values: The value of each key that the sweep varies, without the seed.
        finished: The number of finished runs; the scores are those of these.
        diverged: The number of runs whose loss became infinite or NaN.
        missing: The number of runs that are not finished.
        scores: Every score of the finished networks, by its name in metrics.jsonl.
    """

    values: Mapping[str, Any]
    finished: int
    diverged: int
    missing: int
    scores: Mapping[str, Spread]


@dataclass(frozen=True, kw_only=True)
class Summary:
    """The results of a sweep.

    Attributes:
        settings: The settings, in the order of the grid.
        criterion: The score that chooses; None if nothing is chosen: there is only one setting,
            there are no validation examples, or runs are missing.
        best: The index of the setting with the best mean of that score, among those of which no
            run diverged and no score is infinite or NaN; None if nothing is chosen.
    """

    settings: tuple[Setting, ...]
    criterion: str | None
    best: int | None


def summarise(runs: Sequence[Run]) -> Summary:
    """Summarise the runs of a sweep."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(repr(_without_seed(run)), []).append(run)
    settings = tuple(_setting(group) for group in groups.values())
    whole = [s for s in settings if not s.diverged]
    criterion = next((c for c in CRITERIA if all(c in s.scores for s in whole)), None)
    is_open = len(settings) > 1 and not any(s.missing for s in settings)
    if criterion is None or not is_open:
        return Summary(settings=settings, criterion=None, best=None)
    able = [s for s in whole if isfinite(s.scores[criterion].mean)]
    if not able:
        return Summary(settings=settings, criterion=None, best=None)
    sign = 1 if "accuracy" in criterion else -1
    best = max(able, key=lambda setting: sign * setting.scores[criterion].mean)
    return Summary(settings=settings, criterion=criterion, best=settings.index(best))


def scores_of(record: Record) -> dict[str, float]:
    """Return the scores of a finished network on the validation and the test data."""
    return {
        key: value
        for key, value in record.items()
        if key.startswith(_PARTS) and not key.endswith(_BEFORE) and type(value) in (int, float)
    }


def _without_seed(run: Run) -> dict[str, Any]:
    return {key: value for key, value in run.variant.values.items() if key != SEED}


def _setting(runs: Sequence[Run]) -> Setting:
    found = [scores_of(run.record) for run in runs if run.status == "finished"]
    common = [key for key in (found[0] if found else {}) if all(key in scores for scores in found)]
    return Setting(
        values=_without_seed(runs[0]),
        finished=len(found),
        diverged=sum(run.status == "diverged" for run in runs),
        missing=sum(run.status == "missing" for run in runs),
        scores={key: _spread([scores[key] for scores in found]) for key in common},
    )


def _spread(values: Sequence[float]) -> Spread:
    has_deviation = len(values) > 1 and all(map(isfinite, values))
    return Spread(fmean(values), stdev(values) if has_deviation else None)
