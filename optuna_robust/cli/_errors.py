"""How a command ends: what is told of errors and of Ctrl-C, and the exit codes.

0: fine. 1: the objective or the work failed. 2: wrong arguments. 130: Ctrl-C.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
import traceback
from types import CodeType
from types import TracebackType
from typing import Any
from typing import NoReturn

import click
from click.exceptions import Exit

from optuna_robust.cli._output import tell
from optuna_robust.cli._text_tables import printable


_FAILED, _WRONG_ARGUMENTS, _INTERRUPTED = 1, 2, 130
_PACKAGE = Path(__file__).parents[1]


class _InOneLine(click.ClickException):
    def format_message(self) -> str:
        """Return the message on one line, with nothing in it that changes the terminal."""
        return printable(self.message)


class WrongArgument(_InOneLine):
    """Arguments that cannot work: told in one line, exit code 2."""

    exit_code = _WRONG_ARGUMENTS


class Failure(_InOneLine):
    """Work that failed: told in one line, exit code 1."""

    exit_code = _FAILED


class Commands(click.Group):
    """Commands that end with exit code 130 on Ctrl-C."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            tell("Interrupted.")
            raise Exit(_INTERRUPTED) from None


@contextmanager
def work(kept_in: str) -> Iterator[None]:
    """Train, and end the command as it must end if that fails or is interrupted.

    Args:
        kept_in:
            Where instances are kept that finished, as it may be shown.
    """
    try:
        yield
    except KeyboardInterrupt:
        tell(
            f"Interrupted. Everything that finished is kept in {kept_in}: start the same command "
            "again, and it goes on."
        )
        raise Exit(_INTERRUPTED) from None
    except (click.ClickException, Exit):
        raise
    except (Exception, SystemExit) as error:
        _end(error, kept_in)


def raised_by_user_code(error: BaseException) -> NoReturn:
    """End the command with the traceback of what the user's module raised."""
    _show_traceback(error)
    raise Exit(_FAILED) from None


def _end(error: Exception | SystemExit, kept_in: str) -> NoReturn:
    from optuna_robust._instances.evaluation import Evaluator  # noqa: PLC0415
    from optuna_robust._instances.evaluation import ModelMismatchError  # noqa: PLC0415
    from optuna_robust._running.parallel import FailurePolicy  # noqa: PLC0415
    from optuna_robust._running.parallel import InstancePool  # noqa: PLC0415

    codes = _codes(error)
    # Nothing is trained before the pool is asked for it.
    has_begun = InstancePool.train.__code__ in codes
    if isinstance(error, ModelMismatchError) or (
        isinstance(error, (TypeError, ValueError)) and not has_begun
    ):
        raise WrongArgument(str(error)) from None
    # What a worker process raised comes out of the pool's policy.
    in_policy = bool(codes) and codes[-1].co_filename == FailurePolicy.check.__code__.co_filename
    if Evaluator.__call__.__code__ in codes or (has_begun and in_policy):
        _show_traceback(error)
        raise Failure(
            f"the objective failed. Everything that finished is kept in {kept_in}: when it is "
            "fixed, the same command goes on."
        ) from None
    if isinstance(error, RuntimeError) and _is_ours(codes[-1]):
        raise Failure(str(error)) from None
    raise error


def _codes(error: BaseException) -> list[CodeType]:
    return [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]


def _show_traceback(error: BaseException) -> None:
    """Show a traceback from where the user's code begins."""
    shown: TracebackType | None = error.__traceback__
    while shown is not None and (
        _is_ours(shown.tb_frame.f_code) or _imports(shown.tb_frame.f_code)
    ):
        shown = shown.tb_next
    click.echo("".join(traceback.format_exception(type(error), error, shown)), err=True, nl=False)


def _is_ours(code: CodeType) -> bool:
    return Path(code.co_filename).is_relative_to(_PACKAGE)


def _imports(code: CodeType) -> bool:
    return code.co_filename.startswith("<frozen importlib") or Path(code.co_filename).match(
        "importlib/__init__.py"
    )
