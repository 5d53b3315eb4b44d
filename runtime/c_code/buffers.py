"""The workspace of the exported C: values that are not needed at the same time share memory."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import prod

from bnnkit.runtime.memory.values import Value

ALIGNMENT = 16
"""Bytes. Every value starts at a multiple."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One statement of C, and the values that it reads and writes.

    Attributes:
        code: The statement; {name} stands for the address of an operand.
        operands: The value of each name in the code.
        reads: Values that must be kept until the statement.
        writes: Values that it writes.
        replaces: A value that it reads and one that it writes, of the same size, which may lie in
            the same place; None if there are none.
        temporaries: Bytes of the values that only this statement uses, by name.
        is_sampled: Whether it depends on the noise.
    """

    code: str
    operands: Mapping[str, str]
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    replaces: tuple[str, str] | None = None
    temporaries: Mapping[str, int] = field(default_factory=dict)
    is_sampled: bool = False


@dataclass
class _Span:
    """A piece of memory: its values, its size, and the calls between which it is used."""

    names: list[str]
    nbytes: int
    first: int
    last: int
    offset: int = 0


def bytes_of(value: Value) -> int:
    """Return the bytes of a value in the exported C: maps are (H, W, C) without padding.

    Signs take one bit for each channel, rounded up to bytes for each pixel.
    """
    if value.kind == "signs":
        channels, height, width = value.map
        return height * width * -(-channels // 8)
    return prod(value.shape) * (4 if value.kind == "sums" else value.dtype.itemsize)


def place(
    calls: Sequence[Call], sizes: Mapping[str, int], kept: Iterable[str]
) -> tuple[dict[str, int], int]:
    """Place the values of a pass in memory.

    Args:
        calls: The statements, in order.
        sizes: Bytes of each value.
        kept: Values that are read after the last statement.

    Returns:
        The offset of each value and temporary, and the size of the memory.
    """
    spans = _spans(calls, sizes, set(kept))
    placed: list[_Span] = []
    for span in sorted(spans, key=lambda span: -span.nbytes):
        busy = sorted(
            (other.offset, other.offset + other.nbytes)
            for other in placed
            if other.first <= span.last and span.first <= other.last
        )
        for start, end in busy:
            if span.offset + span.nbytes <= start:
                break
            span.offset = max(span.offset, -(-end // ALIGNMENT) * ALIGNMENT)
        placed.append(span)
    offsets = {name: span.offset for span in placed for name in span.names}
    return offsets, max((span.offset + span.nbytes for span in placed), default=0)


def _spans(calls: Sequence[Call], sizes: Mapping[str, int], kept: set[str]) -> list[_Span]:
    last_reads = {name: index for index, call in enumerate(calls) for name in call.reads}
    spans: dict[str, _Span] = {}
    for index, call in enumerate(calls):
        for name, nbytes in call.temporaries.items():
            spans[name] = _Span([name], nbytes, index, index)
        for name in call.writes:
            last = len(calls) if name in kept else last_reads.get(name, index)
            source = _replaced(call, name, spans, index)
            if name in spans:
                spans[name].last = max(spans[name].last, last)
            elif source is not None:
                source.names.append(name)
                source.last = max(source.last, last)
                spans[name] = source
            else:
                spans[name] = _Span([name], sizes[name], index, last)
    return list({id(span): span for span in spans.values()}.values())


def _replaced(call: Call, name: str, spans: Mapping[str, _Span], index: int) -> _Span | None:
    """Return the memory of a value that is read for the last time, if the new one may take it."""
    if call.replaces is None or call.replaces[1] != name:
        return None
    span = spans.get(call.replaces[0])
    return span if span is not None and span.last <= index else None
