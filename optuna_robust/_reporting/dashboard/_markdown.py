r"""Text as Markdown that shows it as it is, and tables."""

from __future__ import annotations

import re

from optuna_robust._reporting.summary import Table


# The dashboard leaves no room between columns.
_GAP = 3 * "\N{NO-BREAK SPACE}"
# What begins markup, HTML, a link, or a table's cell. (In a link other escapes would be shown.)
_MARKUP = re.compile(r"[\\`*_\[\]<>#|~$&@]|:(?=/)|(?<=www)\.", re.IGNORECASE)


def escaped(text: str) -> str:
    r"""Return Markdown, on one line, that shows a text as it is; addresses become links.

    Example:
        >>> from optuna_robust._reporting.dashboard._markdown import escaped
        >>> print(escaped("a|b <i>_x_</i>\n0.5"))
        a\|b \<i\>\_x\_\</i\> 0.5
    """
    line = "".join(char if char.isprintable() else " " for char in text)
    return _MARKUP.sub(r"\\\g<0>", line)


def markdown_table(table: Table) -> str:
    r"""Return a table in GitHub's Markdown, with room between columns.

    Example:
        >>> from optuna_robust._reporting.dashboard._markdown import markdown_table
        >>> from optuna_robust._reporting.summary import Table
        >>> table = Table(("trial", "params"), (("7", "act=a|b"),), frozenset({"params"}))
        >>> print(markdown_table(table).replace("\u00a0", ""))
        | trial | params |
        | ---: | :--- |
        | 7 | act=a\|b |
    """
    aligned = [":---" if name in table.left else "---:" for name in table.header]
    header, *rows = (
        f"| {f'{_GAP} | '.join(map(escaped, row))} |" for row in (table.header, *table.rows)
    )
    return "\n".join([header, f"| {' | '.join(aligned)} |", *rows])
