"""Pages of text and figures that need no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go  # type: ignore[import-untyped]


_STYLE = """
body { font-family: system-ui, sans-serif; margin: 2em auto; max-width: 90em; padding: 0 1em; }
table { border-collapse: collapse; display: block; font-size: 0.85em; overflow-x: auto; }
td, th { border-bottom: 1px solid #ddd; padding: 0.3em 0.8em; text-align: left; }
td { font-variant-numeric: tabular-nums; white-space: nowrap; }
"""
_TICKS = [base * 10.0**power for power in range(-3, 3) for base in (1, 2, 3, 5)]


def write_page(
    path: Path,
    figures: Sequence[go.Figure],
    text: str,
    title: str,
    *,
    first: tuple[str, go.Figure] | None = None,
) -> None:
    """Write figures, below a text, as one HTML page that needs no network.

    Args:
        path:
            The page.
        figures:
            Of plotly.
        text:
            Markdown with its heading.
        title:
            Of the browser's window.
        first:
            Markdown and a figure that the page begins with.
    """
    from markdown_it import MarkdownIt  # noqa: PLC0415  (other measurements do without it)

    render = MarkdownIt("commonmark", {"html": False}).enable("table").render
    lead, lead_figures = ("", []) if first is None else (render(first[0]), [first[1]])
    parts = [
        figure.to_html(full_html=False, include_plotlyjs=number == 0)
        for number, figure in enumerate([*lead_figures, *figures])
    ]
    body = "".join([lead, *parts[: len(lead_figures)], render(text), *parts[len(lead_figures) :]])
    path.write_text(
        "<!doctype html><html><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{body}</body></html>\n",
        encoding="utf-8",
    )


def logarithmic_axis() -> dict[str, Any]:
    """Return an axis for losses of which some are many times others, with all ticks in full."""
    return {"type": "log", "tickvals": _TICKS, "ticktext": [f"{tick:g}" for tick in _TICKS]}
