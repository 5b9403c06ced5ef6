"""``optuna-robust confirm``."""

from __future__ import annotations

import click

from optuna_robust.cli._errors import work
from optuna_robust.cli._objectives import import_objective
from optuna_robust.cli._options import CRITERIA
from optuna_robust.cli._options import objective_argument
from optuna_robust.cli._options import on_failure_option
from optuna_robust.cli._options import study_arguments
from optuna_robust.cli._options import training_options
from optuna_robust.cli._output import results_alone
from optuna_robust.cli._output import say
from optuna_robust.cli._saving import check_out
from optuna_robust.cli._saving import save
from optuna_robust.cli._saving import tell_if_nothing_trained
from optuna_robust.cli._studies import load_study
from optuna_robust.cli._studies import open_storage
from optuna_robust.cli._studies import opened_store
from optuna_robust.cli._studies import shown
from optuna_robust.cli._studies import store_url


@click.command()
@study_arguments
@objective_argument
@click.option("--n-models", default=3, show_default=True, help="How many of the best models.")
@click.option(
    "--n-instances", default=30, show_default=True, help="Fresh instances of each model."
)
@click.option(
    "--criterion",
    metavar="NAME",
    help=f"What models are compared by: {CRITERIA}.  [default: the search's, else q3+iqr]",
)
@click.option(
    "--confidence", default=0.95, show_default=True, help="Nominal coverage of the intervals."
)
@click.option(
    "--stop-early", is_flag=True, help="Stop when the best model is told from the others."
)
@click.option("--seed", type=int, help="Seed of all instances.  [default: the search's, else 0]")
@on_failure_option("the search's, else worst")
@training_options
def confirm(
    *,
    storage: str,
    study: str,
    objective: str,
    n_models: int,
    n_instances: int,
    criterion: str | None,
    confidence: float,
    stop_early: bool,
    seed: int | None,
    on_failure: str | None,
    n_jobs: int,
    instance_timeout: float | None,
    store: str | None,
    experiment: str | None,
    version: str,
    out: str | None,
    no_progress: bool,
) -> None:
    """Train a study's best models again, and say what they are worth.

    The number that won a search is the best of many, and mostly too good. This trains the best
    models on fresh instances, whose seeds no search used, and prints their values with
    intervals, how optimistic the search was, and how sure their order is. The study may be one
    that was run without this package. It keeps the result: see `optuna-robust report`.

    STORAGE is where the study is: a database's URL, such as sqlite:///study.db, or the path of a
    journal file. STUDY is its name. MODULE:OBJECTIVE is the objective of the search, such as
    train:objective for the function objective of train.py in this directory; importing it must
    not begin a search.

    An instance that has finished is kept in --store: after Ctrl-C, or a kill, the same command
    goes on and trains the rest.

    \b
    Example:
      optuna-robust confirm sqlite:///study.db energy train:objective --n-models 5 --n-jobs 2
    """
    check_out(out)
    loaded = load_study(open_storage(storage), study, shown_storage=shown(storage))
    function = import_objective(objective)
    url = store_url(storage, store)
    with (
        work(shown(url)),
        opened_store(url, study if experiment is None else experiment, version) as opened,
        results_alone(),
    ):
        import optuna_robust as opr  # noqa: PLC0415

        result = opr.confirm(
            loaded,
            function,
            n_models=n_models,
            n_instances=n_instances,
            criterion=criterion,
            confidence=confidence,
            stop_early=stop_early,
            on_failure=on_failure,
            seed=seed,
            n_jobs=n_jobs,
            instance_timeout=instance_timeout,
            store=opened,
            show_progress_bar=not no_progress,
        )
    from optuna_robust._reporting.summary import loss_name  # noqa: PLC0415
    from optuna_robust._reporting.summary import searched_by  # noqa: PLC0415
    from optuna_robust.cli._results import confirmation_text  # noqa: PLC0415

    say(confirmation_text(result, searched_by(loaded), loss_name(loaded)))
    tell_if_nothing_trained(result)
    save(result, out)
