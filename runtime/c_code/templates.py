"""The texts of the exported folder that differ by network only in places marked @key@."""

import re
from pathlib import Path

_FOLDER = Path(__file__).parent / "templates"


def filled(template: str, **texts: object) -> str:
    """Return a template with each @key@ replaced by its text.

    Args:
        template: Name of a file in the folder `templates`, without .in.
        texts: The texts by key.
    """
    text = (_FOLDER / f"{template}.in").read_text(encoding="utf-8")
    return re.sub(r"@(\w+)@", lambda match: str(texts[match[1]]), text)


def lines(statements: list[str], indent: int) -> str:
    """Return statements, one a line."""
    return "\n".join(" " * indent + statement for statement in statements)
