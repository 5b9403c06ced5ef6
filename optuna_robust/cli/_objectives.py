"""Objectives, as a command's argument names them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import importlib
import inspect
import os
import sys
from typing import Any

from optuna_robust.cli._errors import raised_by_user_code
from optuna_robust.cli._errors import WrongArgument
from optuna_robust.cli._import_guard import MAIN_GUARD
from optuna_robust.cli._import_guard import no_search
from optuna_robust.cli._import_guard import SearchAtImportError
from optuna_robust.cli._output import results_alone


def import_objective(name: str) -> Callable[..., Any]:
    """Import an objective; the current directory is searched for its module, too.

    Args:
        name:
            ``module:attribute``, such as ``train:objective``.

    Raises:
        WrongArgument: If there is none of this name, or its module runs a search when it is
            imported.
    """
    module_name, colon, attribute = name.partition(":")
    if not colon or not _is_dotted(module_name) or not _is_dotted(attribute):
        raise WrongArgument(
            f"{name!r} does not name an objective; write MODULE:OBJECTIVE, such as "
            "train:objective for the function objective of train.py."
        )
    if module_name.endswith(".py"):
        raise WrongArgument(f"Write {name.replace('.py:', ':')}: a module, not its file.")
    found: Any = _module(module_name)
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            raise WrongArgument(
                f"The module {module_name} ({_origin(module_name)}) has no {attribute!r}."
            ) from None
    if not callable(found):
        raise WrongArgument(f"{name} is no function, but {type(found).__name__}: {found!r}.")
    if inspect.isclass(found):
        raise WrongArgument(f"{name} is a class; name a function, or an object of it.")
    return found  # type: ignore[no-any-return]


def _is_dotted(name: str) -> bool:
    return all(part.isidentifier() for part in name.split("."))


def _module(name: str) -> Any:
    here = os.getcwd()
    if here not in sys.path:  # as with `python -m`
        sys.path.insert(0, here)
    try:
        with results_alone(), no_search() as refused:
            return _imported(name, refused)
    except WrongArgument:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise WrongArgument(
                f"There is no module {error.name!r}, neither in this directory nor installed."
            ) from None
        raised_by_user_code(error)
    except (Exception, SystemExit) as error:
        raised_by_user_code(error)


def _imported(name: str, refused: Sequence[SearchAtImportError]) -> Any:
    from optuna.exceptions import DuplicatedStudyError  # noqa: PLC0415

    try:
        module = importlib.import_module(name)
    except DuplicatedStudyError as error:
        raise WrongArgument(
            f"Importing {name} creates a study that exists already: {error} {MAIN_GUARD}"
        ) from None
    except Exception:
        if not refused:
            raise
    if refused:  # the module may have caught the error
        sys.modules.pop(name, None)
        raise WrongArgument(str(refused[0]))
    return module


def _origin(module_name: str) -> str:
    return str(getattr(sys.modules[module_name], "__file__", None) or "built in")
