"""Tables of plain text, for terminals, logs and pipes."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Sequence
import unicodedata


# Between two columns.
_GAP = "  "


def text_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], *, left: Collection[str] = ()
) -> str:
    """Return a table with a line for every row, as wide as its cells.

    Args:
        header:
            Names of the columns.
        rows:
            Cells, each as many as there are columns. What would move the cursor, change the
            terminal or break the line is shown as an escape.
        left:
            Names of the columns that are aligned left; the others hold numbers.

    Example:
        >>> from optuna_robust.cli._text_tables import text_table
        >>> print(text_table(["trial", "name"], [["7", "a"], ["12", "b"]], left=["name"]))
        trial  name
        -----  ----
            7  a
           12  b
    """
    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    is_left = [name in left for name in header]
    return "\n".join(_GAP.join(map(_padded, row, widths, is_left)).rstrip() for row in cells)


def printable(text: str) -> str:
    r"""Return a text on one line that a terminal only shows: other characters are escaped.

    Example:
        >>> from optuna_robust.cli._text_tables import printable
        >>> print(printable("red \x1b[31m,\nä 中"))
        red \u001b[31m,\u000aä 中
    """
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def _padded(cell: str, width: int, left: bool) -> str:
    blank = " " * (width - _width(cell))
    return cell + blank if left else blank + cell


def _width(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    return sum(
        0 if unicodedata.combining(char) else 1 + (unicodedata.east_asian_width(char) in "WF")
        for char in text
    )
