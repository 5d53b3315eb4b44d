"""Random networks through the runtime against the reference, for as long as is asked.

python tests/fuzz.py SECONDS [SEED]

NUMBA_CPU_NAME and NUMBA_CPU_FEATURES choose the kernels. Each seed gives a network without noise
and one with. Prints how many were equal, or the seed of the first that was not, and exits with 1.
"""

import sys
import time

import numpy as np
from artifacts import Array, ArtifactBuilder
from onnx import TensorProto

from bnnkit.artifact.artifact import Artifact
from bnnkit.artifact.format.sample import Sample
from bnnkit.artifact.reference import Reference
from bnnkit.runtime import Model
from bnnkit.runtime.kernels.cpu import binary_form, has_512_bits


def random_network(seed: int) -> tuple[Artifact, Array]:
    """Binary convolutions of every form, pooling, a skip connection at times, and dense layers."""
    a = ArtifactBuilder(seed)
    rng = a.rng
    channels, height, width = (int(rng.integers(1, n)) for n in (150, 11, 11))
    shape = (channels, height, width)
    outputs = []
    signs = a.sign(a.add("Sqrt", "x") if rng.random() < 0.2 else "x")  # with NaN
    for _ in range(rng.integers(1, 5)):
        kernel = int(rng.integers(1, min(height, width, 4) + 1))
        groups = int(rng.choice([g for g in (1, 1, 1, 2, 3) if channels % g == 0]))
        more = int(rng.integers(1, 50)) * groups
        padded = signs
        top, left, bottom, right = (int(n) for n in rng.integers(0, 3, 4))
        if rng.random() < 0.5:
            padded = a.pad_with_ones(signs, top, left, bottom, right)
            height, width = height + top + bottom, width + left + right
        pads = tuple(int(n) for n in rng.integers(0, 2, 4)) if rng.random() < 0.5 else (0, 0, 0, 0)
        stride = int(rng.integers(1, 3))
        thresholds = bool(rng.random() < 0.7)
        out = a.binary_conv2d(
            padded,
            channels,
            more,
            kernel,
            stride=stride,
            pads=pads,
            groups=groups,
            thresholds=thresholds,
        )
        height = (height + pads[0] + pads[2] - kernel) // stride + 1
        width = (width + pads[1] + pads[3] - kernel) // stride + 1
        channels = more
        if not thresholds:
            real = a.add("Cast", out, to=TensorProto.FLOAT)
            scale = a.constant(rng.standard_normal((channels, 1, 1)).astype(np.float32))
            shift = a.constant(rng.standard_normal((channels, 1, 1)).astype(np.float32))
            real = a.add("Add", a.add("Mul", real, scale), shift)
            if rng.random() < 0.2:
                real = a.add("Relu", a.add("Sqrt", real))
            if rng.random() < 0.5:
                real = a.add("Add", real, a.to_real(a.sign(real)))
            out = a.sign(real)
        signs = out
        if min(height, width) >= 2 and rng.random() < 0.5:
            signs = a.add("MaxPool", signs, kernel_shape=[2, 2], strides=[2, 2])
            height, width = height // 2, width // 2
        if rng.random() < 0.3:
            outputs.append(signs)
    features = channels * height * width
    dense = a.binary_linear(a.add("Flatten", signs), features, 35)
    outputs += [dense, a.threshold(dense, rng.integers(-9, 10, 35).clip(-features, features + 1))]
    batch = int(rng.integers(1, 6))
    x = rng.standard_normal((batch, *shape)).astype(np.float32)
    return a.artifact(shape, *outputs), x


