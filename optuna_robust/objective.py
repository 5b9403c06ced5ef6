"""An objective that trains several instances of every trial's model."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import inspect
import math
import threading
import time
from typing import Any
from typing import TYPE_CHECKING
import warnings
import weakref

from optuna.exceptions import OptunaError
from optuna.exceptions import TrialPruned
from optuna.trial import Trial
from optuna.trial import TrialState

from optuna_robust import trials
from optuna_robust.arguments import check_between
from optuna_robust.arguments import check_choice
from optuna_robust.arguments import check_count
from optuna_robust.criteria import Criterion
from optuna_robust.criteria import FloatArray
from optuna_robust.criteria import get_criterion
from optuna_robust.criteria import identical
from optuna_robust.instance import check_sources
from optuna_robust.instance import Instance
from optuna_robust.instance import SOURCES
from optuna_robust.instance_trial import InstanceTrial
from optuna_robust.judge import check_min_instances
from optuna_robust.judge import check_returns
from optuna_robust.judge import check_study
from optuna_robust.judge import Judge
from optuna_robust.judge import make_judge
from optuna_robust.seeding import global_seed
from optuna_robust.trial_run import TrialRun


if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.study import Study


_FAILURE_POLICIES = ("worst", "raise", "drop")
_REPORTS = ("criterion", "loss")
# Identical losses are told after so many: with fewer, coarse metrics coincide by chance.
_INSTANCES_TO_CALL_IDENTICAL = 5


class MultiInstanceObjective:
    """Trains several instances of a trial's model and judges the trial by all of them.

    Wrap the objective of an existing study::

        study.optimize(MultiInstanceObjective(objective, n_instances=10), n_trials=100)

    An objective with a parameter named ``instance`` gets the
    :class:`~optuna_robust.Instance` by keyword, and should draw its seeds and its training sample
    from it. Any other objective is called unchanged, once an instance: parameters are the same in
    every instance, and ``random``, NumPy's legacy generator and PyTorch (if it is imported) are
    seeded for each instance and restored afterwards; in threads such instances run one at a time.

    After every instance the running criterion over the instances so far is reported as the
    trial's intermediate value, and the study's pruner is asked; a stopped trial is PRUNED, so that
    ``study.best_trial`` is always fully evaluated. The trial's user attributes ``robust:losses``,
    ``robust:seconds``, ``robust:failures``, ``robust:n_instances``, ``robust:median`` and
    ``robust:spread`` (the interquartile range) hold what was seen.

    Example:
        >>> import optuna
        >>> import optuna_robust as opr
        >>> optuna.logging.set_verbosity(optuna.logging.WARNING)
        >>> def objective(trial, instance):
        ...     x = trial.suggest_float("x", -1, 1)
        ...     return (x - 0.3) ** 2 + (0.1 + abs(x)) * instance.rng.normal()
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> study.optimize(opr.MultiInstanceObjective(objective, n_instances=5), n_trials=3)
        >>> [len(trial.user_attrs["robust:losses"]) for trial in study.trials]
        [5, 5, 5]

    Args:
        objective:
            ``objective(trial)`` or ``objective(trial, instance)``, returning one loss.
        n_instances:
            Instances of every model. Default: 10.
        criterion:
            Statistic of the losses that becomes the trial's value, a name or a callable; see
            :func:`~optuna_robust.criteria.get_criterion`. Default: that of the study's
            :class:`~optuna_robust.RobustnessPruner`, else ``"q3+iqr"``. In a study that maximises
            it is oriented: q3+iqr of accuracies is Q1 - IQR, a spread appears negative.
        seed:
            All instances' seeds come from it. It is kept in the study, as ``vary``,
            ``reshuffle``, ``n_instances`` and ``on_failure`` are; going on with another is an
            error.
        on_failure:
            What an instance counts as that raises an exception or returns NaN or infinity:
            ``"worst"`` (default) the worst possible loss, ``"drop"`` nothing (which favours models
            that fail: a spread of fewer losses is smaller), ``"raise"`` an error. Exceptions are
            raised whatever this says until one instance has succeeded.
        max_failures:
            A trial is stopped when more than this share of ``n_instances`` failed. Default: 0.5.
        vary:
            Sources of variation that differ between instances, of ``"init"``, ``"order"`` and
            ``"sample"``; see :class:`~optuna_robust.Instance`. Default: all.
        reshuffle:
            Give every trial instances of its own instead of common ones. Default: False.
        report:
            Intermediate values: ``"criterion"`` (default), the running criterion, or ``"loss"``,
            the raw losses, which a :class:`~optuna.pruners.WilcoxonPruner` always gets.
        returns:
            For a multi-objective study: names of the criteria that become its values, such as
            ``("median", "iqr")``. Spreads are positive and must be minimised; the others share
            one direction. A :class:`~optuna_robust.RobustnessPruner` prunes here, too.
        seed_function:
            Called with ``instance.seed`` before every instance, to seed other libraries.

    Raises:
        TypeError: If an argument has the wrong type, or the objective cannot be called with a
            trial, or (at the first instance) returns something else than a number.
        ValueError: If an argument is out of range or unknown, or (at the first trial) does not
            fit the study: another seed, a pruner's warm-up of ``n_instances`` or more, directions
            that do not fit ``returns``.
    """

    def __init__(
        self,
        objective: Callable[..., Any],
        n_instances: int = 10,
        *,
        criterion: str | Callable[[FloatArray], float] | Criterion | None = None,
        seed: int = 0,
        on_failure: str = "worst",
        max_failures: float = 0.5,
        vary: Iterable[str] = SOURCES,
        reshuffle: bool = False,
        report: str = "criterion",
        returns: Sequence[str | Callable[[FloatArray], float] | Criterion] | None = None,
        seed_function: Callable[[int], object] | None = None,
    ) -> None:
        self._takes_instance = _takes_instance(objective)
        self._objective = objective
        self._n_instances = check_count("n_instances", n_instances, minimum=1)
        self._criterion = None if criterion is None else get_criterion(criterion)
        self._returns = None if returns is None else check_returns(returns)
        self._seed = check_count("seed", seed, minimum=0)
        self._on_failure = check_choice("on_failure", on_failure, _FAILURE_POLICIES)
        self._max_failures = check_between("max_failures", max_failures, 0.0, 1.0, closed=True)
        self._vary = check_sources(vary)
        self._reshuffle = bool(reshuffle)
        self._report = check_choice("report", report, _REPORTS)
        if seed_function is not None and not callable(seed_function):
            raise TypeError(f"seed_function must be callable, but was {seed_function!r}.")
        self._seed_function = seed_function
        for each in self._returns or (self._criterion,):
            if each is not None:
                check_min_instances(each, self._n_instances)
        if criterion is not None and returns is not None:
            raise ValueError("Give either criterion or returns, not both.")
        self._succeeded = False
        self._told: set[str] = set()
        self._reset()

    def __call__(self, trial: Trial) -> float | tuple[float, ...]:
        """Train the instances of one trial.

        Returns:
            The criterion of all losses; several with ``returns``.

        Raises:
            optuna.TrialPruned: If the pruner stops the trial, too many instances failed, or the
                objective raised it.
        """
        judge = self._judge(trial)
        run = TrialRun(trial, judge)
        try:
            for number in range(self._n_instances):
                self._run_instance(run, number)
                if number + 1 < self._n_instances and run.should_stop():
                    pruner = type(trial.study.pruner).__name__
                    run.stop(f"{pruner} stopped it after {number + 1} instances.")
        finally:
            run.close()
        return judge.returned(run.values())

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what was read from studies: it is read again."""
        state = self.__dict__.copy()
        for name in ("_lock", "_judges"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the arguments."""
        self.__dict__.update(state)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._judges: weakref.WeakKeyDictionary[Study, tuple[BasePruner, Judge]] = (
            weakref.WeakKeyDictionary()
        )

    def _judge(self, trial: Trial) -> Judge:
        """Return how trials of this study are judged; checks the study at its first trial."""
        study = getattr(trial, "study", None)
        if study is None:
            raise TypeError(
                "MultiInstanceObjective needs a trial of a study, but got a "
                f"{type(trial).__name__}; study.enqueue_trial(params) evaluates fixed parameters."
            )
        with self._lock:
            pruner, judge = self._judges.get(study, (None, None))
            if judge is None or pruner is not study.pruner:
                judge = make_judge(study, self._criterion, self._returns, self._report)
                check_study(study, judge, self._n_instances, self._reshuffle)
                self._keep_settings(study, judge)
                self._judges[study] = (study.pruner, judge)
            return judge

    def _keep_settings(self, study: Study, judge: Judge) -> None:
        """Keep in the study what its losses depend on, or hold it against what is kept."""
        settings = {
            "seed": self._seed,
            "vary": list(self._vary),
            "reshuffle": self._reshuffle,
            "n_instances": self._n_instances,
            "on_failure": self._on_failure,
            "criterion": [criterion.name for criterion in judge.criteria],
        }
        if trials.SETTINGS not in study.user_attrs:
            study.set_user_attr(trials.SETTINGS, settings)
            _warn_of_ordinary_trials(study)
        kept = study.user_attrs[trials.SETTINGS]
        for name in ("seed", "vary", "reshuffle", "n_instances", "on_failure"):
            if kept.get(name) != settings[name]:
                raise ValueError(
                    f"{name}={settings[name]!r} differs from {name}={kept.get(name)!r}, with "
                    f"which the study {study.study_name!r} was begun: its trials could not be "
                    "compared with new ones. Use the old value or a new study."
                )
        if kept.get("criterion") != settings["criterion"]:
            warnings.warn(
                f"The study {study.study_name!r} was begun with criterion "
                f"{kept.get('criterion')}; values of {settings['criterion']} cannot be compared "
                "with its trials.",
                stacklevel=2,
            )

    def _run_instance(self, run: TrialRun, number: int) -> None:
        instance = Instance(
            number,
            study_seed=self._seed,
            vary=self._vary,
            model=run.trial.number if self._reshuffle else None,
        )
        inner = InstanceTrial(run.trial, number)
        start = time.perf_counter()
        try:
            loss, failure = self._outcome(inner, instance)
        except TrialPruned:
            run.add(None, time.perf_counter() - start, "the objective raised TrialPruned")
            raise
        finally:
            run.constrain(inner.constraints)
        run.add(loss, time.perf_counter() - start, failure)
        if failure is None:
            self._succeeded = True
            self._warn_if_identical(run)
        elif run.n_failures > self._max_failures * self._n_instances:
            run.stop(
                f"{run.n_failures} of {self._n_instances} instances failed, more than "
                f"max_failures={self._max_failures:g} allows; the last one: {failure}"
            )

    def _outcome(
        self, inner: InstanceTrial, instance: Instance
    ) -> tuple[float | str | None, str | None]:
        """Return the instance's loss as it is recorded, and why it failed if it did."""
        try:
            loss = _as_loss(self._train(inner, instance))
        except OptunaError:  # TrialPruned, and what storages raise, is not the model's behaviour
            raise
        except Exception as error:
            if self._on_failure == "raise" or not self._succeeded:
                raise
            failure = f"{type(error).__name__}: {error}"
        else:
            if math.isfinite(loss):
                return loss, None
            failure = f"the objective returned {loss}"
            if self._on_failure == "raise":
                raise ValueError(f"Instance {instance.number} of trial {inner.number}: {failure}.")
        return trials.WORST if self._on_failure == "worst" else None, failure

    def _train(self, trial: InstanceTrial, instance: Instance) -> object:
        if self._takes_instance:
            if self._seed_function is not None:
                self._seed_function(instance.seed)
            return self._objective(trial, instance=instance)
        with global_seed(instance.seed, self._seed_function, on_wait=self._warn_of_threads):
            return self._objective(trial)

    def _warn_of_threads(self) -> None:
        self._warn_once(
            "threads",
            "Threads take turns: an objective without a parameter named 'instance' uses global "
            "random generators, which one thread at a time can seed. Give it that parameter and "
            "seed from it, or run several processes on the study instead.",
        )

    def _warn_if_identical(self, run: TrialRun) -> None:
        losses = run.oriented()
        enough = min(_INSTANCES_TO_CALL_IDENTICAL, self._n_instances)
        if len(losses) >= enough and bool(identical(losses)):
            self._warn_once(
                "identical",
                f"All {len(losses)} instances of trial {run.trial.number} have the same loss "
                f"({run.judge.sign * losses[0]:g}). The objective seems to fix its own seed "
                "(random_state=0, torch.manual_seed(0), …) or not to use the instance, unless "
                "this model always ends at the same guess, or vary freezes what makes instances "
                "differ. Its spread is unknown, whatever the criterion makes of it.",
            )

    def _warn_once(self, kind: str, message: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(message, stacklevel=2)


def _warn_of_ordinary_trials(study: Study) -> None:
    ordinary = [
        trial.number
        for trial in study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if not trials.is_recorded(trial)
    ]
    if ordinary:
        warnings.warn(
            f"The study {study.study_name!r} has {len(ordinary)} complete trials of another "
            "objective. Their values, of one training perhaps, stand beside those of several "
            "instances, and one of them may be the best trial; use a new study.",
            stacklevel=2,
        )


def _takes_instance(objective: Callable[..., Any]) -> bool:
    """Tell whether an objective has a parameter named ``instance``; checks how it is called."""
    if not callable(objective):
        raise TypeError(f"objective must be callable, but was {objective!r}.")
    try:
        signature = inspect.signature(objective)
    except ValueError:  # some callables written in C have none
        return False
    takes_instance = "instance" in signature.parameters
    try:
        signature.bind(None, **({"instance": None} if takes_instance else {}))
    except TypeError as error:
        raise TypeError(
            "objective must be callable as objective(trial) or objective(trial, instance=…), but "
            f"{getattr(objective, '__name__', objective)!r} has the signature {signature}: "
            f"{error}."
        ) from None
    return takes_instance


def _as_loss(returned: object) -> float:
    """Return what the objective returned as a float.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is a sequence, but not of one number.
    """
    wrong = (
        "The objective must return one loss, a number, for each instance, but returned "
        f"{returned!r} of type {type(returned).__name__}."
    )
    if isinstance(returned, Sequence) and not isinstance(returned, (str, bytes)):
        if len(returned) != 1:
            raise ValueError(wrong)
        returned = returned[0]
    if isinstance(returned, (str, bytes)) or not hasattr(returned, "__float__"):
        raise TypeError(wrong)
    try:
        return float(returned)
    except (TypeError, ValueError, RuntimeError):  # arrays and tensors of several numbers
        raise ValueError(wrong) from None
