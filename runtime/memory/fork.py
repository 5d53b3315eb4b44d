"""Locks in a forked child: a thread of the parent may have held them, and is gone in the child."""

import os
from typing import Protocol
from weakref import WeakSet


class Forked(Protocol):
    """An object with locks or threads."""

    def renew_after_fork(self) -> None:
        """Replace the locks; called in the child, which has one thread."""


_owners: WeakSet[Forked] = WeakSet()


def renewed_after_fork(owner: Forked) -> None:
    """Have the locks of an object replaced in every forked child."""
    _owners.add(owner)


def _renew() -> None:
    for owner in list(_owners):
        owner.renew_after_fork()


os.register_at_fork(after_in_child=_renew)
