"""``optuna-robust select``."""

from __future__ import annotations

import json
import shlex
from typing import Any
from typing import IO

import click

from optuna_robust._base.wording import counted
from optuna_robust.cli._errors import work
from optuna_robust.cli._errors import WrongArgument
from optuna_robust.cli._objectives import import_objective
from optuna_robust.cli._options import CRITERIA
from optuna_robust.cli._options import objective_argument
from optuna_robust.cli._options import on_failure_option
from optuna_robust.cli._options import study_arguments
from optuna_robust.cli._options import training_options
from optuna_robust.cli._output import results_alone
from optuna_robust.cli._output import say
from optuna_robust.cli._output import tell
from optuna_robust.cli._saving import check_out
from optuna_robust.cli._saving import save
from optuna_robust.cli._saving import tell_if_nothing_trained
from optuna_robust.cli._studies import has_study
from optuna_robust.cli._studies import load_study
from optuna_robust.cli._studies import open_storage
from optuna_robust.cli._studies import opened_store
from optuna_robust.cli._studies import shown
from optuna_robust.cli._studies import store_url
from optuna_robust.cli._studies import study_to_fill
from optuna_robust.cli._text_tables import printable


# As robust_select does without n_warmup_instances.
_DEFAULT_WARMUP = 4


@click.command()
@study_arguments
@objective_argument
@click.option(
    "--models",
    type=click.File("r", encoding="utf-8-sig"),
    metavar="FILE.json",
    help='The models: a list [{"lr": 0.1, "layers": 2}, ...], or a grid {"lr": [0.1, 0.01], '
    '"layers": [2, 3]} of which every combination is one. - reads standard input.',
)
@click.option(
    "--from-study",
    metavar="NAME",
    help="The models are the complete trials of this study in STORAGE, the best first.",
)
@click.option(
    "--n-models", type=int, help="With --from-study: how many of the best.  [default: all]"
)
@click.option(
    "--rule",
    default="race",
    show_default=True,
    metavar="NAME",
    help="Which models are dropped: by race what is unlikely to be the best; by halving or "
    "sequential-halving the worse half; by directed-welch, directed-wilcoxon, ... what the test "
    "finds worse than the best; by welch, ... what it finds different.",
)
@click.option(
    "--criterion",
    default="q3+iqr",
    show_default=True,
    metavar="NAME",
    help=f"What models are ranked by: {CRITERIA}.",
)
@click.option("--n-instances", default=20, show_default=True, help="Most instances of a model.")
@click.option(
    "--max-trainings",
    type=int,
    metavar="N",
    help="Most instances of all models together, at least one of each.  [default: no limit]",
)
@click.option(
    "--n-warmup-instances",
    type=int,
    metavar="K",
    help="Instances that every model gets before models are dropped; not for the race.  "
    "[default: 4]",
)
@click.option("--n-select", default=1, show_default=True, help="How many models are selected.")
@click.option(
    "--alpha",
    type=float,
    help="Probability that the race may miss the best model, or level of a test; not for "
    "halving.  [default: 0.05]",
)
@click.option(
    "--tolerance",
    type=float,
    help="For the race: how much worse than the best a model may be, in units of the criterion.  "
    "[default: 0]",
)
@click.option(
    "--train-survivors", is_flag=True, help="Train the selected models up to --n-instances."
)
@click.option(
    "--direction",
    type=click.Choice(["minimize", "maximize"]),
    help="Of the losses. Must be given with --models if STUDY is new.  [default: that of STUDY, "
    "or of --from-study]",
)
@click.option("--seed", default=0, show_default=True, help="Seed of all instances.")
@on_failure_option("worst")
@training_options
def select(
    *,
    storage: str,
    study: str,
    objective: str,
    models: IO[str] | None,
    from_study: str | None,
    n_models: int | None,
    rule: str,
    criterion: str,
    n_instances: int,
    max_trainings: int | None,
    n_warmup_instances: int | None,
    n_select: int,
    alpha: float | None,
    tolerance: float | None,
    train_survivors: bool,
    direction: str | None,
    seed: int,
    on_failure: str | None,
    n_jobs: int,
    instance_timeout: float | None,
    store: str | None,
    experiment: str | None,
    version: str,
    out: str | None,
    no_progress: bool,
) -> None:
    """Select the robust model of a set for little more than one training a model.

    Trains one instance of every model, then more of those that may be the best, and drops models
    on the way. The models come from a file (--models)
    or from another study (--from-study); give one of the two.

    STORAGE is a database's URL, such as sqlite:///study.db, or the path of a journal file. STUDY
    is the name of the study that gets every model as a trial, for `optuna-robust report` and for
    optuna-dashboard; it is created if there is none. MODULE:OBJECTIVE is what is trained, such
    as train:objective for the function objective of train.py in this directory; importing it
    must not begin a search.

    An instance that has finished is kept in --store: after Ctrl-C, or a kill, the same command
    goes on and trains the rest.

    \b
    Examples:
      optuna-robust select sqlite:///study.db choice train:objective --models grid.json \\
        --direction minimize
      optuna-robust select sqlite:///study.db choice train:objective --from-study energy \\
        --n-models 50
    """
    check_out(out)
    if (models is None) == (from_study is None):
        raise click.UsageError("Give the models: either --models FILE.json or --from-study NAME.")
    if from_study == study:
        raise click.UsageError(
            "--from-study must differ from STUDY, the study that gets the models: name a new one."
        )
    optuna_storage = open_storage(storage, create=models is not None)
    chosen_from: Any = (
        _read_models(models)
        if models is not None
        else load_study(optuna_storage, str(from_study), shown_storage=shown(storage))
    )
    if direction is None and models is not None and not has_study(optuna_storage, study):
        raise WrongArgument(
            f"--direction must be given, minimize or maximize: the study {study!r} is new, and "
            "nothing else says whether a small value of the objective is good."
        )
    function = import_objective(objective)
    url = store_url(storage, store)
    with work(shown(url)):
        import optuna_robust as opr  # noqa: PLC0415

        tell(
            _plan(
                chosen_from,
                n_models=n_models,
                rule=rule,
                criterion=criterion,
                n_instances=n_instances,
                max_trainings=max_trainings,
                n_warmup_instances=n_warmup_instances,
                n_select=n_select,
                train_survivors=train_survivors,
            )
        )
        with (
            opened_store(url, study if experiment is None else experiment, version) as opened,
            study_to_fill(
                optuna_storage, study, direction or _direction_of(chosen_from)
            ) as filled,
            results_alone(),
        ):
            result = opr.robust_select(
                function,
                chosen_from,
                n_models=n_models,
                direction=direction,
                criterion=criterion,
                rule=rule,
                n_instances=n_instances,
                max_trainings=max_trainings,
                n_warmup_instances=n_warmup_instances,
                n_select=n_select,
                alpha=alpha,
                tolerance=tolerance,
                on_failure=on_failure or "worst",
                seed=seed,
                n_jobs=n_jobs,
                instance_timeout=instance_timeout,
                store=opened,
                study=filled,
                train_survivors=train_survivors,
                show_progress_bar=not no_progress,
            )
    from optuna_robust.cli._results import selection_text  # noqa: PLC0415

    say(selection_text(result, filled))
    say(_next_step(storage, study, objective))
    tell_if_nothing_trained(result)
    save(result, out)


