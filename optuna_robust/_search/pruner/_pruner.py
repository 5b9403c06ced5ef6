"""The pruner: its arguments, what it read from studies, and its rules."""

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

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count
from optuna_robust._base.arguments import check_effect
from optuna_robust._base.arguments import given
from optuna_robust._base.arguments import NOT_GIVEN
from optuna_robust._base.arguments import NotGiven
from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances.trials import is_recorded
from optuna_robust._instances.trials import oriented_losses
from optuna_robust._instances.trials import SETTINGS
from optuna_robust._instances.trials import violation_so_far
from optuna_robust._search.pruner._epochs import EpochsForInstances
from optuna_robust._search.pruner._finished_trials import FinishedTrials
from optuna_robust._search.pruner._halving import TrialHalving
from optuna_robust._search.pruner._informed import inform
from optuna_robust._search.pruner._informed import InformedTrials
from optuna_robust._search.pruner._race import TrialRace
from optuna_robust._statistics.comparison import get_test
from optuna_robust._statistics.comparison import instances_to_reject
from optuna_robust._statistics.comparison import std_lower_bound
from optuna_robust._statistics.comparison import TESTS
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.criteria import identical
from optuna_robust._statistics.criteria import warn_of_luck
from optuna_robust._statistics.elimination import DIRECTED_PREFIX
from optuna_robust._statistics.elimination import IncumbentTest
from optuna_robust._statistics.elimination import is_rung


if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


PRUNER_RULES: tuple[str, ...] = ("halving", "race", *(DIRECTED_PREFIX + test for test in TESTS))
# Rules that look at the first instance already.
_RULES_WITHOUT_WARMUP = ("halving", "race")
_OTHER_WARMUP = 2
# Options that rules take beside criterion and n_warmup_instances; all others are tests.
_OPTIONS: dict[str | None, frozenset[str]] = {
    "halving": frozenset({"n_startup_trials", "reduction_factor", "n_recent_trials"}),
    "race": frozenset({"n_startup_trials", "alpha", "tolerance", "informed", "n_instances"}),
    None: frozenset(),
}
_OF_TESTS = frozenset({"n_startup_trials", "alpha"})
_DEFAULTS = {
    "n_startup_trials": 2,
    "alpha": 0.05,
    "tolerance": 0.0,
    "reduction_factor": 2.0,
    "n_recent_trials": 8,
}


