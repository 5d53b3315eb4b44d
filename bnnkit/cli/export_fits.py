"""What `bnnkit export` fits to data before it writes: noise scale, batch norms, temperature."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

from bnnkit.cli import options
from bnnkit.cli.calibration_table import print_calibration, print_noise_choice
from bnnkit.cli.console import progress, waiting, write
from bnnkit.data import AnyDataset

if TYPE_CHECKING:
    from bnnkit.deployment.calibrate import Calibration
    from bnnkit.deployment.choose_noise_scale import By, NoiseScaleChoice
    from bnnkit.deployment.export_checkpoint import CheckpointExport

A_LINE_S = 30.0
"""The seconds between two lines of progress that go to a file."""


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """What was fitted, or given.

    Attributes:
        choice: The noise scale that was chosen, with its scores.
        calibration: The change of the batch norms.
        temperature: The T by which the logits are divided.
    """

    choice: "NoiseScaleChoice | None" = None
    calibration: "Calibration | None" = None
    temperature: float | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the entries of the JSON output."""
        found = {
            "noise_choice": None if self.choice is None else asdict(self.choice),
            "calibration": None if self.calibration is None else asdict(self.calibration),
            "temperature": self.temperature,
        }
        return {key: value for key, value in found.items() if value is not None}


def fit(
    export: "CheckpointExport",
    dataset: AnyDataset,
    scales: "tuple[float, ...] | Literal['auto'] | None",
    *,
    by: "By",
    samples: int,
    fits_temperature: bool,
) -> Fitted:
    """Choose the noise scale, calibrate, and fit the temperature of a network, in this order.

    Args:
        export: The export of the network.
        dataset: The data set.
        scales: The noise scales to choose from, or "auto"; None chooses none.
        by: The score that chooses.
        samples: The number of samples of the ensemble that is scored.
        fits_temperature: Whether to fit a temperature.

    Raises:
        UsageError: As for the methods of `CheckpointExport`.
    """
    if fits_temperature:
        export.check_temperature(dataset)
    choice = None if scales is None else _choose(export, dataset, scales, by, samples)
    calibration = _calibrate(export, dataset)
    temperature = None
    if fits_temperature:
        with waiting("fitting the temperature"):
            temperature = export.fit_temperature(dataset)
    return Fitted(choice=choice, calibration=calibration, temperature=temperature)


def print_fitted(fitted: Fitted) -> None:
    """Print what was fitted, as tables."""
    if fitted.choice is not None:
        print_noise_choice(fitted.choice)
    if fitted.calibration is not None:
        print_calibration(fitted.calibration)
    if fitted.temperature is not None:
        write(f"logits divided by the temperature {fitted.temperature:g}")


def _choose(
    export: "CheckpointExport",
    dataset: AnyDataset,
    scales: "tuple[float, ...] | Literal['auto']",
    by: "By",
    samples: int,
) -> "NoiseScaleChoice":
    from bnnkit.deployment.choose_noise_scale import SCALES

    tried = SCALES if scales == options.AUTO else scales
    with progress("choosing the noise scale", len(tried), seconds_a_line=A_LINE_S) as advance:
        return export.choose_noise_scale(dataset, tried, by=by, samples=samples, advance=advance)


def _calibrate(export: "CheckpointExport", dataset: AnyDataset) -> "Calibration":
    from bnnkit.deployment.calibrate import images_to_see

    total = images_to_see(dataset)
    with progress("calibrating", total, seconds_a_line=A_LINE_S) as advance:
        return export.calibrate(dataset, advance=advance)
