"""A pool of threads for the parts of a step.

The kernels release the interpreter's lock and write disjoint outputs, so ordinary threads do.
Numba's own layers are not used: one aborts under concurrent callers, the other dies after a fork.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import pairwise

Part = Callable[[], object]


def run_parts(parts: Sequence[Part]) -> None:
    """Run the parts at the same time, one of them on the calling thread; raise what any raises."""
    if len(parts) > 1:
        pool = _pool(os.getpid(), len(parts) - 1)
        others = [pool.submit(part) for part in parts[1:]]
        parts[0]()
        for other in others:
            other.result()
    elif parts:
        parts[0]()


@lru_cache(maxsize=16)
def _pool(process: int, threads: int) -> ThreadPoolExecutor:
    """A pool for each process, because threads do not survive a fork, and for each width."""
    return ThreadPoolExecutor(threads, thread_name_prefix="bnnkit")


def split(count: int, parts: int) -> list[tuple[int, int]]:
    """Cut range(count) into at most `parts` contiguous ranges of nearly equal length."""
    parts = max(1, min(parts, count))
    edges = [count * part // parts for part in range(parts + 1)]
    return list(pairwise(edges))
