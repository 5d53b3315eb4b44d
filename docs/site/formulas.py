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


SIGNED = re.compile(
    r"(<mo[^>]*>(?:&#x00028;|\[|&#x0005B;|&#x0007B;|&#x0002C;|&#x0003D;)</mo>)"
    r"<mo>(&#x02212;|&#x0002B;)</mo>"
)
PREFIXED = r'\1<mo form="prefix">\2</mo>'
"""A minus behind a bracket, a comma or an equals sign belongs to the number behind it."""
LETTERS = re.compile(r'(?:<mi mathvariant="normal">\w</mi>){2,}')
"""A word such as "sign", which is one identifier and not a product of letters."""


class Formula(InlineProcessor):
    """Turns TeX into MathML."""

    def __init__(self, pattern: str, md: Markdown, display: str) -> None:
        super().__init__(pattern, md)
        self.display = display

    def handleMatch(self, m: Any, data: str) -> tuple[Any, int, int]:  # noqa: N802
        formula = convert(unescape(m.group(1)), display=self.display)
        if "\\" in formula:
            raise ValueError(f"latex2mathml does not know a command of {m.group(1)}")
        formula = BAR.sub(TIGHT_BAR, PRIME.sub(PLAIN_PRIME, formula))
        formula = SIGNED.sub(PREFIXED, LETTERS.sub(_word, formula))
        if self.display == "block":
            formula = f'<span class="formula" tabindex="0">{formula}</span>'
        return self.md.htmlStash.store(formula), *m.span(0)


def _word(letters: re.Match[str]) -> str:
    return f"<mi>{re.sub('<[^>]*>', '', letters[0])}</mi>"


class Formulas(Extension):
    """The extension."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        """Read formulas before backslashes and emphasis."""
        md.inlinePatterns.register(Formula(OF_ITS_OWN, md, "block"), "formula-block", 187)
        md.inlinePatterns.register(Formula(IN_A_LINE, md, "inline"), "formula", 186)


def makeExtension(**options: Any) -> Formulas:  # noqa: N802
    """Python-Markdown calls this."""
    return Formulas(**options)
