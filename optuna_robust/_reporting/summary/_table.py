"""A table of text, before it becomes plain text, Markdown or HTML."""

from __future__ import annotations

from typing import NamedTuple


class Table(NamedTuple):
    """A table of text.

    Attributes:
        header: Names of the columns.
        rows: Cells, each as many as there are columns; as they are, nothing is escaped.
        left: Names of the columns that are aligned left; the others hold numbers.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    left: frozenset[str]
