"""A pool of idle objects with buffers, each of which is used by one caller at a time."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar

from bnnkit.runtime.memory.fork import renewed_after_fork

MAX_BYTES = 128 << 20
"""Limit on the size of a pool; the object released last is kept even if it is larger."""


class Sized(Protocol):
    """An object that owns buffers."""

    @property
    def nbytes(self) -> int:
        """Size of its buffers."""


T = TypeVar("T", bound=Sized)


class BufferPool(Generic[T]):
    """Idle objects by key. Thread-safe; concurrent callers get different objects."""

    def __init__(self) -> None:
        self._pool: list[tuple[Hashable, T]] = []  # most recently used last
        self.renew_after_fork()
        renewed_after_fork(self)

    def renew_after_fork(self) -> None:
        """Renew the lock (fork.py). The objects that other threads had taken are lost."""
        self._lock = threading.Lock()

    def acquire(self, key: Hashable, make: Callable[[], T]) -> T:
        """Take an idle object with this key out of the pool, or make one."""
        with self._lock:
            for index in reversed(range(len(self._pool))):
                if self._pool[index][0] == key:
                    return self._pool.pop(index)[1]
        return make()

    def release(self, key: Hashable, item: T) -> None:
        """Put an object back, evicting the least recently used ones beyond MAX_BYTES."""
        with self._lock:
            self._pool.append((key, item))
            size = sum(kept.nbytes for _, kept in self._pool)
            while size > MAX_BYTES and len(self._pool) > 1:
                size -= self._pool.pop(0)[1].nbytes