def _read_models(file: IO[str]) -> object:
    try:
        return json.load(file)
    except ValueError as error:  # no JSON, or no UTF-8
        raise WrongArgument(f"--models {file.name} is not a JSON file: {error}.") from None


def _direction_of(models: object) -> str:
    from optuna.study import StudyDirection  # noqa: PLC0415

    directions = getattr(models, "directions", None)
    return "maximize" if directions == [StudyDirection.MAXIMIZE] else "minimize"


def _plan(
    models: object,
    *,
    n_models: int | None,
    rule: str,
    criterion: str,
    n_instances: int,
    max_trainings: int | None,
    n_warmup_instances: int | None,
    n_select: int,
    train_survivors: bool,
) -> str:
    """Return what a selection costs, before any of it is spent.

    Raises:
        TypeError: If the models are none.
        ValueError: If an argument is out of range.
    """
    from optuna_robust._base.arguments import check_count  # noqa: PLC0415
    from optuna_robust._instances.instance import check_n_instances  # noqa: PLC0415
    from optuna_robust._search.selection._models import model_set  # noqa: PLC0415
    from optuna_robust._statistics.criteria import check_min_instances  # noqa: PLC0415
    from optuna_robust._statistics.criteria import get_criterion  # noqa: PLC0415
    from optuna_robust._statistics.elimination import expected_trainings  # noqa: PLC0415

    n = len(model_set(models, n_models=n_models, sampler=None, seed=0))
    n_instances = check_n_instances(n_instances)
    ranked_by = get_criterion(criterion)
    check_min_instances(ranked_by, n_instances)
    most = n * n_instances
    if max_trainings is not None:
        check_count("max_trainings", max_trainings, minimum=1)
        most = min(most, max_trainings)
    text = (
        f"{counted(n, 'model')}, at most {counted(most, 'training')} (up to {n_instances} of each)"
    )
    if rule == "halving":
        warmup = n_warmup_instances
        if warmup is None:
            warmup = min(_DEFAULT_WARMUP, n_instances - 1)
        # Nothing is dropped before the criterion has a value.
        warmup = max(warmup, ranked_by.min_instances - 1)
        to_the_end = expected_trainings(n, warmup, n_instances, n_select=n_select)
        # Either the models or the instances come to an end first.
        until_selected = expected_trainings(n, warmup, n_select=n_select)
        to_be_trained = train_survivors or n_select >= n
        n_expected = to_the_end if to_be_trained else min(to_the_end, until_selected)
        n_expected = min(n_expected, most)
        text += f"; halving is expected to take {n_expected}"
    return f"{text}."


def _next_step(storage: str, study: str, objective: str) -> str:
    command = shlex.join(["optuna-robust", "confirm", shown(storage), study, objective])
    return f"\nTo learn what it is worth on fresh instances:\n  {printable(command)}"
