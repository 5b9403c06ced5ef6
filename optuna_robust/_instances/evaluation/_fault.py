"""What is kept of an exception: its kind and its traceback, as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
import os
from pathlib import Path
import traceback
from types import TracebackType


# An objective that raises one of these has a mistake, which no hyperparameter explains.
_PROGRAMMING_ERRORS = (NameError, ImportError, SyntaxError)
_OURS = Path(__file__).parents[2]
_STANDARD_LIBRARY = Path(os.__file__).parent
_INSTALLED = {"site-packages", "dist-packages"}


@dataclass(frozen=True)
class Fault:
    """An exception of an objective as text, which keeps no frame, and what is in it, alive.

    Attributes:
        kind: Its type, and its place: file and line of the innermost frame in the user's code.
        path: The file.
        traceback: From where the user's code begins.
        is_programming_error: Whether the objective has a mistake, whatever the model.
    """

    kind: str
    path: str
    traceback: str
    is_programming_error: bool


def fault_of(error: Exception) -> Fault:
    """Return what is kept of an exception that an objective raised."""
    begin = _without_ours(error.__traceback__)
    path, line = _place(begin)
    name = type(error).__name__
    return Fault(
        f"{name} at {Path(path).name}:{line}" if path else name,
        path,
        "".join(traceback.format_exception(type(error), error, begin)),
        isinstance(error, _PROGRAMMING_ERRORS),
    )


def forget_frames(error: BaseException) -> None:
    """Take the tracebacks off an exception, and off those that it names.

    Their frames, and all that called them, keep their variables alive: say, a model on a GPU.
    """
    left: list[BaseException | None] = [error]
    seen: set[int] = set()
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.__traceback__ = None
        left += [each.__cause__, each.__context__]
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions


def programming_error(error: Exception) -> Exception | None:
    """Return an exception of the same meaning that can be sent anywhere; None if it is no such."""
    for kind in _PROGRAMMING_ERRORS:
        if isinstance(error, kind):
            return kind(f"{type(error).__name__}: {error}")
    return None


def _without_ours(begin: TracebackType | None) -> TracebackType | None:
    shown = begin
    while shown is not None and Path(shown.tb_frame.f_code.co_filename).is_relative_to(_OURS):
        shown = shown.tb_next
    return begin if shown is None else shown


def _place(begin: TracebackType | None) -> tuple[str, int]:
    """Return file and line of the innermost frame that is not a library's; else of the first."""
    places = list(_places(begin))
    own = [place for place in places if not _is_library(place[0])]
    return (own or places or [("", 0)])[-1 if own else 0]


def _places(begin: TracebackType | None) -> Iterator[tuple[str, int]]:
    for frame, line in traceback.walk_tb(begin):
        yield frame.f_code.co_filename, line


def _is_library(path: str) -> bool:
    found = Path(path)
    return (
        path.startswith("<frozen ")
        or found.is_relative_to(_STANDARD_LIBRARY)
        or found.is_relative_to(_OURS)
        or not _INSTALLED.isdisjoint(found.parts)
    )
