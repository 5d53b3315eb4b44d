"""Things that one caller uses at a time, kept for the next one."""

import threading
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")
_MOST_KEYS = 8


class Idle(Generic[T]):
    """Whatever nobody uses now, by what it is good for; each concurrent caller has its own."""

    def __init__(self) -> None:
        self._idle: dict[Hashable, list[T]] = {}
        self._lock = threading.Lock()

    def borrow(self, key: Hashable, make: Callable[[], T]) -> T:
        """One that is idle, or a new one."""
        with self._lock:
            idle = self._idle.get(key)
            if idle:
                return idle.pop()
        return make()

    def give_back(self, key: Hashable, thing: T) -> None:
        """Keep it; the key that has been there longest goes when there are too many."""
        with self._lock:
            if key not in self._idle and len(self._idle) >= _MOST_KEYS:
                self._idle.pop(next(iter(self._idle)))
            self._idle.setdefault(key, []).append(thing)
