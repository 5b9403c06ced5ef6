"""A page taken apart, without running it."""

from __future__ import annotations

from html.parser import HTMLParser
import json
from typing import Any


class Page(HTMLParser):
    """What a browser would find in a page.

    Attributes:
        tags: All elements' names with their attributes.
        scripts: Scripts that a browser runs.
        data: What scripts hold that it does not run, by identifier.
        text: Everything that it shows.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.data: dict[str, Any] = {}
        self._shown: list[str] = []
        self.feed(html)
        self.close()
        self.text = " ".join(" ".join(self._shown).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Take an element down."""
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        """Take a text down."""
        tag, attrs = self.tags[-1] if self.tags else ("", {})
        if tag == "script" and self.cdata_elem == "script":
            if attrs.get("type") == "application/json":
                name = str(attrs["id"])
                self.data[name] = self.data.get(name, "") + data
            else:
                self.scripts.append(data)
        elif self.cdata_elem is None:
            self._shown.append(data)

    def json(self, name: str) -> Any:
        """Return data."""
        return json.loads(self.data[name])

    def policy(self) -> str:
        """Return the content security policy."""
        (found,) = [
            str(attrs["content"])
            for tag, attrs in self.tags
            if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
        ]
        return found
