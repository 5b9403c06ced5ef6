"""A pruner that stops trials on what their instances show."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
import math
import threading
from typing import Any
from typing import TYPE_CHECKING
import weakref

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import StudyDirection

from optuna_robust.arguments import check_between
from optuna_robust.arguments import check_choice
from optuna_robust.arguments import check_count
from optuna_robust.comparison import get_test
from optuna_robust.comparison import instances_to_reject
from optuna_robust.comparison import std_lower_bound
from optuna_robust.comparison import TESTS
from optuna_robust.criteria import Criterion
from optuna_robust.criteria import FloatArray
from optuna_robust.criteria import get_criterion
from optuna_robust.criteria import identical
from optuna_robust.criteria import is_better
from optuna_robust.elimination import DIRECTED_PREFIX
from optuna_robust.elimination import get_rule
from optuna_robust.elimination import is_rung
from optuna_robust.elimination import n_kept
from optuna_robust.trials import FinishedTrials
from optuna_robust.trials import is_recorded
from optuna_robust.trials import oriented_losses


if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


PRUNER_RULES: tuple[str, ...] = ("halving", "race", *(DIRECTED_PREFIX + test for test in TESTS))
_HALVING_WARMUP = 0
_OTHER_WARMUP = 2


class RobustnessPruner(BasePruner):
    """Pruner that compares trials on the losses of the same instances, spread included.

    A step is an instance: one training of the trial's model. Use it with
    :class:`~optuna_robust.MultiInstanceObjective`, or alone with
    ``trial.report(loss, step=instance_number)``, where the reported value is the raw loss of that
    instance and instance ``i`` has the same seed and training sample in every trial.

    A trial is compared with the finished trials (COMPLETE and PRUNED) that have all of its
    instances. Failed, running and waiting trials do not count, and beside trials of
    ``MultiInstanceObjective`` neither do trials without recorded losses, whose intermediate
    values may be a learning curve. A failed instance, and a loss that is NaN or infinite, is the
    worst possible loss.

    Example:
        >>> import optuna
        >>> import optuna_robust as opr
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def objective(trial, instance):
        ...     x = trial.suggest_float("x", -1, 1)
        ...     return x**2 + 0.1 * instance.rng.normal()
        >>> study = optuna.create_study(
        ...     sampler=optuna.samplers.TPESampler(seed=0), pruner=opr.RobustnessPruner()
        ... )
        >>> study.optimize(opr.MultiInstanceObjective(objective, n_instances=8), n_trials=20)
        >>> len(study.best_trial.user_attrs["robust:losses"])
        8

    Args:
        criterion:
            What the losses of a trial are judged by, a name or a callable; see
            :func:`~optuna_robust.criteria.get_criterion`. Default: ``"q3+iqr"``.
        rule:
            - ``"halving"`` (default): asynchronous halving. At k + 1, eta (k + 1),
              eta² (k + 1), … instances, with k = ``n_warmup_instances`` and
              eta = ``reduction_factor``, a trial goes on if it is in the best 1 / eta of the
              ``n_recent_trials`` trials that got so far and finished last (Li et al. 2020,
              arXiv:1810.05934, Algorithm 2, as a rule for stopping); a tie counts half. With one
              instance a criterion of level and spread is the loss itself.
            - ``"directed-"`` and a test (``welch``, ``student``, ``paired-t``, ``mannwhitneyu``,
              ``ks``, ``wilcoxon`` for level; ``bartlett``, ``levene``, ``fligner``,
              ``pitman-morgan`` for spread): after every instance past the warm-up, a trial is
              stopped if it is significantly worse than the best COMPLETE trial on the same
              instances, and its criterion is worse, too. Paired tests need common instances.
            - None: only the limits on spread.
        n_warmup_instances:
            k: no pruning on the first k instances. Default: 0 for halving, so that it looks at 1,
            2, 4, 8, … instances; 2 for tests, or as many as a rank test needs before it can
            reject at all; 2 for limits alone. Limits beside a rule act after the same warm-up.
        n_startup_trials:
            Pruning against other trials starts when so many COMPLETE trials have the instances
            in question. Default: 2.
        alpha:
            Level of a test, and of the confidence bound that limits on spread are held against;
            each look has this level. Default: 0.05.
        reduction_factor:
            eta of the halving, greater than 1. Default: 2.
        n_recent_trials:
            Halving ranks a trial among so many trials before it; None: among all. A sampler gets
            better, and late suggestions are nearly always in the better half of everything that
            it ever suggested, so that against all trials few are stopped. Default: 8.
        max_spread:
            Stop a trial whose standard deviation is greater than this limit, in units of the
            loss. Its lower confidence bound is compared
            (:func:`~optuna_robust.comparison.std_lower_bound`), since a spread from few instances
            is uncertain: from 3 instances the estimate must be 1.7 times the limit. A failed
            instance that counts as the worst is infinitely far. Default: no limit.
        max_relative_spread:
            The same for the standard deviation relative to the absolute value of the mean.
            Default: no limit.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If a criterion or rule is unknown, the rule is two-sided, or a number is out
            of range.
    """

    def __init__(
        self,
        criterion: str | Callable[[FloatArray], float] | Criterion = "q3+iqr",
        rule: str | None = "halving",
        *,
        n_warmup_instances: int | None = None,
        n_startup_trials: int = 2,
        alpha: float = 0.05,
        reduction_factor: float = 2.0,
        n_recent_trials: int | None = 8,
        max_spread: float | None = None,
        max_relative_spread: float | None = None,
    ) -> None:
        self._criterion = get_criterion(criterion)
        self._rule = _check_rule(rule)
        self._alpha = check_between("alpha", alpha, 0.0, 1.0)
        self._reduction_factor = check_between("reduction_factor", reduction_factor, 1.0, math.inf)
        self._n_recent_trials = (
            None
            if n_recent_trials is None
            else check_count("n_recent_trials", n_recent_trials, minimum=1)
        )
        self._n_startup_trials = check_count("n_startup_trials", n_startup_trials, minimum=0)
        self._max_spread = _check_limit("max_spread", max_spread)
        self._max_relative_spread = _check_limit("max_relative_spread", max_relative_spread)
        if rule is None and max_spread is None and max_relative_spread is None:
            raise ValueError("rule=None prunes nothing without max_spread or max_relative_spread.")
        self._n_warmup_instances = (
            self._default_warmup()
            if n_warmup_instances is None
            else check_count("n_warmup_instances", n_warmup_instances, minimum=0)
        )
        self._test = None
        if self._rule is not None and self._rule not in ("halving", "race"):
            self._test = get_rule(
                self._rule,
                criterion=self._criterion,
                n_warmup_instances=self._n_warmup_instances,
                alpha=self._alpha,
            )
        self._forget()

    @property
    def criterion(self) -> Criterion:
        """What the losses of a trial are judged by."""
        return self._criterion

    @property
    def n_warmup_instances(self) -> int:
        """Number of first instances without pruning."""
        return self._n_warmup_instances

    @property
    def tests_incumbent(self) -> bool:
        """Whether the rule compares with one best trial."""
        return self._test is not None

    @property
    def pairs_instances(self) -> bool:
        """Whether the rule is a paired test, which needs common instances."""
        return (
            self._test is not None
            and get_test(str(self._rule).removeprefix(DIRECTED_PREFIX)).paired
        )

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Judge whether the trial should be pruned; called by ``trial.should_prune()``."""
        sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
        return self.stops(
            study,
            trial.number,
            oriented_losses(trial, sign),
            sign=sign,
            recorded=is_recorded(trial),
        )

    def stops(
        self,
        study: Study,
        number: int,
        losses: Mapping[int, float],
        *,
        sign: int,
        recorded: bool,
        objectives: Sequence[Criterion] = (),
    ) -> bool:
        """Judge whether a trial with these losses should be stopped.

        Args:
            study:
                The study whose finished trials are compared.
            number:
                Number of the trial.
            losses:
                Its oriented losses by instance number.
            sign:
                -1 if losses are maximised, else 1.
            recorded:
                Whether only trials with recorded losses are compared.
            objectives:
                In a multi-objective study, the criteria of its objectives: halving then counts the
                trials that dominate this one (Fonseca & Fleming 1993).
        """
        instances = tuple(sorted(losses))
        if len(instances) <= self._n_warmup_instances:
            return False
        values = np.array([losses[instance] for instance in instances])
        if self._is_too_wide(values):
            return True
        if self._rule is None or not self._looks_at(len(instances)):
            return False
        with self._lock:
            finished = self._finished_trials(study, number, sign)
            if self._rule == "race":
                from optuna_robust.pruner import _race

                st = study.user_attrs.get("robust:settings", {})
                field = _race.make_field(
                    finished,
                    instances,
                    values,
                    n_instances=st.get("n_instances"),
                    n_startup_trials=self._n_startup_trials,
                    criterion=self._criterion,
                    recorded=recorded,
                )
                return field is not None and bool(
                    _race.is_out(field, self._criterion, self._alpha, 0.0, True)
                )
            if self._test is None:
                criteria = tuple(objectives) or (self._criterion,)
                return self._is_halved(finished, instances, values, criteria, recorded)
            return self._is_rejected(finished, instances, values, recorded)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what was read from studies: it is read again."""
        state = self.__dict__.copy()
        for name in ("_lock", "_finished", "_read_for"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the arguments."""
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._finished: weakref.WeakKeyDictionary[Study, FinishedTrials] = (
            weakref.WeakKeyDictionary()
        )
        self._read_for: weakref.WeakKeyDictionary[Study, set[int]] = weakref.WeakKeyDictionary()

    def _default_warmup(self) -> int:
        if self._rule in ("halving", "race"):
            return _HALVING_WARMUP
        if self._rule is None:
            return _OTHER_WARMUP
        test = self._rule.removeprefix(DIRECTED_PREFIX)
        needed = instances_to_reject(test, self._alpha, "greater")
        return max(_OTHER_WARMUP, (needed or 1) - 1)

    def _looks_at(self, n_instances: int) -> bool:
        if self._rule == "race":
            return True
        if self._test is not None:
            return self._test.eliminates_at(n_instances)
        return is_rung(n_instances, self._n_warmup_instances, self._reduction_factor)

    def _finished_trials(self, study: Study, number: int, sign: int) -> FinishedTrials:
        """Return the finished trials, read from the storage once for every trial that asks."""
        finished = self._finished.setdefault(study, FinishedTrials(sign))
        read_for = self._read_for.setdefault(study, set())
        if number not in read_for:
            read_for.add(number)
            finished.update(study)
        return finished

    def _is_too_wide(self, values: FloatArray) -> bool:
        if (self._max_spread is None and self._max_relative_spread is None) or identical(values):
            return False
        bound = float(std_lower_bound(values, self._alpha))
        limit = math.inf if self._max_spread is None else self._max_spread
        if self._max_relative_spread is not None and np.isfinite(values).all():
            limit = min(limit, self._max_relative_spread * abs(float(values.mean())))
        return bound > limit or math.isinf(bound)

    def _is_halved(
        self,
        finished: FinishedTrials,
        instances: tuple[int, ...],
        values: FloatArray,
        criteria: Sequence[Criterion],
        recorded: bool,
    ) -> bool:
        criteria = [_defined(criterion, len(instances)) for criterion in criteria]
        others = np.stack(
            [finished.scores(instances, each, recorded=recorded) for each in criteria], axis=1
        )
        own = np.array([float(each.score(values)) for each in criteria])
        comparable = ~np.isnan(others).any(axis=1)
        n_complete = np.count_nonzero(comparable & finished.complete())
        if n_complete < self._n_startup_trials or np.isnan(own).any():
            return False
        recent = others[comparable][-(self._n_recent_trials or len(others)) :]
        no_worse = ~is_better(own, recent).any(axis=1)
        tied = no_worse & ~is_better(recent, own).any(axis=1)
        # Ties count half: coarse metrics tie often, and earlier trials must not shut out all
        # later ones that are as good.
        ahead = np.count_nonzero(no_worse) - 0.5 * np.count_nonzero(tied)
        return bool(ahead >= n_kept(len(recent) + 1, self._reduction_factor))

    def _is_rejected(
        self,
        finished: FinishedTrials,
        instances: tuple[int, ...],
        values: FloatArray,
        recorded: bool,
    ) -> bool:
        assert self._test is not None
        incumbent = finished.incumbent_losses(instances, self._criterion, recorded=recorded)
        scores = finished.scores(instances, self._criterion, recorded=recorded)
        n_complete = np.count_nonzero(~np.isnan(scores) & finished.complete())
        if incumbent is None or n_complete < self._n_startup_trials:
            return False
        return 1 in self._test.eliminate(np.stack([incumbent, values])).removed


def _defined(criterion: Criterion, n_instances: int) -> Criterion:
    """Return what to rank by where too few instances define a criterion of level and spread."""
    if criterion.kind == "mixed" and n_instances < criterion.min_instances:
        return get_criterion("mean")
    return criterion


def _check_rule(rule: str | None) -> str | None:
    if rule is None:
        return None
    if isinstance(rule, str) and rule in TESTS:
        raise ValueError(
            f"rule={rule!r} is two-sided: it would also prune trials that are better than the "
            f"best one; use rule='{DIRECTED_PREFIX}{rule}'."
        )
    return check_choice("rule", rule, PRUNER_RULES)


def _check_limit(name: str, limit: float | None) -> float | None:
    return None if limit is None else check_between(name, limit, 0.0, math.inf)
