"""The confirmation: what the best models are worth on fresh instances."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
import itertools
import math
from typing import Any
from typing import TYPE_CHECKING
import warnings

import numpy as np
from optuna.study import Study
from tqdm.auto import tqdm

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count
from optuna_robust._base.arguments import check_effect
from optuna_robust._base.arguments import check_flag
from optuna_robust._base.arguments import FAILURE_POLICIES
from optuna_robust._base.arguments import given
from optuna_robust._base.arrays import FloatArray
from optuna_robust._base.progress import seconds_between_updates
from optuna_robust._instances.constraints import ComputedConstraints
from optuna_robust._instances.constraints import least_violating
from optuna_robust._instances.evaluation import check_instance_timeout
from optuna_robust._instances.evaluation import Evaluator
from optuna_robust._instances.evaluation import Job
from optuna_robust._instances.evaluation import link_artifacts
from optuna_robust._instances.failures import count_kinds
from optuna_robust._instances.instance import check_n_instances
from optuna_robust._instances.instance import check_sources
from optuna_robust._instances.instance import FIRST_CONFIRMATION
from optuna_robust._instances.instance import shared_instance
from optuna_robust._instances.instance import SOURCES
from optuna_robust._running.check_store import check_store
from optuna_robust._running.parallel import check_workers
from optuna_robust._running.parallel import open_pool
from optuna_robust._search.confirmation._candidates import Candidate
from optuna_robust._search.confirmation._candidates import Search
from optuna_robust._search.confirmation._candidates import searched
from optuna_robust._search.confirmation._fresh import Fresh
from optuna_robust._search.confirmation._fresh import usable
from optuna_robust._search.confirmation._kept import keep_result
from optuna_robust._search.confirmation._kept import KeptInstances
from optuna_robust._search.confirmation._result import ConfirmationResult
from optuna_robust._search.confirmation._result import ConfirmedModel
from optuna_robust._search.confirmation._result import ConfirmedPair
from optuna_robust._search.objective import check_unwrapped
from optuna_robust._search.selection import SelectionResult
from optuna_robust._statistics.comparison import bootstrap_interval
from optuna_robust._statistics.comparison import compare_pairs
from optuna_robust._statistics.comparison import compare_with_reference
from optuna_robust._statistics.comparison import holm
from optuna_robust._statistics.comparison import Interval
from optuna_robust._statistics.comparison import is_tail
from optuna_robust._statistics.comparison import paired_criterion_test
from optuna_robust._statistics.comparison import probability_of_best
from optuna_robust._statistics.comparison import value_at
from optuna_robust._statistics.criteria import check_min_instances
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import rank_models
from optuna_robust._statistics.criteria import warn_of_luck
from optuna_robust._statistics.identical_losses import identical_losses_message


if TYPE_CHECKING:
    from optuna_robust._running.store import InstanceStore


# Stopping early: the first look, the instances between looks, and the default of alpha.
_FIRST_LOOK, _BETWEEN_LOOKS = 10, 5
_ALPHA = 0.05


def confirm(
    study_or_result: Study | SelectionResult,
    objective: Callable[..., Any],
    *,
    n_models: int = 3,
    n_instances: int = 30,
    criterion: str | Callable[[FloatArray], float] | Criterion | None = None,
    confidence: float = 0.95,
    stop_early: bool = False,
    alpha: float | None = None,
    on_failure: str | None = None,
    vary: Iterable[str] | None = None,
    seed: int | None = None,
    seed_function: Callable[[int], object] | None = None,
    n_jobs: int = 1,
    executor: Executor | None = None,
    instance_timeout: float | None = None,
    store: InstanceStore | None = None,
    show_progress_bar: bool = False,
) -> ConfirmationResult:
    """Train the best models of a search on fresh instances, and say what they are worth.

    The number that won a search is the best of many, and therefore better than what the model is
    worth. Fresh instances, of seeds that no search uses, tell how much. That is unbiased over
    instances; over data only if the objective judges them by data that the search has not seen,
    which it can tell by ``instance.phase == "confirmation"``.

    Feasible models go before infeasible ones, and these by how much they violate their constraints
    in all; a model is as feasible as its worst fresh instance. Constraints are those that the
    objective sets (``trial.set_constraint``) and, of a study, those that the ``constraints_func``
    of its sampler computes of a COMPLETE trial for each instance. If none is feasible, a warning
    says so.

    Example:
        >>> import optuna
        >>> import optuna_robust as opr
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def objective(trial, instance=opr.Instance(0)):
        ...     x = trial.suggest_float("x", -1, 1)
        ...     return x**2 + 0.2 * instance.rng.normal()
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(lambda trial: objective(trial, opr.Instance(trial.number)), n_trials=40)
        >>> result = opr.confirm(study, objective, n_models=2)
        >>> result.losses.shape, result.models[0].optimism > 0
        ((2, 30), True)

    Args:
        study_or_result:
            A study, also one that was run without this package, of which the complete and feasible
            trials are taken; or the result of :func:`~optuna_robust.robust_select`, of which the
            survivors come first, then the models that were removed last; infeasible ones are taken
            only where none is feasible.
        objective:
            ``objective(trial)`` or ``objective(trial, instance)``, as in the search; not the
            :class:`~optuna_robust.MultiInstanceObjective` around it. No epochs are pruned:
            ``trial.should_prune()`` is False.
        n_models:
            How many of the best models; if there are fewer, all. Models that come twice count
            once.
        n_instances:
            Fresh instances of each. Their numbers start at 1 000 000, above those of any search.
        criterion:
            What the models are compared by. Default: that of the search; ``"q3+iqr"`` for a study
            of one training a model.
        confidence:
            Nominal coverage of the intervals.
        stop_early:
            Stop when the test of the pairs tells the best model from each other one, after 10,
            15, 20, … instances (Holm's correction for the models, Bonferroni's for the looks).
            What was stopped looks somewhat clearer than it is: intervals and p-values do not know
            of the looks. A single model has no order, and gets all instances.
        alpha:
            Error rate of ``stop_early``, and only with it. Default: 0.05.
        on_failure:
            As in :func:`~optuna_robust.robust_select`. Default: as in the search, else
            ``"worst"``. With ``"drop"`` models are ranked by what they are expected to be at the
            least number of instances that one of them has; ``probability_best`` favours those
            that fail.
        vary:
            Sources of variation that differ between instances. Default: as in the search, else
            all.
        seed:
            All instances' seeds come from it. Default: as in the search, else 0.
        seed_function:
            Called with ``instance.seed`` before every instance, to seed other libraries.
        n_jobs:
            As in :func:`~optuna_robust.robust_select`.
        executor:
            As there.
        instance_timeout:
            As there.
        store:
            Keeps the instances, and knows those that were trained before. Default: a study keeps
            them itself; confirmed again by the same objective with the same ``seed`` and
            ``vary``, only what is missing is trained, and a line is logged. An objective is known
            again by its code and by what it held (arguments, closure, attributes) when it was
            first used in this process; what it reads from globals or files, and the code of other
            modules, cannot be seen: if that has changed, use another ``seed`` to train new
            instances.
        show_progress_bar:
            Show one.

    Returns:
        The models' confirmed values with intervals, their optimism, and how they compare. A study
        keeps it, too, in its user attribute ``robust:confirmation``: the larger one of two of the
        same models.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range or unknown, the study has no complete trial or
            several objectives, or the store has instances of another seed or ``vary``; before
            anything is trained. Or the objective asks for a hyperparameter that a model does not
            have, or from a range in which its value is not.
    """
    check_unwrapped(objective)
    evaluator = Evaluator(
        objective,
        seed_function,
        instance_timeout=check_instance_timeout(instance_timeout, executor),
    )
    search = searched(study_or_result)
    n_models = check_count("n_models", n_models, minimum=1)
    n_instances = check_n_instances(n_instances)
    chosen = search.chosen(criterion)
    check_min_instances(chosen, n_instances)
    warn_of_luck(chosen)
    confidence = check_between("confidence", confidence, 0.0, 1.0)
    stop_early = check_flag("stop_early", stop_early)
    show_progress_bar = check_flag("show_progress_bar", show_progress_bar)
    check_effect(given(alpha=alpha), ["alpha"] if stop_early else [], f"{stop_early=}")
    alpha = check_between("alpha", _ALPHA if alpha is None else alpha, 0.0, 1.0)
    if on_failure is None:
        on_failure = search.settings.get("on_failure", "worst")
    check_choice("on_failure", on_failure, FAILURE_POLICIES)
    sources = check_sources(search.settings.get("vary", SOURCES) if vary is None else vary)
    seed = check_count("seed", search.settings.get("seed", 0) if seed is None else seed, minimum=0)
    n_jobs = check_workers(n_jobs, executor)
    check_store(store)
    candidates = search.candidates[:n_models]
    identity = evaluator.identity  # before it is called, which may change it

    def make_job(candidate: Candidate, position: int) -> Job:
        number = FIRST_CONFIRMATION + position
        instance = shared_instance(number, seed, sources, phase="confirmation")
        return Job(
            candidate.params,
            instance,
            candidate.index,
            search.study,
            distributions=candidate.distributions,
        )

    with (
        open_pool(
            evaluator,
            n_jobs=n_jobs,
            executor=executor,
            store=store,
            raise_failures=on_failure == "raise",
            seed=seed,
            vary=sources,
            phase="confirmation",
        ) as pool,
        tqdm(
            total=len(candidates) * n_instances,
            unit=" instances",
            disable=not show_progress_bar,
            mininterval=seconds_between_updates(),
        ) as bar,
    ):
        kept = None
        if isinstance(study_or_result, Study) and store is None:
            kept = KeptInstances(study_or_result, identity, seed, sources)
        fresh = Fresh(
            candidates,
            search.sign,
            drops=on_failure == "drop",
            known=usable({} if kept is None else kept.outcomes(), on_failure),
            computed=ComputedConstraints(
                study_or_result if isinstance(study_or_result, Study) else None
            ),
        )
        may_stop = stop_early and len(candidates) > 1
        looks = range(_FIRST_LOOK, n_instances if may_stop else 0, _BETWEEN_LOOKS)
        try:
            for upto in (*looks, n_instances):
                jobs = [
                    (row, make_job(candidate, position))
                    for position in range(fresh.n_instances, upto)
                    for row, candidate in enumerate(candidates)
                ]
                for outcome in fresh.train(jobs, pool):
                    link_artifacts(search.study, outcome.system_attrs)
                    bar.update()
                eligible = fresh.oriented()[least_violating(fresh.violations())]
                if upto < n_instances and _is_clear(eligible, chosen, alpha / len(looks)):
                    break
        finally:  # an interrupted one goes on with what it has
            if kept is not None:
                kept.add(fresh.outcomes)
    if kept is not None:
        kept.tell_of_reused(fresh.n_reused)
    result = _result(
        search,
        candidates,
        fresh,
        criterion=chosen,
        confidence=confidence,
        n_instances=n_instances,
    )
    if isinstance(study_or_result, Study):
        keep_result(study_or_result, result, identity)
    return result


def _is_clear(oriented: FloatArray, criterion: Criterion, alpha: float) -> bool:
    """Return True if the best of several models is told from each other one."""
    if len(oriented) == 1:
        return False
    best, *others = rank_models(_scores(oriented, criterion))
    p_values = [
        paired_criterion_test(oriented[best], oriented[other], criterion).p_value
        for other in others
    ]
    return bool(np.all(holm(p_values) <= alpha))


def _scores(oriented: FloatArray, criterion: Criterion) -> FloatArray:
    """Return what models are ranked by: values of equally many instances, if some were dropped."""
    scores = criterion.score(oriented)
    counts = np.count_nonzero(~np.isnan(oriented), axis=1)
    n_equal = counts[~np.isnan(scores)].min(initial=oriented.shape[1])
    for row in np.flatnonzero(np.isfinite(scores) & (counts > n_equal)):
        scores[row] = value_at(oriented[row], criterion, n_equal)
    return scores


def _result(
    search: Search,
    candidates: tuple[Candidate, ...],
    fresh: Fresh,
    *,
    criterion: Criterion,
    confidence: float,
    n_instances: int,
) -> ConfirmationResult:
    oriented, sign = fresh.oriented(), search.sign
    candidates = tuple(
        replace(each, params=fresh.params(row)) for row, each in enumerate(candidates)
    )
    for candidate, losses in zip(candidates, oriented, strict=True):
        message = identical_losses_message(
            losses[~np.isnan(losses)], f"the model {candidate.params}", n_instances, sign
        )
        if message is not None:
            warnings.warn(message, stacklevel=3)
    violations = fresh.violations()
    eligible = least_violating(violations)
    probabilities = np.zeros(len(oriented))
    probabilities[eligible] = probability_of_best(oriented[eligible], criterion)
    models = tuple(
        _confirmed(
            candidate,
            losses,
            criterion=criterion,
            confidence=confidence,
            sign=sign,
            drops=fresh.drops,
            probability=float(probability),
            violation=float(violation),
        )
        for candidate, losses, probability, violation in zip(
            candidates, oriented, probabilities, violations, strict=True
        )
    )
    best = int(eligible[rank_models(_scores(oriented[eligible], criterion))[0]])
    if violations[best] > 0.0:
        warnings.warn(
            f"No confirmed model is feasible: the best one, {models[best].params}, violates its "
            f"constraints by {violations[best]:.6g} on fresh instances.",
            stacklevel=3,
        )
    return ConfirmationResult(
        best_params=models[best].params,
        best_index=best,
        models=models,
        pairs=_pairs(eligible.tolist(), oriented, criterion, confidence, sign),
        losses=sign * oriented,
        instance_numbers=tuple(range(FIRST_CONFIRMATION, FIRST_CONFIRMATION + fresh.n_instances)),
        n_trainings=fresh.n_trainings,
        n_reused=fresh.n_reused,
        seconds=fresh.seconds,
        failures=fresh.failures,
        criterion=criterion.name,
        confidence=confidence,
        direction=search.direction,
        stopped_early=fresh.n_instances < n_instances,
        failure_kinds=count_kinds(fresh.kinds),
    )


def _confirmed(
    candidate: Candidate,
    losses: FloatArray,
    *,
    criterion: Criterion,
    confidence: float,
    sign: int,
    drops: bool,
    probability: float,
    violation: float,
) -> ConfirmedModel:
    interval = (
        Interval(math.nan, math.nan)
        if is_tail(criterion)
        else bootstrap_interval(losses, criterion, confidence=confidence)
    )
    optimism = candidate.optimism(losses, criterion, sign=sign, drops=drops)
    return ConfirmedModel(
        candidate.params,
        candidate.index,
        candidate.search_value,
        sign * float(criterion.score(losses)),
        _oriented_back(interval, sign),
        *optimism,
        probability,
        violation,
    )


def _oriented_back(interval: Interval, sign: int) -> Interval:
    return interval if sign > 0 else Interval(0.0 - interval.high, 0.0 - interval.low)  # no -0.0


def _pairs(
    models: Sequence[int],
    oriented: FloatArray,
    criterion: Criterion,
    confidence: float,
    sign: int,
) -> tuple[ConfirmedPair, ...]:
    couples = list(itertools.combinations(models, 2))
    compared = compare_pairs(oriented[list(models)], criterion, confidence=confidence)
    level, spread = (
        [
            float(compare_with_reference(oriented[[first]], oriented[second], test)[0])
            for first, second in couples
        ]
        for test in ("wilcoxon", "pitman-morgan")
    )
    p_values = zip(*map(holm, ([pair.p_value for pair in compared], level, spread)), strict=True)
    return tuple(
        ConfirmedPair(
            first,
            second,
            0.0 + sign * pair.difference,  # no -0.0
            _oriented_back(pair.interval, sign),
            pair.p_value,
            float(p_adjusted),
            float(p_level),
            float(p_spread),
        )
        for (first, second), pair, (p_adjusted, p_level, p_spread) in zip(
            couples, compared, p_values, strict=True
        )
    )
