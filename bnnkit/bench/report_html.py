"""A benchmark as one HTML page: no scripts, no network, readable on a phone and in print.

Bars show medians. Dots show the rounds in the order in which they ran, so that a clock that falls
with the temperature is seen.
"""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from typing import Final

from bnnkit.bench.comparison import (
    Comparison,
    Content,
    board_text,
    machine_facts,
    setting_of,
)

_STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2430; --soft: #5b6675; --paper: #ffffff;
  --line: #d9dee5; --bar: #2f6fb7; --other: #9aa7b6; --warn: #8a4b00; --warn-paper: #fff4e0; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf1; --soft: #a3aebb; --paper: #14181e;
  --line: #333c47; --bar: #6aa5e8; --other: #6c7886; --warn: #ffc46b; --warn-paper: #33270f; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: .2rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
p.board { color: var(--soft); margin-top: 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right; }
th:first-child, td:first-child, .text { text-align: left; }
.warn { background: var(--warn-paper); color: var(--warn); padding: .5rem .8rem;
  border-left: 4px solid var(--warn); margin: .5rem 0; }
svg { width: 100%; height: auto; } svg text { fill: var(--ink); font-size: 13px; }
.bar { fill: var(--other); } .first { fill: var(--bar); }
.dot { fill: var(--other); } .dot.first { fill: var(--bar); } .axis { stroke: var(--line); }
"""
_WIDTH, _LABELS, _VALUES, _ROW = 900, 330, 110, 26
"""Sizes of the plots in the units of their view box: whole, names, numbers, a row."""
_ROUNDS_HEIGHT: Final = 120


def html_page(content: Content) -> str:
    """Return a page that shows one benchmark.

    Args:
        content: An object of `to_json`.
    """
    context = content["context"]
    medians, rounds = dict(_aggregates(content, "median")), dict(_rounds(content))
    parts = [
        f"<h1>Latency of {escape(str(context.get('model', 'a model')))}</h1>",
        f'<p class="board">{escape(board_text(context))}</p>',
        *_warnings(context.get("warnings", [])),
        "<h2>Median latency of a run</h2>",
        _bars([(name, us) for name, us in medians.items()]),
        _table(
            ("engine", "median µs", "p90", "p99", "min", "rounds differ by"),
            _rows(content, medians),
        ),
        "<h2>Rounds in the order in which they ran</h2>",
        "<p>Each dot is the median of a round. The line is the median of the engine, the upper"
        " edge of its row 30 % more; dots beyond an edge lie on it.</p>",
        _dots(rounds, medians),
    ]
    if content.get("ratios"):
        parts += ["<h2>Compared with the first engine</h2>", _ratios(content["ratios"])]
    if content.get("profile"):
        parts += ["<h2>Layers in bnnkit's runtime</h2>", _profile(content["profile"])]
    parts += ["<h2>Machine</h2>", _machine(content)]
    return _document(f"Latency of {context.get('model', 'a model')}", parts)


def html_comparison(comparison: Comparison, names: Sequence[str]) -> str:
    """Return a page that shows two benchmarks side by side.

    Args:
        comparison: The benchmarks.
        names: The names of their files.
    """
    rows = [
        (
            pair.name,
            f"{pair.first_us:,.1f}",
            f"{pair.second_us:,.1f}",
            f"{pair.speed_up:.2f}",
            f"{pair.spread:.0%}",
        )
        for pair in comparison.pairs
    ]
    bars = [
        (f"{pair.name}: {name}", us)
        for pair in comparison.pairs
        for name, us in zip(names, (pair.first_us, pair.second_us), strict=True)
    ]
    parts = [
        f"<h1>{escape(names[0])} and {escape(names[1])}</h1>",
        *(
            line
            for name, found in zip(names, comparison.warnings, strict=True)
            for line in _warnings([f"{name}: {warning}" for warning in found])
        ),
        "<h2>Median latency of a run</h2>",
        _bars(bars, colours=2),
        _table(("setting", f"{names[0]}, µs", f"{names[1]}, µs", "speed-up", "spread"), rows),
        "<h2>Machines</h2>",
        _table(("", *names), [(key, *pair) for key, pair in comparison.facts.items()], text=True),
    ]
    return _document(f"{names[0]} and {names[1]}", parts)


def _document(title: str, parts: Iterable[str]) -> str:
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def _warnings(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        yield f'<p class="warn">{escape(line)}</p>'


def _aggregates(content: Content, name: str) -> Iterator[tuple[str, float]]:
    for entry in content["benchmarks"]:
        if entry.get("aggregate_name") == name:
            yield setting_of(entry), float(entry["real_time"])


def _rounds(content: Content) -> Iterator[tuple[str, list[float]]]:
    found: dict[str, list[float]] = {}
    for entry in content["benchmarks"]:
        if entry.get("run_type") == "iteration":
            time = float(entry.get("median_time", entry["real_time"]))
            found.setdefault(setting_of(entry), []).append(time)
    yield from found.items()


def _rows(content: Content, medians: dict[str, float]) -> Iterator[tuple[str, ...]]:
    others = {name: dict(_aggregates(content, name)) for name in ("p90", "p99", "min")}
    spreads = {setting_of(e): float(e.get("spread", 0)) for e in content["benchmarks"]}
    for engine, us in medians.items():
        times = (us, *(others[name][engine] for name in others))
        yield engine, *(f"{time:,.1f}" for time in times), f"{spreads[engine]:.1%}"


def _bars(rows: Sequence[tuple[str, float]], colours: int = 0) -> str:
    """Draw horizontal bars from zero; the first, or each first of two, stands out."""
    longest = max((us for _, us in rows), default=0.0)
    room = _WIDTH - _LABELS - _VALUES
    lines = []
    for index, (name, us) in enumerate(rows):
        y, width = index * _ROW, max(1.0, us / longest * room)
        first = index % colours == 0 if colours else index == 0
        lines.append(
            f'<text x="{_LABELS - 8}" y="{y + 17}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="bar{" first" if first else ""}" x="{_LABELS}" y="{y + 4}"'
            f' width="{width:.1f}" height="{_ROW - 9}"/>'
            f'<text x="{_LABELS + width + 6:.1f}" y="{y + 17}">{us:,.1f} µs</text>'
        )
    return _svg("Median latencies as bars", len(rows) * _ROW, lines)


def _dots(rounds: dict[str, list[float]], medians: dict[str, float]) -> str:
    """Draw each engine's rounds around its median, at most 30 % away from it."""
    lines = []
    room = _WIDTH - _LABELS - 10
    for row, (engine, times) in enumerate(rounds.items()):
        middle = row * _ROUNDS_HEIGHT / 2 + _ROUNDS_HEIGHT / 4
        lines.append(
            f'<text x="{_LABELS - 8}" y="{middle + 4}" text-anchor="end">{escape(engine)}</text>'
            f'<line class="axis" x1="{_LABELS}" x2="{_WIDTH}" y1="{middle}" y2="{middle}"/>'
        )
        for index, us in enumerate(times):
            x = _LABELS + 5 + room * index / max(1, len(times) - 1)
            off = max(-0.3, min(0.3, us / medians[engine] - 1))
            lines.append(
                f'<circle class="dot{" first" if row == 0 else ""}" cx="{x:.1f}"'
                f' cy="{middle - off / 0.3 * (_ROUNDS_HEIGHT / 4 - 6):.1f}" r="3"/>'
            )
    height = len(rounds) * _ROUNDS_HEIGHT // 2
    return _svg("Latency of each round", height, lines)


