"""The blocks of Markdown pages that scripts write: <!-- NAME --> to <!-- end of NAME -->."""

from pathlib import Path

from bnnkit.files.atomic import write_text


def write_block(page: Path, name: str, content: str) -> None:
    """Replace a block of a page.

    Raises:
        ValueError: If the page does not have the two marks, once and in their order.
    """
    begin, end = marks(name)
    text = page.read_text()
    before, _, rest = text.partition(begin)
    after = rest.partition(end)[2]
    if (text.count(begin), rest.count(end)) != (1, 1):
        raise ValueError(f"expected {begin}, then {end}, once in {page}: write them in")
    write_text(page, before + block(name, content) + after)


def block(name: str, content: str) -> str:
    """Return a block with its marks."""
    begin, end = marks(name)
    return f"{begin}\n\n{content}\n\n{end}"


def marks(name: str) -> tuple[str, str]:
    """Return the marks before and after a block."""
    return f"<!-- {name} -->", f"<!-- end of {name} -->"
