"""CPU times of interleaved measurements, which other work on the machine lengthens little."""

import numpy as np

from bnnkit.bench.benchmark import Measurement, ratio


def latency(measured: Measurement) -> dict[str, float]:
    """Return the CPU time of a run, and its median wall time, in microseconds."""
    low, median, high = np.percentile(measured.cpu_us, (10, 50, 90)).round(1).tolist()
    return {
        "cpu": median,
        "cpu_p10": low,
        "cpu_p90": high,
        "wall": round(measured.median_us, 1),
        "rounds": len(measured.cpu_us),
    }


def float32_over(float32: Measurement, other: Measurement) -> dict[str, float]:
    """Return the ratios of the CPU times in the same rounds, and of the wall times."""
    ratios = np.percentile(float32.cpu_us / other.cpu_us, (10, 50, 90)).round(2).tolist()
    wall = round(ratio(float32, other).median, 2)
    return {"cpu": ratios[1], "cpu_p10": ratios[0], "cpu_p90": ratios[2], "wall": wall}
