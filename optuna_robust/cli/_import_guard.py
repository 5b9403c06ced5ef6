"""Importing a user's module without running the search that it may begin."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
import inspect
from pathlib import Path
import sys
from typing import Any


MAIN_GUARD = (
    'Put what runs a search under if __name__ == "__main__": so that the module can be imported '
    "for its objective alone."
)

_PACKAGE = Path(__file__).parents[1]


class SearchAtImportError(RuntimeError):
    """A module begins a search, or changes a study's trials, when it is imported."""

    def __init__(self, call: str) -> None:
        super().__init__(
            f"{_caller()} calls {call} when it is imported, which was refused. {MAIN_GUARD}"
        )


@contextmanager
def no_search() -> Iterator[list[SearchAtImportError]]:
    """Refuse what begins a search or changes a study's trials, while a module is imported.

    Yields:
        What was refused so far, since the module may catch the errors.
    """
    import optuna  # noqa: PLC0415

    from optuna_robust._running.parallel import InstancePool  # noqa: PLC0415

    refused: list[SearchAtImportError] = []
    study = optuna.Study
    targets: list[tuple[Any, str, str]] = [
        (study, "optimize", "study.optimize"),
        (study, "ask", "study.ask"),
        (study, "add_trial", "study.add_trial or study.enqueue_trial"),
        # Selections and confirmations train here.
        (InstancePool, "train", "robust_select or confirm"),
        *((module, "delete_study", "optuna.delete_study") for module in (optuna, optuna.study)),
    ]
    usual = [getattr(owner, name) for owner, name, _ in targets]
    try:
        for owner, name, call in targets:
            setattr(owner, name, _refusal(call, refused))
        yield refused
    finally:
        for (owner, name, _), function in zip(targets, usual, strict=True):
            setattr(owner, name, function)


def _refusal(call: str, refused: list[SearchAtImportError]) -> Callable[..., Any]:
    def refuse(*_: Any, **__: Any) -> Any:
        error = SearchAtImportError(call)
        refused.append(error)
        raise error

    return refuse


def _caller() -> str:
    """Return the file and line of the user's code that is running."""
    import optuna  # noqa: PLC0415

    libraries = (_PACKAGE, Path(inspect.getfile(optuna)).parent)
    frame = sys._getframe(1)
    while frame.f_back is not None and any(
        Path(frame.f_code.co_filename).is_relative_to(library) for library in libraries
    ):
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno},"
