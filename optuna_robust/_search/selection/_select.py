"""The robust selection: the race over a set of models."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
import itertools
import math
from typing import Any
from typing import TYPE_CHECKING
import warnings

from optuna.study import Study
from optuna.study import StudyDirection
from tqdm.auto import tqdm

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count
from optuna_robust._base.arguments import check_flag
from optuna_robust._base.arguments import FAILURE_POLICIES
from optuna_robust._base.arguments import given
from optuna_robust._base.arrays import FloatArray
from optuna_robust._base.progress import seconds_between_updates
from optuna_robust._instances.constraints import ComputedConstraints
from optuna_robust._instances.evaluation import check_instance_timeout
from optuna_robust._instances.evaluation import Evaluator
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._instances.evaluation import own_choices
from optuna_robust._instances.failures import count_kinds
from optuna_robust._instances.instance import check_sources
from optuna_robust._instances.instance import shared_instance
from optuna_robust._instances.instance import SOURCES
from optuna_robust._instances.study_settings import check_settings
from optuna_robust._instances.study_settings import Settings
from optuna_robust._running.check_store import check_store
from optuna_robust._running.parallel import check_instances_per_call
from optuna_robust._running.parallel import check_workers
from optuna_robust._running.parallel import open_pool
from optuna_robust._search.model_record import ModelRecord
from optuna_robust._search.objective import check_unwrapped
from optuna_robust._search.selection._arguments import check_callbacks
from optuna_robust._search.selection._arguments import check_informed
from optuna_robust._search.selection._arguments import chosen_rule
from optuna_robust._search.selection._arguments import DIRECTIONS
from optuna_robust._search.selection._arguments import expected_instances
from optuna_robust._search.selection._arguments import informed_rule
from optuna_robust._search.selection._arguments import is_maximised
from optuna_robust._search.selection._arguments import shared_options
from optuna_robust._search.selection._models import model_set
from optuna_robust._search.selection._models import ModelSet
from optuna_robust._search.selection._race import Race
from optuna_robust._search.selection._race import RaceOptions
from optuna_robust._search.selection._result import SelectionResult
from optuna_robust._search.selection._result import Step
from optuna_robust._search.selection._study import kept_study
from optuna_robust._search.selection._study import study_seen
from optuna_robust._search.selection._suggested import check_suggested
from optuna_robust._search.selection._trials import SelectionTrials
from optuna_robust._statistics.criteria import check_min_instances
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import warn_of_luck
from optuna_robust._statistics.elimination import EliminationRule


if TYPE_CHECKING:
    from optuna.samplers import BaseSampler

    from optuna_robust._running.store import InstanceStore


def robust_select(
    objective: Callable[..., Any],
    models: object,
    *,
    n_models: int | None = None,
    sampler: BaseSampler | None = None,
    direction: str | StudyDirection | None = None,
    criterion: str | Callable[[FloatArray], float] | Criterion | None = None,
    rule: str | EliminationRule = "race",
    n_instances: int | None = None,
    max_trainings: int | None = None,
    n_warmup_instances: int | None = None,
    n_select: int | None = None,
    alpha: float | None = None,
    tolerance: float | None = None,
    informed: bool | None = None,
    reduction_factor: float | None = None,
    reshuffle: bool = False,
    on_failure: str = "worst",
    max_failures: float = 0.5,
    vary: Iterable[str] = SOURCES,
    seed: int = 0,
    seed_function: Callable[[int], object] | None = None,
    n_jobs: int = 1,
    executor: Executor | None = None,
    instance_timeout: float | None = None,
    store: InstanceStore | None = None,
    instances_per_call: int | None = None,
    study: Study | None = None,
    train_survivors: bool = False,
    show_progress_bar: bool = False,
    callbacks: Sequence[Callable[[Step], object]] = (),
) -> SelectionResult:
    """Select the robust model of a set; of a large one for little more than a training a model.

    In waves, one instance of every model that is still in is trained, or of those that the rule
    names; then the elimination rule looks at the losses and drops models (Boldyrev, Ratnikov &
    Shevelev 2025, doi:10.1109/ACCESS.2025.3578926, whose Algorithm 1 is ``rule="halving"``). It
    ends when ``n_select`` models are left, when the race is decided, or when the models have
    ``n_instances`` instances each.

    A model is as feasible as its worst instance: it is infeasible once an instance sets a
    constraint above zero (``trial.set_constraint``), or once the ``constraints_func`` of the
    sampler of ``study`` (else of the study that ``models`` is) says so of an instance, shown to it
    as a COMPLETE trial. Infeasible models leave after that wave, and the rule decides as if they
    had not been in the set, as long as ``n_select`` feasible ones are left; else those that
    violate their constraints least in all stay. Where all that are left turn out to be infeasible,
    feasible ones that were dropped come back. If none is feasible, a warning says so.

    Example:
        >>> import optuna_robust as opr
        >>> def objective(trial, instance):
        ...     x = trial.suggest_float("x", -1, 1)
        ...     return (x - 0.5) ** 2 + (0.1 + abs(x)) * instance.rng.normal()
        >>> result = opr.robust_select(objective, {"x": [-0.5, 0.0, 0.5, 1.0]})
        >>> result.best_params, result.n_trainings
        ({'x': 0.0}, 32)

    Args:
        objective:
            ``objective(trial)`` or ``objective(trial, instance)``, returning one loss, as for
            :class:`~optuna_robust.MultiInstanceObjective`. Its trial suggests a model's values,
            and prunes no epochs: ``trial.should_prune()`` is False.
        models:
            A list of models ``[{name: value, …}, …]``, all different; a grid
            ``{name: [values]}``; a search space ``{name: distribution}``; or a study, of which
            the complete and feasible trials are taken, the best first.
        n_models:
            How many models to sample from a search space, or to take of a study (default: all).
            Models that come twice count once.
        sampler:
            Samples from a search space, without being told any value. Default:
            :class:`~optuna.samplers.RandomSampler`, seeded with ``seed``. Seed yours, too: else
            the same call started again draws other models.
        direction:
            ``"minimize"`` or ``"maximize"``. Default: that of ``study`` or of the study that
            ``models`` is, else to minimise.
        criterion:
            What models are ranked by; see :func:`~optuna_robust.criteria.get_criterion`. Default:
            that of ``rule`` if it is an object that has one, else ``"q3+iqr"``.
        rule:
            ``"race"`` (default; drops models that are unlikely to be the best, from the first
            instance on, and trains the likeliest), ``"halving"`` (Algorithm 1),
            ``"sequential-halving"``, a two-sided test of the method's authors (``"welch"``,
            ``"ks"``, ``"mannwhitneyu"``, ``"bartlett"``, ``"levene"``, ``"fligner"``, …) or a
            directed one (``"directed-welch"``, …), which drops a model only if it is worse; see
            :func:`~optuna_robust.elimination.get_rule`.
            Or an object with the methods of
            :class:`~optuna_robust.elimination.EliminationRule`. What is given here, too, must be
            the same as the object has.
        n_instances:
            Most instances of a model. Default: that of ``rule`` if it is an object that has it,
            else 20.
        max_trainings:
            Most instances of all models together, those from the store included; at least one for
            each model. Where they are spent, the selection ends: the race with the models that
            are the best as far as it can tell, another rule, which never trains a part of a wave,
            with all that are left. What idle workers (``n_jobs``) train ahead does not count
            before it is needed. Default: no limit.
        n_warmup_instances:
            k: no elimination on the first k instances; not for the race. Default: 4, or less if
            there are no more than 4 instances.
        n_select:
            How many models are selected; a rule that would keep fewer keeps the best so many. The
            race ends when they hold one within the tolerance of the best. If there are no more
            models, one, say, each gets ``n_instances``. Default: that of ``rule`` if it is an
            object that has it, else 1.
        alpha:
            Error rate of the race: the probability that no model within ``tolerance`` of the best
            is selected; on average over sets of models a quarter of it, which leaves room for
            sets that are hard to tell. For tests, their level. Default: 0.05; not for halving.
        tolerance:
            For the race only: how much worse than the best a model may be, in units of the
            criterion. With 0, the default, models that are nearly equal cost most of the
            trainings.
        informed:
            Whether the race is informed by the models' hyperparameters: how good a model is, is
            told by its own losses and by those of models that are like it, as far as that proves
            right; see :class:`~optuna_robust.elimination.RaceRule`. Default: True for
            ``rule="race"``; the other rules take none. With fewer than a dozen models it changes
            nothing.
        reduction_factor:
            For halvings only: one of so many models is kept. Default: 2.
        reshuffle:
            Give every model instances of its own instead of common ones.
        on_failure:
            What an instance counts as that raises an exception or returns NaN or infinity:
            ``"worst"`` (default) the worst possible loss, ``"drop"`` nothing, ``"raise"`` an
            error. Exceptions are raised whatever this says until an instance has succeeded, and
            NameError, ImportError and SyntaxError, which are no model's fault, always. The first
            failure of each kind is logged as a warning, with its traceback. With ``"drop"``
            models that fail have fewer losses, which look more stable.
        max_failures:
            A model is removed when more than this share of ``n_instances`` failed.
        vary:
            Sources of variation that differ between instances; see
            :class:`~optuna_robust.Instance`.
        seed:
            All instances' seeds come from it.
        seed_function:
            Called with ``instance.seed`` before every instance, to seed other libraries.
        n_jobs:
            How many instances are trained at a time: 1 (default) in this process, more in
            processes of their own, -1 as many as there are cores. The result is the same.
        executor:
            Any :class:`concurrent.futures.Executor` that trains the instances instead; it gets
            ``n_jobs`` at a time. 1: as many as it has workers, or, if it does not tell (Dask's
            does not), as this machine has cores.
        instance_timeout:
            How long an instance may take, seconds; then it failed. As in
            :class:`~optuna_robust.MultiInstanceObjective`. Default: None, as long as it likes.
        store:
            An :class:`~optuna_robust.InstanceStore` that keeps every instance, and knows those
            that were trained before; a selection that was killed goes on from it. Default: none,
            so that two calls share nothing.
        instances_per_call:
            For an objective that takes several instances: how many of a model it gets at each
            call; those that are not needed are kept in the store, and do not count. Default:
            those that are needed, one for a model and wave, or all of a warm-up.
        study:
            Gets every model as a trial: COMPLETE if it survives, else PRUNED.
        train_survivors:
            Train the survivors on until they have ``n_instances``.
        show_progress_bar:
            Show one.
        callbacks:
            Each is called with every :class:`~optuna_robust._search.selection.Step`.

    Returns:
        The best model, and how it was found.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, unknown, has no effect with ``rule``, or does
            not fit the others, the store or the study; before anything is trained. Or the
            objective asks for a hyperparameter that a model does not have, or from a range in
            which its value is not; or (when each model has an instance) it suggests a name of a
            grid or a search space for no model.
        RuntimeError: If the objective raised ``TrialPruned`` for every model.
    """
    check_unwrapped(objective)
    evaluator = Evaluator(
        objective,
        seed_function,
        instance_timeout=check_instance_timeout(instance_timeout, executor),
    )
    reshuffle = check_flag("reshuffle", reshuffle)
    check_flag("train_survivors", train_survivors)
    check_flag("show_progress_bar", show_progress_bar)
    seed = check_count("seed", seed, minimum=0)
    sources = check_sources(vary)
    shared = shared_options(rule, criterion=criterion, n_instances=n_instances, n_select=n_select)
    chosen, n_instances, n_select = shared
    check_min_instances(chosen, n_instances)
    warn_of_luck(chosen)
    check_choice("on_failure", on_failure, FAILURE_POLICIES)
    check_between("max_failures", max_failures, 0.0, 1.0, closed=True)
    n_jobs = check_workers(n_jobs, executor)
    check_store(store)
    per_call = check_instances_per_call(
        instances_per_call,
        takes_several=evaluator.takes_several,
        in_this_process=n_jobs == 1 and executor is None,
    )
    check_informed(rule, informed)
    eliminates = chosen_rule(
        rule,
        shared,
        given(
            n_warmup_instances=n_warmup_instances,
            alpha=alpha,
            tolerance=tolerance,
            reduction_factor=reduction_factor,
        ),
        reshuffle=reshuffle,
    )
    callbacks = check_callbacks(callbacks)
    chosen_from = model_set(models, n_models=n_models, sampler=sampler, seed=seed)
    eliminates = informed_rule(rule, eliminates, chosen_from, informed=informed)
    maximises = is_maximised(direction, models, study)
    if n_select > len(chosen_from):
        raise ValueError(f"n_select={n_select} is more than the {len(chosen_from)} models.")
    if max_trainings is not None:
        check_count("max_trainings", max_trainings, minimum=1)
        if max_trainings < len(chosen_from):
            raise ValueError(
                f"max_trainings={max_trainings} is less than one for each of the "
                f"{len(chosen_from)} models."
            )

    seen = study_seen(models, study, maximises=maximises)

    def make_job(model: int, number: int) -> Job:
        instance = shared_instance(number, seed, sources, model if reshuffle else None)
        return Job(
            chosen_from.params[model],
            instance,
            model,
            seen,
            distributions=chosen_from.distributions[model],
        )

    # Without anything to eliminate, only training says which is the best.
    train_survivors = train_survivors or n_select == len(chosen_from)
    source = models if study is None and isinstance(models, Study) else study
    computed = ComputedConstraints(source)

    def computed_constraints(model: int, record: ModelRecord, outcome: Outcome) -> Sequence[float]:
        return computed.of(
            chosen_from.params[model],
            outcome,
            record.latest_attrs(),
            chosen_from.distributions[model],
        )

    sign = -1 if maximises else 1
    options = RaceOptions(
        n_instances,
        n_select,
        chosen,
        sign,
        on_failure,
        float(max_failures),
        max_trainings,
        per_call,
    )
    settings = Settings(seed, sources, reshuffle, n_instances, on_failure, (chosen.name,))
    if study is not None:
        check_settings(study, settings)
    with (
        open_pool(
            evaluator,
            n_jobs=n_jobs,
            executor=executor,
            store=store,
            raise_failures=on_failure == "raise",
            seed=seed,
            vary=sources,
        ) as pool,
        tqdm(
            total=expected_instances(
                eliminates, len(chosen_from), n_instances, max_trainings, train_survivors
            ),
            unit=" instances",
            disable=not show_progress_bar,
            mininterval=seconds_between_updates(),
        ) as bar,
    ):
        race = Race(
            len(chosen_from),
            make_job=make_job,
            pool=pool,
            rule=eliminates,
            options=options,
            on_instance=bar.update,
            computed_constraints=computed_constraints,
        )
        listeners = _Listeners(
            None
            if study is None
            else SelectionTrials(study, settings, chosen_from, race, options),
            callbacks,
            bar,
        )
        steps = _run(race, listeners, chosen_from, train_survivors=train_survivors)
    best = race.best()
    shown = tuple(
        own_choices(params, record.distributions)
        for params, record in zip(chosen_from.params, race.records, strict=True)
    )
    violations = tuple(race.violations().tolist())
    if violations[best] > 0.0:
        warnings.warn(
            f"No model is feasible: the best one, model {best} with {shown[best]}, "
            f"violates its constraints by {violations[best]:.6g}.",
            stacklevel=2,
        )
    return SelectionResult(
        best_params=dict(shown[best]),
        best_index=best,
        models=shown,
        losses=sign * race.oriented,
        values=sign * race.scores(),
        survivors=race.alive,
        steps=tuple(steps),
        n_trainings=sum(len(record.losses) - record.n_reused for record in race.records),
        n_reused=sum(record.n_reused for record in race.records),
        seconds=math.fsum(step.seconds for step in steps),
        failures={
            model: record.failures for model, record in enumerate(race.records) if record.failures
        },
        criterion=chosen.name,
        rule=eliminates.name,
        direction=DIRECTIONS[maximises],
        settings={
            "seed": seed,
            "vary": list(sources),
            "reshuffle": reshuffle,
            "n_instances": n_instances,
            "on_failure": on_failure,
            **kept_study(seen),
        },
        violations=violations,
        tolerance=getattr(eliminates, "tolerance", 0.0),
        failure_kinds=count_kinds(
            kind for record in race.records for kind in record.failure_kinds.values()
        ),
    )


@dataclass(frozen=True)
class _Listeners:
    """What every step is shown to: the study, callbacks, the progress bar."""

    trials: SelectionTrials | None
    callbacks: Sequence[Callable[[Step], object]]
    bar: Any

    def step(self, step: Step) -> None:
        self.bar.set_postfix_str(
            f"step {step.step}, {len(step.kept)} models left, best {step.incumbent_value:.5g}"
        )
        if self.trials is not None:
            for model, reason in step.removed.items():
                self.trials.add(model, reason)
        for callback in self.callbacks:
            callback(step)

    def survivors(self, models: Iterable[int]) -> None:
        if self.trials is not None:
            for model in models:
                self.trials.add(model, None)


def _run(
    race: Race, listeners: _Listeners, models: ModelSet, *, train_survivors: bool
) -> list[Step]:
    steps: list[Step] = []
    rest = race.train_survivors() if train_survivors else race.give_the_best_a_value()
    for step in itertools.chain(race.eliminate(), rest):
        if not steps:  # each model has an instance now
            check_suggested(models, race.records)
        steps.append(step)
        listeners.step(step)
    listeners.survivors(race.alive)
    return steps
