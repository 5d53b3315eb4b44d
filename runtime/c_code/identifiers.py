"""Names in the exported C."""

import re
from collections.abc import Sequence
from typing import Final, Protocol

from bnnkit.errors import UsageError

_WORDS: Final = (
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while main"
)
KEYWORDS: Final = frozenset(_WORDS.split())


class Named(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """The name."""
        ...


def check_name(name: str, taken: Sequence[str]) -> None:
    """Check the prefix of an exported network.

    Raises:
        UsageError: If it is not a name in C, or a file of the kernels has it.
    """
    is_name = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None
    if not is_name or name in KEYWORDS or name in taken:
        raise UsageError(
            f"expected --name to be a name in C, such as digits, got {name!r}; choose another"
        )


def argument_names(outputs: Sequence[Named], only: str) -> list[str]:
    """Return a name in C for each output: `only` where there is one, else those of the file."""
    if len(outputs) == 1:
        return [only]
    found: list[str] = []
    taken = KEYWORDS | _OURS
    for output in outputs:
        name = re.sub(r"\W", "_", output.name, flags=re.ASCII) or "output"
        name = f"out_{name}" if name[0].isdigit() or name.lower() in taken else name
        while name.lower() in {other.lower() for other in found}:
            name += "_"
        found.append(name)
    return found


_OURS: Final = frozenset(
    {"image", "memory", "samples", "seed", "number", "sample", "workspace", "pass"}
)
