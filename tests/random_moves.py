"""Random inputs and attributes of operators that move elements."""

import numpy as np
from random_arrays import BATCH, Drawn, Rng, flag, ints, reals, shape_of


def sliced(rng: Rng) -> Drawn:
    shape = shape_of(rng, 1, 4)
    axes = rng.permutation(np.arange(1, len(shape)))[: int(rng.integers(1, len(shape)))]
    starts, ends = rng.integers(-12, 13, (2, len(axes)))
    steps = rng.choice([-2, -1, 1, 1, 2, 3], len(axes))
    return [reals(rng, *shape), starts, ends, axes.astype(np.int64), steps.astype(np.int64)], {}


def padded(rng: Rng) -> Drawn:
    shape = [BATCH, *(int(n) for n in rng.integers(3, 7, rng.integers(1, 4)))]
    mode = str(rng.choice(["constant", "reflect", "edge", "wrap"]))
    pads = rng.integers(-1 if mode == "constant" else 0, 3, 2 * len(shape))
    pads[[0, len(shape)]] = 0
    value = [np.float32(rng.standard_normal())] if mode == "constant" and flag(rng) else []
    return [reals(rng, *shape), pads, *map(np.asarray, value)], {"mode": mode}


def joined(rng: Rng) -> Drawn:
    shape = shape_of(rng, 2, 4)
    axis = int(rng.integers(1, len(shape)))
    x = reals(rng, *shape)
    return [x, x], {"axis": axis - len(shape) * flag(rng)}  # the second input is x too


def parts(rng: Rng) -> Drawn:
    shape = shape_of(rng, 1, 4)
    axis = int(rng.integers(1, len(shape)))
    most = shape[axis]
    count = int(rng.integers(1, most + 1))
    if flag(rng):
        cuts = np.sort(rng.permutation(np.arange(1, most))[: count - 1])
        lengths = np.diff([0, *cuts, most]).astype(np.int64)
        return [reals(rng, *shape), lengths], {"axis": axis, "outputs": len(lengths)}
    longest = -(-most // count)
    count = -(-most // longest)
    return [reals(rng, *shape)], {"axis": axis, "num_outputs": count, "outputs": count}


def turned(rng: Rng) -> Drawn:
    shape = shape_of(rng, 1, 5)
    others = [int(n) + 1 for n in rng.permutation(len(shape) - 1)]
    return [reals(rng, *shape)], {"perm": [0, *others]}


def reshaped(rng: Rng) -> Drawn:
    shape = shape_of(rng, 1, 4)
    forms = [[0, -1], [-1, int(np.prod(shape[1:]))], [0, *reversed(shape[1:])], [0, -1, shape[-1]]]
    return [reals(rng, *shape), np.array(forms[int(rng.integers(4))])], {}


def flattened(rng: Rng) -> Drawn:
    shape = shape_of(rng, 1, 4)
    return [reals(rng, *shape)], {"axis": int(rng.choice([1, 1 - len(shape)]))}


def squeezed(rng: Rng) -> Drawn:
    shape = shape_of(rng, 1, 4)
    axis = int(rng.integers(1, len(shape)))
    shape[axis] = 1
    return [reals(rng, *shape), np.array([axis - len(shape) * flag(rng)])], {}


def unsqueezed(rng: Rng) -> Drawn:
    shape = shape_of(rng, 1, 3)
    axes = rng.choice(np.arange(1, len(shape) + 2), int(rng.integers(1, 3)), replace=False)
    return [reals(rng, *shape), axes.astype(np.int64)], {}


def gathered(rng: Rng) -> Drawn:
    shape = shape_of(rng, 1, 4)
    axis = int(rng.integers(1, len(shape)))
    places = rng.integers(-shape[axis], shape[axis], ints(rng, 1, 4, int(rng.integers(0, 3))))
    return [reals(rng, *shape), np.asarray(places, np.int64)], {"axis": axis}


def tiled(rng: Rng) -> Drawn:
    shape = shape_of(rng, 1, 4)
    return [reals(rng, *shape), np.array([1, *ints(rng, 1, 4, len(shape) - 1)])], {}


def expanded(rng: Rng) -> Drawn:
    shape = shape_of(rng, 1, 4)
    wide = [n if n > 1 else int(rng.integers(1, 5)) for n in shape[1:]]
    return [reals(rng, *shape), np.array([1, *wide])], {}


def blocks(rng: Rng) -> Drawn:
    block = int(rng.integers(1, 4))
    shape = [BATCH, int(rng.integers(1, 4)) * block**2, *ints(rng, 1, 5, 2)]
    return [reals(rng, *shape)], {"blocksize": block, "mode": str(rng.choice(["DCR", "CRD"]))}


def unblocked(rng: Rng) -> Drawn:
    block = int(rng.integers(1, 4))
    sizes = [n * block for n in ints(rng, 1, 4, 2)]
    return [reals(rng, BATCH, int(rng.integers(1, 4)), *sizes)], {"blocksize": block}
