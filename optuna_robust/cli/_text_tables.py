"""Tables of plain text, for terminals, logs and pipes."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
import json
import math
from typing import Any
import unicodedata


# Between two columns.
_GAP = "  "
# Strings with one of these are quoted among parameters, so that it is clear where they end.
_QUOTED = frozenset(" ,='\"")


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


def number(value: float | None, digits: int = 5) -> str:
    """Return a number with so many significant digits; ``-`` where there is none.

    Example:
        >>> from optuna_robust.cli._text_tables import number
        >>> number(0.123456789), number(float("nan")), number(None), number(float("inf"))
        ('0.12346', '-', '-', 'inf')
    """
    return "-" if value is None or math.isnan(value) else f"{value:.{digits}g}"


def short_params(params: Mapping[str, Any]) -> str:
    """Return hyperparameters on one line, numbers rounded.

    Example:
        >>> from optuna_robust.cli._text_tables import short_params
        >>> short_params({"lr": 0.1 + 0.2, "layers": 3, "act": "relu", "note": "a b"})
        'lr=0.3, layers=3, act=relu, note="a b"'
    """
    return ", ".join(f"{name}={_short(value)}" for name, value in params.items())


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str) and (not value or not _QUOTED.isdisjoint(value)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


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
