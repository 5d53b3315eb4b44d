"""Show the progress of a run: a bar in a terminal, one plain line per epoch elsewhere."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from torch import Tensor
from typing_extensions import Self

from bnnkit.artifact.format.constants import Mode
from bnnkit.errors import printable
from bnnkit.training.history import Record
from bnnkit.training.task import Metric

_UPDATE_S = 0.25


class Progress:
    """A context manager that reports the progress of a run.

    Args:
        console: The console to print to.
        epochs: Number of epochs of the whole run.
        done: Number of epochs done before the run was continued.
        steps: Number of steps in an epoch.
        metric: The number beside the loss.
    """

    def __init__(
        self,
        console: Console,
        *,
        epochs: int,
        done: int,
        steps: int,
        metric: Metric = "accuracy",
    ) -> None:
        self._console, self._metric = console, metric
        self._epochs = epochs
        self._first = done
        self._start = self._updated = time.monotonic()
        self._bar = Bar(
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[numbers]}"),
            TimeRemainingColumn(compact=True),
            console=console,
            disable=not console.is_terminal,
            expand=True,
        )
        self._task = self._bar.add_task(
            "",
            total=epochs * steps,
            completed=done * steps,
            epoch=f"{done}/{epochs}",
            numbers="",
        )
        self._validation = self._ensemble = ""

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def step(self, epoch: int, totals: Tensor) -> None:
        """Report a finished step; `totals` sums `batch_totals` over the epoch so far.

        They are read only a few times a second and only for a terminal, because reading waits for
        the device.
        """
        self._bar.advance(self._task)
        now = time.monotonic()
        if self._console.is_terminal and now - self._updated > _UPDATE_S:
            self._updated = now
            loss, metric, examples = totals.tolist()
            self._show(epoch, loss / examples, metric / examples)

    def epoch_done(self, record: Record) -> None:
        """Report a finished epoch."""
        name, epoch, loss = self._metric, record["epoch"], record["train_loss"]
        metric = record[f"train_{name}"]
        if not self._console.is_terminal:
            # A line shows only this epoch's scores; the bar keeps the last ones.
            self._validation = self._ensemble = ""
        if f"validation_{name}" in record:
            self._validation = f"  validation {self._written(record[f'validation_{name}'])}"
        if f"validation_{name}_samples" in record:
            self._ensemble = f"  samples {self._written(record[f'validation_{name}_samples'])}"
        if self._console.is_terminal:
            self._show(epoch, loss, metric)
            return
        elapsed = time.monotonic() - self._start
        left = elapsed / (epoch - self._first) * (self._epochs - epoch)
        self._console.print(
            f"epoch {epoch}/{self._epochs}  {self._numbers(loss, metric)}  "
            f"{record['seconds']:.1f} s, {_speed(record)}, {_duration(left)} left",
            highlight=False,
            soft_wrap=True,
        )

    def _show(self, epoch: int, loss: float, metric: float) -> None:
        # Without spare spaces a bar of a hundred epochs fits into 80 columns.
        numbers = self._numbers(loss, metric).replace("  ", " ").replace(" %", "%")
        self._bar.update(self._task, epoch=f"{epoch}/{self._epochs}", numbers=numbers)

    def _numbers(self, loss: float, metric: float) -> str:
        trained = f"loss {loss:.3f}  {self._metric} {self._written(metric)}"
        return f"{trained}{self._validation}{self._ensemble}"

    def _written(self, metric: float) -> str:
        return f"{100 * metric:.1f} %" if self._metric == "accuracy" else f"{metric:.4g}"


def print_line(console: Console, text: str) -> None:
    """Print a line, which a terminal shows broken between words; controls are escaped."""
    line = printable(text)
    console.print(line, highlight=False, markup=False, soft_wrap=not console.is_terminal)


def accuracies(record: Record, samples: int, *, part: str = "test", suffix: str = "") -> str:
    """Format the accuracies or errors of a record: "98.74 %, 99.06 % with 10 samples".

    Args:
        record: A record with scores.
        samples: Number of samples in the ensemble; 0 without an ensemble.
        part: Part of the data, "test" or "validation".
        suffix: Suffix of the record's keys.
    """
    deterministic = _metric_in_words(record, part, suffix)
    if not samples:
        return deterministic
    ensemble = _metric_in_words(record, part, f"_samples{suffix}")
    return f"{deterministic}, {ensemble} with {samples} samples"


def _metric_in_words(record: Record, part: str, suffix: str) -> str:
    if f"{part}_accuracy{suffix}" in record:
        return f"{100 * record[f'{part}_accuracy{suffix}']:.2f} %"
    return f"{record[f'{part}_mae{suffix}']:.4g}"


def recalibration_line(record: Record, mode: Mode, samples: int) -> str:
    """Format the validation scores before and after recalibration, as in `accuracies`."""
    signs = "noisy" if mode == "samples" else "deterministic"
    before = accuracies(record, samples, part="validation", suffix="_before_recalibration")
    return (
        f"batch norms recalibrated, with {signs} signs and deterministic weights: "
        f"validation {before} before; {accuracies(record, samples, part='validation')} after"
    )


def _speed(record: Record) -> str:
    text = f"{record['images_per_second']:,} images/s"
    share = record.get("share_of_peak")
    return text if share is None else f"{text} ({100 * share:.0f} % of peak)"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
