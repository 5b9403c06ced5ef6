"""``optuna-robust report``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextlib import ExitStack
import json
import math
from typing import Any
from typing import TYPE_CHECKING

import click

from optuna_robust.cli._errors import Failure
from optuna_robust.cli._errors import WrongArgument
from optuna_robust.cli._options import study_arguments
from optuna_robust.cli._output import say
from optuna_robust.cli._output import tell
from optuna_robust.cli._saving import check_file
from optuna_robust.cli._studies import check_exists
from optuna_robust.cli._studies import load_study
from optuna_robust.cli._studies import open_storage
from optuna_robust.cli._studies import opened_store
from optuna_robust.cli._studies import shown
from optuna_robust.cli._studies import store_url


if TYPE_CHECKING:
    from optuna.study import Study

    from optuna_robust._running.store import InstanceStore


@click.command(short_help="Report a study: best trials, cost and confirmation.")
@study_arguments
@click.option(
    "--n-trials",
    type=click.IntRange(min=0),
    default=10,
    show_default=True,
    help="How many of the best trials.",
)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON: NaN is null, infinity is the string Infinity or -Infinity.",
)
@click.option(
    "--html",
    type=click.Path(dir_okay=False, writable=True),
    metavar="FILE.html",
    help="Write a page instead, with figures. It opens in any browser, without a network; a file "
    "that is there is replaced.",
)
@click.option(
    "--store",
    metavar="URL",
    help="With --html: the store that the search was run with, whose learning curves are shown.",
)
@click.option(
    "--experiment",
    metavar="NAME",
    help="Name of what was trained, in the store.  [default: STUDY]",
)
@click.option(
    "--version", metavar="TAG", help="Your tag of the objective, in the store.  [default: none]"
)
def report(
    *,
    storage: str,
    study: str,
    n_trials: int,
    as_json: bool,
    html: str | None,
    store: str | None,
    experiment: str | None,
    version: str | None,
) -> None:
    """Report a study: its best trials, what it cost, and its confirmation.

    STORAGE is where the study is: a database's URL, such as sqlite:///study.db, or the path of a
    journal file. STUDY is its name. A study with several objectives is reported by its Pareto
    front. Nothing is changed.

    The columns of a robust study: the criterion that is the trial's value, the median and the
    interquartile range (IQR) of its instances' losses, how many instances it has, how many
    of them failed, and the model.

    \b
    Examples:
      optuna-robust report sqlite:///study.db energy
      optuna-robust report sqlite:///study.db energy --html energy.html
      optuna-robust report sqlite:///study.db energy --json | jq '.best_trials[0].params'
    """
    if html is None and store is not None:
        raise WrongArgument("--store tells learning curves, which only --html shows.")
    for name, value in (("--experiment", experiment), ("--version", version)):
        if store is None and value is not None:
            raise WrongArgument(f"{name} {value} says what of a store is shown: name the --store.")
    if html is not None and as_json:
        raise WrongArgument("--html and --json exclude each other; call the command twice.")
    if html is not None:
        check_file("--html", html)
    loaded = load_study(open_storage(storage), study, shown_storage=shown(storage))
    if html is not None:
        with _curves_of(
            store, study if experiment is None else experiment, version or ""
        ) as opened:
            _write_html(loaded, html, n_trials, opened)
        return
    from optuna_robust._reporting.summary import study_report  # noqa: PLC0415
    from optuna_robust.cli._results import study_text  # noqa: PLC0415

    found = study_report(loaded, n_trials=n_trials)
    if found.unreadable is not None:
        tell(f"Warning: the study's confirmation cannot be read: {found.unreadable}")
    if as_json:
        say(json.dumps(_strict(found.to_dict()), indent=2, allow_nan=False, default=str))
    else:
        say(study_text(found, storage))


@contextmanager
def _curves_of(url: str | None, experiment: str, version: str) -> Iterator[InstanceStore | None]:
    """Open the store of a search, if one is named."""
    if url is None:
        yield None
        return
    checked = store_url(url, url)
    check_exists(checked)
    with ExitStack() as stack:
        try:
            store = stack.enter_context(opened_store(checked, experiment, version))
        except ValueError as error:
            raise WrongArgument(str(error)) from None
        yield store


def _write_html(study: Study, path: str, n_trials: int, store: InstanceStore | None) -> None:
    from optuna_robust._reporting.report import write_html  # noqa: PLC0415

    try:
        write_html(study, path, n_trials=n_trials, store=store)
    except OSError as error:
        raise Failure(f"{path} cannot be written: {error}.") from None
    tell(f"Written to {path}.")


def _strict(value: Any) -> Any:
    """Replace the numbers that JSON does not know."""
    if isinstance(value, dict):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_strict(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    return value
