"""Progress bars that suit where they are shown."""

from __future__ import annotations

import sys


# A terminal shows one line that changes; a log gets a new line each time.
_IN_A_TERMINAL, _IN_A_LOG = 0.1, 30.0


def seconds_between_updates() -> float:
    """Return how often a progress bar is drawn: seldom where it goes to a log."""
    return _IN_A_TERMINAL if sys.stderr.isatty() else _IN_A_LOG