class RobustnessPruner(BasePruner):
    """Pruner that compares trials on the losses of the same instances, spread included.

    A step is an instance: one training of the trial's model. Use it with
    :class:`~optuna_robust.MultiInstanceObjective`, or alone with
    ``trial.report(loss, step=instance_number)``, where the reported value is the raw loss of that
    instance and instance ``i`` has the same seed and training sample in every trial. Alone with an
    objective that reports epochs it would take them for instances; it warns where values get
    better from step to step, from 8 steps on.

    A trial is compared with the finished trials (COMPLETE and PRUNED) that have all of its
    instances; in a race those with fewer count, too. Failed, running and waiting trials do not
    count, and beside trials of ``MultiInstanceObjective`` neither do trials without recorded
    losses, whose intermediate values may be a learning curve. A failed instance, and a loss that
    is NaN or infinite, is the worst possible loss.

    Feasible trials go before infeasible ones, and these by how much they violate their constraints
    in all. A feasible trial is compared with feasible ones alone, so that infeasible ones never
    stop it. One that has set a constraint above zero is behind all trials that violate theirs
    less, and is stopped past the warm-up by a race or a test if there are enough of these. Of
    ``constraints_func`` of the sampler, :class:`~optuna_robust.MultiInstanceObjective` knows after
    each instance what it says; without that wrapper, a trial counts as feasible until it has
    finished.

    In the study of a :class:`~optuna_robust.RobustnessSampler`, whose trials are single trainings,
    it says by which criterion, and stops models beyond ``max_spread`` and ``max_relative_spread``;
    its rule has nothing to stop. A trial that trains instances in a row tries fewer models for
    the same trainings: where the sampler may be chosen, that search is the better one
    (``python -m benchmarks search-cost``). This pruner alone is for studies whose sampler is
    given, for objectives that train many instances of a model at once, and for several objectives
    beside a sampler of fronts.

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
            - ``"race"``: after every instance past the warm-up, a trial is stopped if its chance
              that its criterion over all ``n_instances`` will be within ``tolerance`` of that of
              the best COMPLETE trial is less than ``alpha`` times the chance of a trial that was
              not tried yet. A trial that is so good is then stopped with a probability of at most
              ``alpha``. What missing instances will be is told by the trial's losses so far and
              by the 256 trials that finished last
              (:func:`~optuna_robust.comparison.criterion_posterior`): how noisy losses are, what
              the instances do to all trials, how good trials are at all. One instance is enough
              to stop most trials. While no trial has two finite losses, nothing tells the noise,
              and nothing is stopped; nor is a trial that has all its instances.
            - ``"directed-"`` and a test (``welch``, ``student``, ``paired-t``, ``mannwhitneyu``,
              ``ks``, ``wilcoxon`` for level; ``bartlett``, ``levene``, ``fligner``,
              ``pitman-morgan`` for spread): after every instance past the warm-up, a trial is
              stopped if it is significantly worse than the best COMPLETE trial on the same
              instances, and its criterion is worse, too. Paired tests need common instances.
            - None: only the limits on spread.
        n_warmup_instances:
            k: no pruning on the first k instances. Default: 0 for the race and for halving, which
            so looks at 1, 2, 4, 8, … instances; 2 for tests, or as many as one needs before it
            can reject at all (:func:`~optuna_robust.comparison.instances_to_reject`); 2 for limits
            alone. Limits beside a rule act after the same warm-up. A test that cannot reject
            after the warm-up warns.
        n_startup_trials:
            Pruning against other trials starts when so many COMPLETE trials have the instances
            in question; not with ``rule=None``. Default: 2.
        alpha:
            Level of a test, and of the confidence bound that limits on spread are held against;
            each look has this level. Of the race: the greatest probability, over all looks, that
            a trial is stopped that would have been the best. Not for halving without limits.
            Default: 0.05.
        tolerance:
            Of the race: how much worse than the best a trial may be, in units of the criterion;
            the other rules take none. A search for the best has 0, the default; a greater one
            stops fewer trials.
        informed:
            Of the race: whether hyperparameters count, too: how good a trial will be is told by
            its own losses and by finished trials that are like it, as far as that proves right
            (:func:`~optuna_robust.comparison.fit_informed_levels`). Default: True for
            ``rule="race"``; the other rules take none. With fewer than a dozen trials it changes
            nothing.
        n_instances:
            Of the race: how many instances a trial is going to have; the other rules take none.
            Default: as many as ``MultiInstanceObjective`` trains; alone, as many as a COMPLETE
            trial has at most.
        reduction_factor:
            eta of the halving, greater than 1; the other rules take none. Default: 2.
        n_recent_trials:
            Halving ranks a trial among so many trials before it; None: among all. A sampler gets
            better, and late suggestions are nearly always in the better half of everything that
            it ever suggested, so that against all trials few are stopped. The other rules take
            none. Default: 8.
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
        ValueError: If a criterion or rule is unknown, the rule is two-sided, a number is out of
            range, or an option has no effect with the rule.
    """

    def __init__(
        self,
        criterion: str | Callable[[FloatArray], float] | Criterion = "q3+iqr",
        rule: str | None = "halving",
        *,
        n_warmup_instances: int | None = None,
        n_startup_trials: int | None = None,
        alpha: float | None = None,
        tolerance: float | None = None,
        informed: bool | None = None,
        n_instances: int | None = None,
        reduction_factor: float | None = None,
        n_recent_trials: int | NotGiven | None = NOT_GIVEN,
        max_spread: float | None = None,
        max_relative_spread: float | None = None,
    ) -> None:
        self._criterion = get_criterion(criterion)
        warn_of_luck(self._criterion)
        self._rule = _check_rule(rule)
        self._max_spread = _check_limit("max_spread", max_spread)
        self._max_relative_spread = _check_limit("max_relative_spread", max_relative_spread)
        if rule is None and not self.limits_spread:
            raise ValueError("rule=None prunes nothing without max_spread or max_relative_spread.")
        options = given(
            n_startup_trials=n_startup_trials,
            alpha=alpha,
            tolerance=tolerance,
            informed=informed,
            n_instances=n_instances,
            reduction_factor=reduction_factor,
        )
        if n_recent_trials is not NOT_GIVEN:
            options["n_recent_trials"] = n_recent_trials
        of_limits = {"alpha"} if self.limits_spread else set()
        check_effect(options, _OPTIONS.get(rule, _OF_TESTS) | of_limits, f"rule={rule!r}")
        settings: dict[str, Any] = {**_DEFAULTS, **options}
        self._alpha = check_between("alpha", settings["alpha"], 0.0, 1.0)
        self._n_startup_trials = check_count(
            "n_startup_trials", settings["n_startup_trials"], minimum=0
        )
        n_recent = settings["n_recent_trials"]
        self._halving = TrialHalving(
            check_between("reduction_factor", settings["reduction_factor"], 1.0, math.inf),
            None if n_recent is None else check_count("n_recent_trials", n_recent, minimum=1),
            self._n_startup_trials,
        )
        self._has_default_warmup = n_warmup_instances is None
        self._n_warmup_instances = (
            self._default_warmup()
            if n_warmup_instances is None
            else check_count("n_warmup_instances", n_warmup_instances, minimum=0)
        )
        tolerance = check_between("tolerance", settings["tolerance"], 0.0, math.inf, closed=True)
        if informed is not None and not isinstance(informed, bool):
            raise TypeError(f"informed must be True or False, but was {informed!r}.")
        self._is_informed = self._rule == "race" and informed is not False
        self._race = None
        if self._rule == "race":
            self._race = TrialRace(
                self._criterion,
                self._alpha,
                tolerance,
                n_instances,
                self._n_startup_trials,
                self._n_warmup_instances,
            )
        self._test = None
        if self._rule is not None and self._rule not in _RULES_WITHOUT_WARMUP:
            self._test = IncumbentTest(
                test=self._rule.removeprefix(DIRECTED_PREFIX),
                directed=True,
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
    def n_instances(self) -> int | None:
        """How many instances a trial shall have, if the race was told."""
        return None if self._race is None else self._race.n_instances

    @property
    def tests_incumbent(self) -> bool:
        """Whether the rule compares with one best trial."""
        return self._test is not None or self._race is not None

    @property
    def limits_spread(self) -> bool:
        """Whether it has a limit on the spread."""
        return self._max_spread is not None or self._max_relative_spread is not None

    @property
    def pairs_instances(self) -> bool:
        """Whether the rule is a paired test, which needs common instances."""
        return self._test is not None and get_test(self._test.test).paired

    def check_reach(self, n_instances: int) -> None:
        """Check that the warm-up leaves something to prune; warn if a test can never reject.

        Args:
            n_instances:
                How many instances trials have.

        Raises:
            ValueError: If it does not, and no test is the reason.
        """
        if self._n_warmup_instances >= n_instances and not self._waits_in_vain(n_instances):
            default = "the default " if self._has_default_warmup else ""
            raise ValueError(
                f"{default}n_warmup_instances={self._n_warmup_instances} of the study's "
                f"RobustnessPruner leaves nothing to prune of n_instances={n_instances}; it must "
                "be smaller."
            )
        if self._test is not None:
            self._test.warn_if_out_of_reach(n_instances)

    def _waits_in_vain(self, n_instances: int) -> bool:
        """Return True if the warm-up is only as long as it is because the test needs as many."""
        if self._test is None or not self._has_default_warmup:
            return False
        needed = instances_to_reject(self._test.test, self._alpha, "greater")
        return needed is None or needed > n_instances

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Judge whether the trial should be pruned; called by ``trial.should_prune()``."""
        sign = -1 if study.direction == StudyDirection.MAXIMIZE else 1
        losses, recorded = oriented_losses(trial, sign), is_recorded(trial)
        if not recorded:
            self._epochs.warn(study, trial.number, losses)
        # Constraints are read from the storage: only where the rule decides.
        is_compared = self._rule is not None and self._looks_at(len(losses))
        return self.stops(
            study,
            trial.number,
            losses,
            sign=sign,
            recorded=recorded,
            params=trial.params,
            violation=violation_so_far(trial) if is_compared else 0.0,
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
        further: Sequence[tuple[int, Mapping[int, float]]] = (),
        params: Mapping[str, Any] | None = None,
        violation: float = 0.0,
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
            further:
                If each objective has losses of its own: the sign and the oriented losses of those
                after the first.
            params:
                The trial's hyperparameters, which inform a race; None: not known.
            violation:
                By how much the trial violates its constraints in all, as far as it is known.
        """
        instances = tuple(sorted(losses))
        if len(instances) <= self._n_warmup_instances:
            return False
        values = _values(losses, instances)
        if self._is_too_wide(values):
            return True
        if self._rule is None or not self._looks_at(len(instances)):
            return False
        with self._lock:
            signs = [sign, *(further_sign for further_sign, _ in further)]
            finished, *others = self._finished_trials(study, number, *signs)
            if self._test is not None:
                return self._is_rejected(finished, instances, values, violation, recorded)
            if self._race is None:
                criteria = tuple(objectives) or (self._criterion,)
                n_alike = 1 if further else len(criteria)  # statistics of one loss
                return self._halving.is_out(
                    [finished, *others] * n_alike,
                    instances,
                    [values, *(_values(each, instances) for _, each in further)] * n_alike,
                    criteria,
                    violation=violation,
                    recorded=recorded,
                )
            settings = self._settings(study) if recorded else {}
            field = self._race.field(
                finished,
                instances,
                values,
                n_instances=settings.get("n_instances", self._race.n_instances),
                common_instances=not settings.get("reshuffle", False),
                violation=violation,
                recorded=recorded,
            )
            informed = None
            # Feasible trials inform: what one shows that is not says nothing about them.
            if field is not None and self._is_informed and params and violation == 0.0:
                informed = self._informed_trials(
                    study, sign, recorded=recorded, common_instances=field.common_instances
                )
        return field is not None and self._race.is_out(field, informed, params)

    def exceeds_limit(self, losses: FloatArray) -> bool:
        """Return True if a model's spread is above the limits, past the warm-up.

        Args:
            losses:
                Its oriented losses, shape ``(n_instances,)``.
        """
        return len(losses) > self._n_warmup_instances and self._is_too_wide(losses)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what was read from studies: it is read again."""
        state = self.__dict__.copy()
        for name in ("_lock", "_finished", "_read_for", "_settings_of", "_informed", "_epochs"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the arguments."""
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.Lock()
        self._finished: weakref.WeakKeyDictionary[Study, list[FinishedTrials]] = (
            weakref.WeakKeyDictionary()
        )
        self._read_for: weakref.WeakKeyDictionary[Study, set[int]] = weakref.WeakKeyDictionary()
        self._settings_of: weakref.WeakKeyDictionary[Study, dict[str, Any]] = (
            weakref.WeakKeyDictionary()
        )

        self._informed: weakref.WeakKeyDictionary[Study, InformedTrials] = (
            weakref.WeakKeyDictionary()
        )
        self._epochs = EpochsForInstances()

    def _default_warmup(self) -> int:
        if self._rule in _RULES_WITHOUT_WARMUP:
            return 0
        if self._rule is None:
            return _OTHER_WARMUP
        test = self._rule.removeprefix(DIRECTED_PREFIX)
        first = _OTHER_WARMUP + 1
        return (instances_to_reject(test, self._alpha, "greater", at_least=first) or first) - 1

    def _looks_at(self, n_instances: int) -> bool:
        if self._race is not None:
            return True
        if self._test is not None:
            return self._test.eliminates_at(n_instances)
        return is_rung(n_instances, self._n_warmup_instances, self._halving.reduction_factor)

    def _finished_trials(self, study: Study, number: int, *signs: int) -> list[FinishedTrials]:
        """Return the finished trials, read from the storage once for every trial that asks.

        Args:
            study:
                Their study.
            number:
                Number of the trial that asks.
            signs:
                Of each loss that an objective returns.
        """
        finished = self._finished.get(study, [])
        if len(finished) != len(signs):  # all are read alike, so that their rows are the same
            finished = self._finished[study] = list(map(FinishedTrials, signs, range(len(signs))))
            self._read_for[study] = set()
        if number not in self._read_for[study]:
            self._read_for[study].add(number)
            trials = study.get_trials(deepcopy=False)
            for each in finished:
                each.read(trials)
        return finished

    def _informed_trials(
        self, study: Study, sign: int, *, recorded: bool, common_instances: bool
    ) -> InformedTrials:
        """Return what finished trials say of others; fitted again when there are enough more."""
        kept = self._informed.get(study)
        n_finished = int(np.count_nonzero(self._finished[study][0].violations() == 0.0))
        if kept is None or kept.is_out_of_date(n_finished):
            kept = self._informed[study] = inform(
                study, n_finished, sign, recorded=recorded, common_instances=common_instances
            )
        return kept

    def _settings(self, study: Study) -> dict[str, Any]:
        """Return what ``MultiInstanceObjective`` keeps in a study: once, it never changes."""
        if study not in self._settings_of:
            self._settings_of[study] = study.user_attrs.get(SETTINGS, {})
        return self._settings_of[study]

    def _is_too_wide(self, values: FloatArray) -> bool:
        if (self._max_spread is None and self._max_relative_spread is None) or identical(values):
            return False
        bound = float(std_lower_bound(values, self._alpha))
        limit = math.inf if self._max_spread is None else self._max_spread
        if self._max_relative_spread is not None and np.isfinite(values).all():
            limit = min(limit, self._max_relative_spread * abs(float(values.mean())))
        return bound > limit or math.isinf(bound)

    def _is_rejected(
        self,
        finished: FinishedTrials,
        instances: tuple[int, ...],
        values: FloatArray,
        violation: float,
        recorded: bool,
    ) -> bool:
        assert self._test is not None
        violations = finished.violations()
        scores = finished.scores(instances, self._criterion, recorded=recorded)
        rivals = finished.complete() & ~np.isnan(scores) & (violations <= violation)
        if np.count_nonzero(rivals) < max(self._n_startup_trials, 1):
            return False
        if violations[rivals].min() < violation:  # further instances cannot make it feasible
            return True
        incumbent = finished.incumbent_losses(
            instances, self._criterion, recorded=recorded, most_violation=violation
        )
        assert incumbent is not None
        return 1 in self._test.eliminate(np.stack([incumbent, values])).removed


def _values(losses: Mapping[int, float], instances: Sequence[int]) -> FloatArray:
    return np.array([losses[instance] for instance in instances])


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
