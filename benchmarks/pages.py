"""Pages of figures that need no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import plotly.graph_objects as go  # type: ignore[import-untyped]


def write_page(path: Path, figures: Sequence[go.Figure], text: str, title: str) -> None:
    """Write figures, below a text such as a table, as one HTML page that needs no network."""
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=number == 0)
        for number, figure in enumerate(figures)
    ]
    path.write_text(
        f"<!doctype html><html><head><meta charset='utf-8'><title>{escape(title)}</title></head>"
        f"<body><h1>{escape(title)}</h1><pre style='white-space: pre-wrap'>{escape(text)}</pre>"
        f"{''.join(parts)}</body></html>\n",
        encoding="utf-8",
    )
