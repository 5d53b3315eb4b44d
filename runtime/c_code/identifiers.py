"""Names in the exported C."""

import re
from collections.abc import Sequence
from typing import Final, Protocol

from bnnkit.errors import UsageError


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEYWORDS: Final = _words(
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch typedef "
    "union unsigned void volatile while main"
)
_CPLUSPLUS: Final = _words(
    "alignas alignof and asm bool catch char16_t char32_t class compl concept const_cast constexpr"
    " decltype delete dynamic_cast explicit export false friend mutable namespace new noexcept not"
    " nullptr operator or private protected public reinterpret_cast requires static_assert"
    " static_cast template this thread_local throw true try typeid typename using virtual wchar_t"
    " xor"
)
_HEADERS: Final = _words(
    "assert complex ctype errno fenv inttypes iso646 limits locale math setjmp signal stdarg"
    " stdbool stddef stdint stdio stdlib string tgmath time wchar wctype arm_neon emmintrin"
    " immintrin"
)
"""Headers that NAME.h would hide from the compiler."""
_TARGETS: Final = _words(
    "all all_build clean depend edit_cache help install package package_source preinstall"
    " rebuild_cache run_tests test zero_check"
)
"""Names that CMake keeps for itself."""
_DEVICES: Final = _words("aux con nul prn") | {
    f"{kind}{n}" for kind in ("com", "lpt") for n in range(10)
}
"""Names that files cannot have on Windows."""


class Named(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """The name."""
        ...


def check_name(name: str, taken: Sequence[str]) -> None:
    """Check the prefix of an exported network.

    Raises:
        UsageError: If it is not a name in C, or a header of C or of the kernels, a target of CMake
            or a device of Windows has it.
    """
    is_name = re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) is not None
    if not is_name or name in KEYWORDS:
        raise UsageError(
            f"expected --name to be a name in C, such as digits, got {name!r}; choose another"
        )
    # Some file systems do not tell capital letters apart.
    if name.lower() in {*taken, *_HEADERS, *_TARGETS, *_DEVICES}:
        raise UsageError(
            f"expected --name to be a name that no header of C, file of the kernels, target of"
            f" CMake or device of Windows has, got {name!r}; choose another"
        )


def argument_names(outputs: Sequence[Named], only: str) -> list[str]:
    """Return a name in C for each output: `only` where there is one, else those of the file."""
    if len(outputs) == 1:
        return [only]
    found: list[str] = []
    for output in outputs:
        name = re.sub(r"\W", "_", output.name, flags=re.ASCII) or "output"
        name = f"out_{name}" if name[0].isdigit() or _is_taken(name.lower()) else name
        while name.lower() in {other.lower() for other in found}:
            name += "_"
        found.append(name)
    return found


_OURS: Final = _words(
    "at image infinity input inputs memcpy memory memmove memset nan null number pass sample"
    " samples seed workspace"
)
"""Names that the exported functions use, or that sizes have in the header."""


def _is_taken(name: str) -> bool:
    """Whether a name in small letters means something else in C, C++ or the exported functions."""
    is_ours = name in _OURS or re.match(r"(bnn|sampled|shared)_|u?int\d+_t$", name) is not None
    return is_ours or name in KEYWORDS or name in _CPLUSPLUS
