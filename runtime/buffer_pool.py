"""Things that one caller uses at a time, kept for the next one."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

MOST_BYTES = 128 << 20
"""Of all that is kept, or one thing."""


class Sized(Protocol):
    """Something that takes memory."""

    @property
    def nbytes(self) -> int:
        """How much."""


T = TypeVar("T", bound=Sized)


class BufferPool(Generic[T]):
    """Whatever nobody uses now, by what it is good for; each concurrent caller has its own."""

    def __init__(self) -> None:
        self._pool: list[tuple[Hashable, T]] = []  # the one that was used last at the end
        self._lock = threading.Lock()

    def acquire(self, key: Hashable, make: Callable[[], T]) -> T:
        """One that is idle, or a new one."""
        with self._lock:
            for index in reversed(range(len(self._pool))):
                if self._pool[index][0] == key:
                    return self._pool.pop(index)[1]
        return make()

    def release(self, key: Hashable, thing: T) -> None:
        """Keep it; those that were not used for longest go when there is too much."""
        with self._lock:
            self._pool.append((key, thing))
            size = sum(kept.nbytes for _, kept in self._pool)
            while size > MOST_BYTES and len(self._pool) > 1:
                size -= self._pool.pop(0)[1].nbytes
