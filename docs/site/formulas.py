r"""Formulas in pages and docstrings become MathML, which browsers draw without scripts or fonts.

$...$ is a formula in a line, and a paragraph $$...$$ one of its own. Dollars in code stay as they
are. An extension of Python-Markdown.
"""

import re
from html import unescape
from typing import Any

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor

IN_A_LINE = r"(?<![\\$\w])\$(?!\s)([^$\n]+?)(?<![\s\\])\$(?![\d$])"
OF_ITS_OWN = r"(?s)(?<![\\$])\$\$\s*([^$]+?)\s*\$\$"

PRIME = re.compile(r"<msup><mi>(.)</mi><mi>&#x02032;</mi></msup>")
PLAIN_PRIME = r'<mrow><mi>\1</mi><mo lspace="0" rspace="0">&#x02032;</mo></mrow>'
"""A prime is drawn raised already; as an exponent it would be raised twice."""
BAR = re.compile(r"<mo(?: stretchy=\"false\")?>&#x0007C;</mo>")
TIGHT_BAR = '<mo stretchy="false" lspace="0" rspace="0">&#x0007C;</mo>'
"""A bar encloses a number; as an operator it would stand between two, with spaces."""


class Formula(InlineProcessor):
    """Turns TeX into MathML."""

    def __init__(self, pattern: str, md: Markdown, display: str) -> None:
        super().__init__(pattern, md)
        self.display = display

    def handleMatch(self, m: Any, data: str) -> tuple[Any, int, int]:  # noqa: N802
        formula = convert(unescape(m.group(1)), display=self.display)
        formula = BAR.sub(TIGHT_BAR, PRIME.sub(PLAIN_PRIME, formula))
        if self.display == "block":
            formula = f'<span class="formula" tabindex="0">{formula}</span>'
        return self.md.htmlStash.store(formula), *m.span(0)


class Formulas(Extension):
    """The extension."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Read formulas before backslashes and emphasis."""
        md.inlinePatterns.register(Formula(OF_ITS_OWN, md, "block"), "formula-block", 187)
        md.inlinePatterns.register(Formula(IN_A_LINE, md, "inline"), "formula", 186)


def makeExtension(**options: Any) -> Formulas:  # noqa: N802
    """Python-Markdown calls this."""
    return Formulas(**options)
