"""A verification as a table and a verdict."""

from collections.abc import Iterator

from bnnkit.artifact.format.sample import Sample
from bnnkit.cli.console import print_table, write
from bnnkit.verification.comparison import Comparison
from bnnkit.verification.verify import Verification

WHY_COUNTS_DIFFER = (
    "tensors of signs: torch has the outputs of the network's Sign modules, onnxruntime all in the"
    " file, bnnkit those that are written to memory (not those inside a fused step)"
)


def print_verification(verification: Verification, inputs: str, *, noun: str = "image") -> None:
    """Print a row for each engine, engines that were left out, and the first differences.

    Args:
        verification: What was found.
        inputs: Where the inputs are from.
        noun: What one of them is, "image" or "example".
    """
    print_table(
        f"compared with the reference on {verification.n_images:,} {noun}s, {inputs}"
        f"{_passes(verification)}",
        ("engine", "tensors of signs", "signs", "different", "other class", "outputs within", ""),
        [_row(comparison) for comparison in verification.comparisons],
        left=("engine", ""),
    )
    if len({comparison.n_tensors for comparison in verification.comparisons}) > 1:
        write(WHY_COUNTS_DIFFER)
    if (source := verification.calibration) is not None:
        write(f"torch: batch norms {source}")
    for name, reason in verification.left_out.items():
        write(f"left out: {name}: {reason}")
    for comparison in verification.comparisons:
        for line in _lines(comparison, noun):
            write(line)
    for names, engines in _not_in_memory(verification).items():
        write(f"not in memory of {engines}, and not compared there: {', '.join(names)}")
    write("equal" if verification.is_equal else "NOT equal")


def _passes(verification: Verification) -> str:
    """Describe the samples that were compared beside the deterministic pass."""
    samples = verification.samples
    if not samples:
        return ""
    seeds = len({sample.seed for sample in samples})
    return f"; the deterministic pass and {len(samples)} samples, of {seeds} seeds"


def _row(comparison: Comparison) -> tuple[str, ...]:
    return (
        comparison.engine,
        str(comparison.n_tensors),
        f"{comparison.n_bits:,}",
        f"{sum(difference.n_bits for difference in comparison.differences):,}",
        f"{comparison.n_classes_differ:,}",
        f"{comparison.output_difference:.1e}",
        _verdict(comparison),
    )


def _verdict(comparison: Comparison) -> str:
    if not comparison.is_equal:
        return "NOT equal"
    return "equal" if comparison.n_tensors else "outputs equal"


def _lines(comparison: Comparison, noun: str) -> Iterator[str]:
    """Yield lines on differences, missing signs and excused inputs of an engine."""
    if comparison.differences:
        first = comparison.differences[0]
        yield (
            f"{comparison.engine}: the first tensor that differs is {first.name},"
            f" {first.n_bits:,} signs in {first.n_images:,} {noun}s; first in {noun} {first.image}"
            f"{_pass(first.sample)}, at {first.index}, where the reference has {first.expected:+d}"
        )
    if comparison.uncovered:
        yield f"{comparison.engine}: lacks the signs {', '.join(comparison.uncovered)}"
    if comparison.missing:
        yield f"{comparison.engine}: the model lacks the signs {', '.join(comparison.missing)}"
    if comparison.excused_images:
        yield (
            f"{comparison.engine}: not counted above: in {comparison.excused_images:,} {noun}s a"
            f" real number near zero (within {comparison.largest_margin:.1e} of the root mean"
            f" square) is rounded to the other side; {comparison.excused_bits:,} signs differ"
        )


def _pass(sample: Sample | None) -> str:
    return "" if sample is None else f", sample {sample.index} of seed {sample.seed}"


def _not_in_memory(verification: Verification) -> dict[tuple[str, ...], str]:
    """Return the signs that engines never hold in memory, with the names of these engines."""
    engines: dict[tuple[str, ...], str] = {}
    for comparison in verification.comparisons:
        names = comparison.not_in_memory
        if names:
            known = engines.get(names)
            engines[names] = f"{known}; {comparison.engine}" if known else comparison.engine
    return engines
