"""The sampler of a robust search: every trial trains one instance, of a new or a known model."""

from __future__ import annotations

from dataclasses import dataclass
import threading
from typing import Any
from typing import TYPE_CHECKING
import warnings
import weakref

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.samplers import TPESampler
from optuna.trial import TrialState

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_count
from optuna_robust._base.arguments import check_flag
from optuna_robust._instances.evaluation import canonical_value
from optuna_robust._instances.trials import CONTINUES
from optuna_robust._instances.trials import is_recorded
from optuna_robust._search.sampler._search import Search
from optuna_robust._search.sampler._target import kept_target
from optuna_robust._search.sampler._turns import Schedule
from optuna_robust._search.sampler._view import as_suggested
from optuna_robust._search.sampler._view import compute_constraints
from optuna_robust._search.sampler._view import stop
from optuna_robust._search.sampler._view import unfiltered


if TYPE_CHECKING:
    from collections.abc import Sequence

    from optuna.distributions import BaseDistribution
    from optuna.study import Study
    from optuna.trial import FrozenTrial
    from optuna.trial import Trial

    from optuna_robust._search.sampler._models import Model
    from optuna_robust._search.sampler._target import Target
    from optuna_robust._search.sampler._view import ModelsStudy


# A thread that has nothing to train looks so often whether others' trials have ended, seconds.
_LOOK_AGAIN = 0.02

# What NumPy's generators of Optuna's samplers take.
_LARGEST_SEED = 2**32 - 1


