"""Pieces of HTML, with text escaped, and scripts that a browser runs only as they were written."""

from __future__ import annotations

import base64
from collections.abc import Iterable
import hashlib
import html
import json

from optuna_robust._reporting.summary import Table


# A browser takes the end of a script, or a comment, for markup even inside a string.
_IN_SCRIPTS = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def escaped(text: str) -> str:
    """Return HTML that shows a text as it is; what cannot be printed is left out.

    Example:
        >>> from optuna_robust._reporting.report._html import escaped
        >>> print(escaped('<b title="a">&'))
        &lt;b title=&quot;a&quot;&gt;&amp;
    """
    return html.escape("".join(char if char.isprintable() else " " for char in text))


def paragraph(text: str) -> str:
    """Return a paragraph of a text."""
    return f"<p>{escaped(text)}</p>"


def bullets(texts: Iterable[str]) -> str:
    """Return a list of texts."""
    return "<ul>\n" + "\n".join(f"<li>{escaped(text)}</li>" for text in texts) + "\n</ul>"


def table(content: Table) -> str:
    """Return a table.

    Example:
        >>> from optuna_robust._reporting.report._html import table
        >>> from optuna_robust._reporting.summary import Table
        >>> print(table(Table(("trial", "params"), (("7", "a<b"),), frozenset({"params"}))))
        <div class="table"><table>
        <tr><th>trial</th><th class="left">params</th></tr>
        <tr><td>7</td><td class="left">a&lt;b</td></tr>
        </table></div>
    """
    kinds = [' class="left"' if name in content.left else "" for name in content.header]
    rows = [
        "".join(
            f"<{tag}{kind}>{escaped(cell)}</{tag}>"
            for kind, cell in zip(kinds, cells, strict=True)
        )
        for tag, cells in [("th", content.header), *(("td", row) for row in content.rows)]
    ]
    lines = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="table"><table>\n{lines}\n</table></div>'


def data_script(name: str, text: str) -> str:
    r"""Return a script that holds JSON and does nothing.

    Args:
        name:
            Identifier of the element.
        text:
            The JSON.

    Example:
        >>> from optuna_robust._reporting.report._html import data_script
        >>> print(data_script("d", '"</script>"'))
        <script type="application/json" id="d">"\u003c/script\u003e"</script>
    """
    safe = json.dumps(json.loads(text), separators=(",", ":")).translate(_IN_SCRIPTS)
    return f'<script type="application/json" id="{escaped(name)}">{safe}</script>'


def script_hash(script: str) -> str:
    """Return the hash by which a content security policy lets a script run, and no other."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
