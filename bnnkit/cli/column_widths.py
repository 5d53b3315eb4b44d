"""The widths of a table's columns, so that lines are broken between words only."""

from collections.abc import Sequence


def column_widths(columns: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Share the room of a line among the columns of a table.

    Every column gets what its longest cell needs. If that is too much, the widest columns become
    narrower, but none narrower than its longest word.

    Args:
        columns: The cells of each column, with its heading.
        room: The number of characters that the columns have together.

    Returns:
        A width for each column; None if the longest words alone need more than the room.
    """
    widths = [max(map(len, column), default=0) for column in columns]
    least = [_longest_word(column) for column in columns]
    if sum(least) > room:
        return None
    while sum(widths) > room:
        shrinkable = [i for i in range(len(widths)) if widths[i] > least[i]]
        widest = max(shrinkable, key=lambda i: widths[i])
        widths[widest] -= 1
    return widths


def _longest_word(column: Sequence[str]) -> int:
    return max((len(word) for cell in column for word in cell.split()), default=0)