class RobustnessSampler(BaseSampler):
    """Sampler for a robust search at the price of an ordinary one: a trial is one training.

    Use it with :class:`~optuna_robust.MultiInstanceObjective`. Every trial trains one instance:
    the first one of a new model, which ``base_sampler`` suggests, or the next one of a known model
    that may be the best. The latter is a trial with the model's hyperparameters, which takes over
    its earlier instances. A model's last trial is COMPLETE when the model has all
    ``n_instances``, otherwise PRUNED; ``study.best_trial`` is fully evaluated.

    Which known model is trained is drawn by the probability of being the best (Thompson 1933), as
    the losses of all models tell it (:func:`~optuna_robust.comparison.criterion_posterior`). The
    base sampler sees a study with one COMPLETE trial for each model, whose value is what the
    criterion over all instances is expected to be: a lucky first loss does not lead it astray.
    Models are ranked feasible first, as in Optuna.

    All is decided from the study's trials, whoever ran them: several workers may share a study, a
    study may be begun without this sampler and go on with it, and trainings of killed processes
    (on the same machine) are repeated. Where the base sampler has no more to suggest, as a
    :class:`~optuna.samplers.GridSampler` in the end, known models go on, and the study stops when
    all of them are complete.

    In a study of several objectives (``returns=``), known models are drawn by the probability that
    no other one is better in all objectives.

    Example:
        >>> import optuna
        >>> import optuna_robust as opr
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def objective(trial, instance):
        ...     x = trial.suggest_float("x", -1, 1)
        ...     return (x - 0.3) ** 2 + (0.1 + abs(x)) * instance.rng.normal()
        >>> study = optuna.create_study(
        ...     sampler=opr.RobustnessSampler(seed=0), pruner=opr.RobustnessPruner()
        ... )
        >>> study.optimize(
        ...     opr.MultiInstanceObjective(objective, n_instances=5),
        ...     callbacks=[opr.MaxInstancesCallback(60)],
        ... )
        >>> len(study.trials), len(study.best_trial.user_attrs["robust:losses"])
        (60, 5)

    Args:
        base_sampler:
            Suggests new models. Default: :class:`~optuna.samplers.TPESampler` with ``seed``.
        seed:
            Of the default base sampler, and of what is drawn here. Default: none, another search
            every time.
        repeat_share:
            Share of the trainings, after the first ``n_startup_models``, that known models get,
            in [0, 1). Default: the less sure it is which known model is the best, beside how much
            models differ, the more, up to 0.75.
        n_startup_models:
            How many models are trained once before any is trained again. Default: 10.
        n_trials:
            How many trials the study is going to have, so that the last ones complete the best
            model. :class:`~optuna_robust.MaxInstancesCallback` tells it by itself. Default:
            unknown; then the model that leads is completed first, all along.
        informed:
            Whether models are judged by what the others' losses say at their hyperparameters, too.
            Default: True.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range, or ``base_sampler`` is a RobustnessSampler.
    """

    def __init__(
        self,
        base_sampler: BaseSampler | None = None,
        *,
        seed: int | None = None,
        repeat_share: float | None = None,
        n_startup_models: int = 10,
        n_trials: int | None = None,
        informed: bool = True,
    ) -> None:
        if base_sampler is not None and not isinstance(base_sampler, BaseSampler):
            raise TypeError(f"base_sampler must be a sampler of Optuna, but was {base_sampler!r}.")
        if isinstance(base_sampler, RobustnessSampler):
            raise ValueError(
                "base_sampler must suggest new models, but was a RobustnessSampler itself; give "
                "the sampler that it was made of."
            )
        self._seed = None if seed is None else check_count("seed", seed, minimum=0)
        if self._seed is not None and self._seed > _LARGEST_SEED:
            raise ValueError(f"seed must be at most {_LARGEST_SEED}, but was {seed}.")
        self._base = TPESampler(seed=self._seed) if base_sampler is None else base_sampler
        self._entropy = np.random.SeedSequence(self._seed).entropy
        self._schedule = Schedule(
            None if repeat_share is None else _check_share("repeat_share", repeat_share),
            check_count("n_startup_models", n_startup_models, minimum=1),
        )
        self._n_trials = None if n_trials is None else check_count("n_trials", n_trials, minimum=1)
        self._informed = check_flag("informed", informed)
        self._warned: set[str] = set()
        self._forget()

    @property
    def base_sampler(self) -> BaseSampler:
        """What suggests new models."""
        return self._base

    @property
    def informed(self) -> bool:
        """Whether models are judged by what the others' losses say at their hyperparameters."""
        return self._informed

    def set_target(self, study: Study, target: Target) -> None:
        """Say what a study looks for; ``MultiInstanceObjective`` does so at its first trial."""
        with self._lock:
            self._ordinary.discard(study)
            search = self._searches.get(study)
            if search is None or search.target != target:
                self._searches[study] = self._new_search(target)

    def set_trainings_left(self, study: Study, n_left: int | None) -> None:
        """Say how many trainings no finished trial has spent; None: there is no budget any more.

        :class:`~optuna_robust.MaxInstancesCallback` does so after every trial.
        """
        with self._lock:
            search = self._search(study)
            if search is not None:
                search.n_left = n_left

    def n_to_complete(self, study: Study, n_over: int) -> int:
        """Return how many trainings a study needs until it has a COMPLETE trial.

        0 if it has one, or the budget is exceeded (by ``n_over``) by as many as a model may have.
        """
        with self._lock:
            search = self._search(study)
            return 0 if search is None else search.n_to_complete(study, n_over)

    def continued_trial(self, study: Study, number: int) -> FrozenTrial | None:
        """Return the trial that trial ``number`` goes on with; None if its model is new."""
        model = self._turns.get(study, {}).get(number, _Turn()).model
        return None if model is None or model.is_interrupted else model.latest

    def known(self, trial: Trial) -> Known | None:
        """Make a trial that has suggested a known model one of that; None if it is a new one."""
        study, suggested = trial.study, as_suggested(trial)
        with self._lock:
            search = self._search(study)
            model = None if search is None else search.known_model(study, suggested)
            if search is None or model is None:
                return None
            may_go_on = search.go_on(study, suggested, model)
            return Known(model.latest, may_go_on)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Decide whose turn it is; called by Optuna."""
        study = unfiltered(study)
        turn = _Turn()
        with self._lock:
            if trial.number in self._turns.get(study, {}):
                return  # other libraries make a trial's object twice
            search = self._search(study)
            if search is not None:
                search.n_trials = self._n_trials
                seeds = np.random.SeedSequence(self._entropy, spawn_key=(trial.number,))
                while True:
                    model = search.model_to_train(study, trial, np.random.default_rng(seeds))
                    if model is not None or not search.must_wait(study, trial):
                        break
                    self._ended.wait(_LOOK_AGAIN)
                search.begin(study, trial)
                # An interrupted model may not have all its hyperparameters yet.
                is_base = model is None or model.is_interrupted
                turn = _Turn(model, search.view(study) if is_base else None)
            self._turns.setdefault(study, {})[trial.number] = turn
        if turn.model is None:
            self._base.before_trial(turn.view or study, trial)

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the distributions of a known model, or as the base sampler; called by Optuna."""
        study = unfiltered(study)
        turn = self._turn(study, trial)
        if turn.model is not None:
            # A database gives back tuples as lists, for which Optuna would not take choices.
            known = turn.model.latest.distributions
            return {
                name: each
                for name, each in known.items()
                if not isinstance(each, CategoricalDistribution)
            }
        return self._base.infer_relative_search_space(turn.view or study, trial)

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return a known model's values, or as the base sampler; called by Optuna."""
        study = unfiltered(study)
        turn = self._turn(study, trial)
        if turn.model is not None:
            return {name: turn.model.latest.params[name] for name in search_space}
        return self._base.sample_relative(turn.view or study, trial, search_space)

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a known model's value, or as the base sampler; called by Optuna."""
        study = unfiltered(study)
        turn = self._turn(study, trial)
        if turn.model is not None and param_name in turn.model.latest.params:
            return canonical_value(param_distribution, turn.model.latest.params[param_name])
        return self._base.sample_independent(
            turn.view or study, trial, param_name, param_distribution
        )

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Tell the base sampler of a new model; called by Optuna."""
        study = unfiltered(study)
        with self._lock:
            turn = self._turns.get(study, {}).pop(trial.number, None)
            if state == TrialState.COMPLETE and not is_recorded(trial):
                self._ordinary.add(study)
                self._warn_of_ordinary()
            search = self._search(study)
            if turn is None and search is not None and state == TrialState.FAIL:
                return  # its process is dead
            view = turn.view if turn is not None else None
            if view is None and search is not None:
                view = search.view(study)
        if turn is None or turn.model is None or turn.view is not None:
            self._base.after_trial(view or study, trial, state, values)
        if search is None:
            return
        if trial.user_attrs.get(CONTINUES) is not None:
            compute_constraints(self._base, study, trial, state)
        with self._lock:
            search.is_exhausted |= view is not None and view.is_stopped
            if search.is_over(study, trial):
                stop(study)

    def reseed_rng(self) -> None:
        """Draw anew, since a copy of this sampler works elsewhere; called by Optuna."""
        self._entropy = np.random.SeedSequence().entropy
        self._base.reseed_rng()

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what was read from studies: it is read again."""
        state = self.__dict__.copy()
        for name in ("_lock", "_ended", "_searches", "_turns", "_ordinary"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the arguments."""
        self.__dict__.update(state)
        self._forget()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._ended = threading.Condition(self._lock)
        self._searches: weakref.WeakKeyDictionary[Study, Search] = weakref.WeakKeyDictionary()
        self._turns: weakref.WeakKeyDictionary[Study, dict[int, _Turn]] = (
            weakref.WeakKeyDictionary()
        )
        self._ordinary: weakref.WeakSet[Study] = weakref.WeakSet()

    def _search(self, study: Study) -> Search | None:
        """Return the robust search of a study; None while it is not known to be one."""
        if study in self._ordinary:
            return None
        search = self._searches.get(study)
        if search is None and self._is_alone(study):
            target = kept_target(study)
            if target is not None:
                search = self._searches[study] = self._new_search(target)
        return search

    def _new_search(self, target: Target) -> Search:
        return Search(target, self._schedule, informed=self._informed)

    def _is_alone(self, study: Study) -> bool:
        if study.sampler is not self:
            self._warn_once(
                f"RobustnessSampler has no effect inside a {type(study.sampler).__name__}: give "
                "that one to it, as its base_sampler."
            )
        return study.sampler is self

    def _turn(self, study: Study, trial: FrozenTrial) -> _Turn:
        return self._turns.get(study, {}).get(trial.number, _Turn())

    def _warn_of_ordinary(self) -> None:
        self._warn_once(
            "RobustnessSampler has no effect without MultiInstanceObjective: trials train no "
            "instances, so that the base sampler alone suggests. Wrap the objective: "
            "study.optimize(MultiInstanceObjective(objective), …)."
        )

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warnings.warn(message, stacklevel=4)


@dataclass(frozen=True)
class Known:
    """The model that a trial has suggested is a known one.

    Attributes:
        trial: Its latest trial; a running one if it has no instance yet.
        may_go_on: Whether its next instance may be trained: no other trial does, and it is not
            given up.
    """

    trial: FrozenTrial
    may_go_on: bool


@dataclass(frozen=True)
class _Turn:
    """Whose turn a trial is: a known model's, or a new one's, which the base sampler suggests.

    Attributes:
        model: The known model.
        view: The study as the base sampler sees it; None: as it is.
    """

    model: Model | None = None
    view: ModelsStudy | None = None


def _check_share(name: str, share: object) -> float:
    value = check_between(name, share, 0.0, 1.0, closed=True)
    if value == 1.0:
        raise ValueError(f"{name} must be less than 1, or no new model is ever tried.")
    return value