def random_noisy_network(seed: int) -> tuple[Artifact, Array]:
    """Noisy signs of sums, of their maxima, and of real numbers, in maps and vectors."""
    a = ArtifactBuilder(seed)
    rng = a.rng
    channels, height, width = (int(rng.integers(1, n)) for n in (150, 11, 11))
    shape = (channels, height, width)
    outputs = []
    signs = a.stochastic_sign("x", channels=channels) if rng.random() < 0.5 else a.sign("x")
    for _ in range(rng.integers(1, 4)):
        kernel = int(rng.integers(1, min(height, width, 4) + 1))
        groups = int(rng.choice([g for g in (1, 1, 1, 2, 3) if channels % g == 0]))
        more = int(rng.integers(1, 90)) * groups
        pads = tuple(int(n) for n in rng.integers(0, 2, 4)) if rng.random() < 0.5 else (0, 0, 0, 0)
        stride = int(rng.integers(1, 3))
        sums = a.binary_conv2d(
            signs,
            channels,
            more,
            kernel,
            stride=stride,
            pads=pads,
            groups=groups,
            thresholds=False,
        )
        height = (height + pads[0] + pads[2] - kernel) // stride + 1
        width = (width + pads[1] + pads[3] - kernel) // stride + 1
        largest = channels // groups * kernel**2
        spread = largest**0.5
        channels = more
        kind = rng.choice(["sum", "maximum", "real", "plain"])
        noise = str(rng.choice(["logistic", "uniform"]))
        if kind == "real":
            real = a.add("Cast", sums, to=TensorProto.FLOAT)
            scale = a.constant((rng.standard_normal((channels, 1, 1)) / spread).astype(np.float32))
            real = a.add("Mul", real, scale)
            if rng.random() < 0.2:
                real = a.add("Sqrt", real)
            signs = a.stochastic_sign(real, channels=channels, noise=noise)
        elif kind == "plain":
            limits = rng.integers(-9, 10, (channels, 1, 1)).clip(-largest, largest + 1)
            signs = a.threshold(sums, limits)
        else:
            pool = int(rng.integers(1, 4)) if kind == "maximum" else 0
            if pool > min(height, width):
                pool = 0
            sides = bool(rng.random() < 0.5)
            signs = a.noisy_sum(sums, channels, spread, pool=pool, sides=sides, noise=noise)
            if pool:
                height, width = (height - pool) // 2 + 1, (width - pool) // 2 + 1
        outputs.append(signs)
    features = channels * height * width
    dense = a.binary_linear(a.add("Flatten", signs), features, 35)
    outputs += [dense, a.noisy_sum(dense, 35, features**0.5, maps=False)]
    batch = int(rng.integers(1, 6))
    x = rng.standard_normal((batch, *shape)).astype(np.float32)
    return a.artifact(shape, *outputs), x


def is_equal(seed: int) -> bool:
    """Whether the runtime gives the reference's outputs, on one thread and on two."""
    model, x = random_network(seed)
    return _equals_reference(model, x, None)


def is_sampled_equal(seed: int) -> bool:
    """Whether that holds for a stochastic network, without noise and in random samples."""
    model, x = random_noisy_network(seed)
    rng = np.random.default_rng(seed)
    samples = [
        Sample(
            seed=int(rng.integers(2**63)),
            index=int(rng.integers(2**32)),
            image_offset=int(rng.integers(2**32 - len(x))),
            antithetic=bool(rng.random() < 0.5),
        )
        for _ in range(3)
    ]
    return all(_equals_reference(model, x, sample) for sample in (None, *samples))


def _equals_reference(model: Artifact, x: Array, sample: Sample | None) -> bool:
    with np.errstate(invalid="ignore"):  # of roots of negative numbers
        want = Reference(model).run(x, sample)
    runtime = Model(model)
    for threads in (1, 2):
        if sample is None:
            got = runtime.run(x, threads=threads)
        else:
            got = runtime.run_sample(x, sample, threads=threads)
        got = got if isinstance(got, tuple) else (got,)
        if any(not np.array_equal(g, w) for g, w in zip(got, want, strict=True)):
            return False
    return True


def main() -> int:
    seconds = float(sys.argv[1])
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns() % 10**9
    first, end = seed, time.monotonic() + seconds
    while time.monotonic() < end:
        if not (is_equal(seed) and is_sampled_equal(seed)):
            print(f"the network of seed {seed} differs: python tests/fuzz.py 0.1 {seed}")
            return 1
        seed += 1
    bits = 512 if has_512_bits() else 256
    print(
        f"{seed - first} pairs of random networks equal, seeds from {first}: {binary_form()},"
        f" {bits} bits"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