def _svg(title: str, height: float, lines: Iterable[str]) -> str:
    return (
        f'<div class="scroll"><svg viewBox="0 0 {_WIDTH} {height}" role="img"'
        f' aria-label="{escape(title)}"><title>{escape(title)}</title>{"".join(lines)}</svg></div>'
    )


def _ratios(ratios: Sequence[Content]) -> str:
    rows = [
        (
            f"{r['engine']} against {r['against']}, batch {r['batch']}, threads {r['threads']}",
            f"{r['median']:.2f}",
            f"{r['low']:.2f} to {r['high']:.2f}",
        )
        for r in ratios
    ]
    return _table(("", "times as fast", "10th to 90th percentile"), rows)


def _profile(steps: Sequence[Content]) -> str:
    rows = [
        (
            str(step["name"]),
            str(step["step"]),
            f"{step['median_us']:,.1f}",
            f"{step['share']:.1%}",
            "" if step["gmacs"] is None else f"{step['gmacs']:,.0f}",
            "" if step["of_ceiling"] is None else f"{step['of_ceiling']:.0%}",
        )
        for step in steps
    ]
    return _table(("layer", "step", "µs", "share", "GMAC/s", "of the ceiling"), rows)


def _machine(content: Content) -> str:
    rows = [(name, text) for name, text in machine_facts(content).items() if text]
    return _table(("", ""), rows, text=True)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], text: bool = False) -> str:
    kind = ' class="text"' if text else ""
    body = "".join(
        "<tr>" + "".join(f"<td{kind}>{escape(cell)}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    titles = "".join(f'<th scope="col"{kind}>{escape(cell)}</th>' for cell in head)
    shown = f"<thead><tr>{titles}</tr></thead>" if any(head) else ""
    return f'<div class="scroll"><table>{shown}<tbody>{body}</tbody></table></div>'
