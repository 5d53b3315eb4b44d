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


class Idle(Generic[T]):
    """Whatever nobody uses now, by what it is good for; each concurrent caller has its own."""

    def __init__(self) -> None:
        self._idle: list[tuple[Hashable, T]] = []  # the one that was used last at the end
        self._lock = threading.Lock()

    def borrow(self, key: Hashable, make: Callable[[], T]) -> T:
        """One that is idle, or a new one."""
        with self._lock:
            for index in reversed(range(len(self._idle))):
                if self._idle[index][0] == key:
                    return self._idle.pop(index)[1]
        return make()

    def give_back(self, key: Hashable, thing: T) -> None:
        """Keep it; those that were not used for longest go when there is too much."""
        with self._lock:
            self._idle.append((key, thing))
            size = sum(kept.nbytes for _, kept in self._idle)
            while size > MOST_BYTES and len(self._idle) > 1:
                size -= self._idle.pop(0)[1].nbytes
