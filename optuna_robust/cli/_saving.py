"""Results in files."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from optuna_robust._base.output_files import check_writable
from optuna_robust.cli._errors import Failure
from optuna_robust.cli._errors import WrongArgument
from optuna_robust.cli._output import tell


if TYPE_CHECKING:
    from optuna_robust._search.confirmation import ConfirmationResult
    from optuna_robust._search.selection import SelectionResult


def check_out(out: str | None) -> None:
    """Check, before anything is trained, that the result can be written afterwards.

    Raises:
        WrongArgument: If it could not.
    """
    if out is None:
        return
    check_file("--out", out)
    if find_spec("h5py") is None:
        raise WrongArgument('--out needs h5py: pip install "optuna-robust[hdf5]".')


def check_file(option: str, path: str) -> None:
    """Check, before the work is done, that a file can be written.

    Raises:
        WrongArgument: If it cannot.
    """
    try:
        check_writable(path)
    except OSError as error:
        raise WrongArgument(f"{option} {path}: {error}.") from None


def save(result: ConfirmationResult | SelectionResult, out: str | None) -> None:
    """Write a result to the file that the user named, if any.

    Raises:
        Failure: If it cannot be written.
    """
    if out is None:
        return
    try:
        result.save(out)
    except OSError as error:
        raise Failure(f"{out} cannot be written: {error}.") from None
    tell(f"Written to {out}.")


def tell_if_nothing_trained(result: ConfirmationResult | SelectionResult) -> None:
    """Say that a result was made of the store alone, which an objective that changed may not be.

    The store is not asked for in so many words, so that one may not think of it.
    """
    if not result.n_trainings:
        tell(
            "Nothing was trained, since all instances were in the store. If the objective has "
            "changed, name another --experiment."
        )
