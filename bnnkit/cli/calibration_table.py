"""The changes made by a calibration as tables."""

from typing import TYPE_CHECKING

from bnnkit.cli.console import print_table, write
from bnnkit.deployment.samples import SAMPLES

if TYPE_CHECKING:
    from bnnkit.deployment.calibrate import Accuracy, Calibration
    from bnnkit.deployment.choose_noise_scale import NoiseScaleChoice


def print_calibration(calibration: "Calibration") -> None:
    """Print the change of each batch norm, and the accuracy or error before and after."""
    print_table(
        f"batch norms, calibrated on {calibration.images:,} images of {calibration.data}",
        ("batch norm", "shift of the means (standard deviations)", "variance, new / old"),
        [
            (norm.name, f"{norm.mean_shift:.3f}", f"{norm.variance_ratio:.3f}")
            for norm in calibration.norms
        ],
        left=("batch norm",),
    )
    is_accuracy = calibration.metric == "accuracy"
    name, form = ("accuracy", ".2%") if is_accuracy else ("mean absolute error", ".4g")
    write(
        f"{name} on {calibration.test_images:,} test images: {_words(calibration.before, form)};"
        f" calibrated: {_words(calibration.after, form)}"
    )


def print_noise_choice(choice: "NoiseScaleChoice") -> None:
    """Print the scores of each noise scale that was tried, and which one was chosen."""
    print_table(
        f"noise scales, {choice.samples} samples on {choice.images:,} held-out images of "
        f"{choice.data}",
        ("scale", "accuracy", "nll", f"by {choice.by}"),
        [
            (f"{scale:g}", f"{accuracy:.2%}", f"{nll:.4f}", "chosen" * (scale == choice.scale))
            for scale, accuracy, nll in zip(
                choice.scales, choice.accuracy, choice.nll, strict=True
            )
        ],
    )


def _words(accuracy: "Accuracy", form: str) -> str:
    text = f"deterministic {accuracy.deterministic:{form}}"
    return (
        text
        if accuracy.samples is None
        else f"{text}, {SAMPLES} samples {accuracy.samples:{form}}"
    )
