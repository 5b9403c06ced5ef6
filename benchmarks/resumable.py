"""Finished work in an SQLite file, so that a command that was killed goes on where it was."""

from __future__ import annotations

from collections.abc import Mapping
import json
from pathlib import Path
import sqlite3
from typing import Any


# Another process may write at the same time; SQLite's own limit is 5 seconds.
_SECONDS_TO_WAIT = 120


class FinishedWork:
    """Records of finished work, by what they depend on.

    Args:
        path:
            SQLite file; it is created if it is not there.

    Raises:
        sqlite3.DatabaseError: If it is no such file.
    """

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            path, timeout=_SECONDS_TO_WAIT, isolation_level=None, check_same_thread=False
        )
        self._connection.execute(
            "CREATE TABLE IF NOT EXISTS finished (key TEXT PRIMARY KEY, record TEXT NOT NULL)"
        )

    def __len__(self) -> int:
        (count,) = self._connection.execute("SELECT COUNT(*) FROM finished").fetchone()
        return int(count)

    def get(self, key: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the record of a piece of work, or None if it is not finished."""
        row = self._connection.execute(
            "SELECT record FROM finished WHERE key = ?", (_text(key),)
        ).fetchone()
        return None if row is None else json.loads(row[0])

    def add(self, key: Mapping[str, Any], record: Mapping[str, Any]) -> None:
        """Keep the record of a piece of work, unless one is there already."""
        self._connection.execute(
            "INSERT OR IGNORE INTO finished VALUES (?, ?)", (_text(key), json.dumps(record))
        )

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()


def _text(key: Mapping[str, Any]) -> str:
    return json.dumps(key, sort_keys=True)
