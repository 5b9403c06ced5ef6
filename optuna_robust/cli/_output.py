"""Where a command writes: results to standard output, all else to standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import redirect_stdout
import os
from pathlib import Path
import sys
from typing import Any
from typing import IO
import warnings

import click

from optuna_robust.cli._text_tables import printable


_PACKAGE = Path(__file__).parents[1]


def say(text: str) -> None:
    """Write to standard output."""
    click.echo(_encodable(text, sys.stdout))


def tell(text: str) -> None:
    """Write a line to standard error."""
    click.echo(_encodable(printable(text), sys.stderr), err=True)


@contextmanager
def results_alone() -> Iterator[None]:
    """Send what an objective prints to standard error, so that results can be piped.

    That includes what its worker processes print, and libraries that are not Python's: hence the
    file descriptor. Warnings of this package are shown without its source code.
    """
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with warnings.catch_warnings(), redirect_stdout(sys.stderr):
            warnings.showwarning = _show_warning_with(warnings.showwarning)
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _show_warning_with(usual: Any) -> Any:
    def show(message: Warning | str, category: type[Warning], filename: str, *rest: Any) -> None:
        if Path(filename).is_relative_to(_PACKAGE):
            tell(f"Warning: {message}")
        else:
            usual(message, category, filename, *rest)

    return show


def _encodable(text: str, stream: IO[str]) -> str:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
