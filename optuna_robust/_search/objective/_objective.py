"""An objective that trains several instances of every trial's model."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
import functools
from functools import partial
import threading
from typing import Any
from typing import TYPE_CHECKING
import warnings
import weakref

from optuna.exceptions import TrialPruned
from optuna.pruners import MedianPruner
from optuna.pruners import NopPruner
from optuna.trial import Trial

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_count
from optuna_robust._base.arguments import check_flag
from optuna_robust._base.arguments import FAILURE_POLICIES
from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances import trials
from optuna_robust._instances.evaluation import check_instance_timeout
from optuna_robust._instances.evaluation import Evaluator
from optuna_robust._instances.evaluation import InstanceTrial
from optuna_robust._instances.evaluation import ModelTrial
from optuna_robust._instances.evaluation import Outcome
from optuna_robust._instances.instance import check_n_instances
from optuna_robust._instances.instance import check_sources
from optuna_robust._instances.instance import Instance
from optuna_robust._instances.instance import shared_instance
from optuna_robust._instances.instance import SOURCES
from optuna_robust._instances.study_settings import check_settings
from optuna_robust._instances.study_settings import keep_settings
from optuna_robust._instances.study_settings import Settings
from optuna_robust._instances.trained import Trained
from optuna_robust._running.check_store import check_store
from optuna_robust._running.parallel import check_instances_per_call
from optuna_robust._running.parallel import check_workers
from optuna_robust._running.parallel import InProcess
from optuna_robust._running.parallel import InstancePool
from optuna_robust._running.parallel import make_workers
from optuna_robust._running.parallel import RunFailures
from optuna_robust._running.parallel import Together
from optuna_robust._running.parallel import Workers
from optuna_robust._search.objective._dead_trials import continue_dead_trials
from optuna_robust._search.objective._dead_trials import first_number
from optuna_robust._search.objective._epochs import make_instance_pruning
from optuna_robust._search.objective._judge import check_criteria
from optuna_robust._search.objective._judge import check_returns
from optuna_robust._search.objective._judge import check_study
from optuna_robust._search.objective._judge import is_robust
from optuna_robust._search.objective._judge import Judge
from optuna_robust._search.objective._judge import make_judge
from optuna_robust._search.objective._trial_instances import Train
from optuna_robust._search.objective._trial_instances import TrialInstances
from optuna_robust._search.objective._trial_run import TrialRun
from optuna_robust._search.objective._turn import take_turn
from optuna_robust._search.sampler import RobustnessSampler
from optuna_robust._statistics.criteria import check_min_instances
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.criteria import warn_of_luck
from optuna_robust._statistics.identical_losses import identical_losses_message


if TYPE_CHECKING:
    from optuna.pruners import BasePruner
    from optuna.study import Study

    from optuna_robust._running.store import InstanceStore


CriterionLike = str | Callable[[FloatArray], float] | Criterion

_REPORTS = ("criterion", "loss")
_IS_WRAPPED = (
    "objective must be what the MultiInstanceObjective was made of: the wrapper itself trains "
    "several instances at each call."
)


class MultiInstanceObjective:
    """Trains several instances of a trial's model and judges the trial by all of them.

    Wrap the objective of an existing study::

        study.optimize(MultiInstanceObjective(objective, n_instances=10), n_trials=100)

    An objective with a parameter named ``instance`` gets the
    :class:`~optuna_robust.Instance` by keyword, and should draw its seeds and its training sample
    from it. Any other objective is called unchanged, once an instance: parameters are the same in
    every instance, and ``random``, NumPy's legacy generator and PyTorch (if it is imported) are
    seeded for each instance and restored afterwards; in threads such instances run one at a time.

    An objective with a parameter named ``instances`` gets several, for example to train them
    together on a GPU by :func:`optuna_robust.training.train_instances`. What it reports to its
    trial is a number for each; user attributes and constraints are of all.

    After every instance the running criterion over the instances so far is reported as the
    trial's intermediate value, and the study's pruner is asked; a stopped trial is PRUNED, so that
    ``study.best_trial`` is always fully evaluated. The trial's user attributes ``robust:losses``,
    ``robust:seconds`` and ``robust:failures`` hold what was seen, and ``robust:criterion``,
    ``robust:median``, ``robust:spread`` (the interquartile range), ``robust:n_instances`` and
    ``robust:n_failures`` sum it up in numbers that the dashboard sorts by. A failed instance that
    counts as the worst has the loss 1.7976931348623157e308 (``sys.float_info.max``; negative in a
    study that maximises), since JSON has no infinity; one that does not count is None.

    A model is as feasible as its worst instance: of each constraint that instances set by
    ``trial.set_constraint``, the trial has the greatest value. A ``constraints_func`` of the
    study's sampler is called for each instance, too, with its user attributes, and in the end gets
    those of the worst one.

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

        An objective that prunes by epochs:

        >>> def by_epochs(trial, instance):
        ...     x = trial.suggest_float("x", 0, 1)
        ...     noise = 0.1 * instance.rng.normal()
        ...     for epoch in range(1, 11):
        ...         trial.report(x + noise + 1 / epoch, step=epoch)
        ...         if trial.should_prune():
        ...             raise optuna.TrialPruned
        ...     return x + noise + 1 / epoch
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> pruner = optuna.pruners.MedianPruner(n_startup_trials=5)
        >>> robust = opr.MultiInstanceObjective(by_epochs, n_instances=5, instance_pruner=pruner)
        >>> study.optimize(robust, n_trials=3)
        >>> [trial.user_attrs.get("robust:n_pruned", 0) for trial in study.trials]
        [0, 3, 3]

    Args:
        objective:
            ``objective(trial)`` or ``objective(trial, instance)``, returning one loss, or several
            values with as many criteria; or
            ``objective(trial, instances)``, which trains several at once and returns a loss for
            each, in their order (NaN for one that failed).
        n_instances:
            Instances of every model. Default: 10.
        criterion:
            Statistic of the losses that becomes the trial's value, a name or a callable; see
            :func:`~optuna_robust.criteria.get_criterion`. Default: that of the study's
            :class:`~optuna_robust.RobustnessPruner`, else ``"q3+iqr"``. In a study that maximises
            it is oriented: q3+iqr of accuracies is Q1 - IQR, a spread appears negative. For an
            objective that returns several values, such as accuracy and latency, a sequence with a
            criterion for each, such as ``("q3+iqr", "mean")``: they become the values of a
            multi-objective study, in its directions (spreads are positive and must be minimised).
            An instance failed if one of its values is NaN or infinite. ``robust:losses`` has the
            first ones, ``robust:instance_attrs`` the others; figures show the first.
        seed:
            All instances' seeds come from it. It is kept in the study, as ``vary``,
            ``reshuffle``, ``n_instances`` and ``on_failure`` are; going on with another is an
            error.
        on_failure:
            What an instance counts as that raises an exception or returns NaN or infinity:
            ``"worst"`` (default) the worst possible loss, ``"drop"`` nothing (which favours models
            that fail: a spread of fewer losses is smaller), ``"raise"`` an error. Exceptions are
            raised whatever this says until one instance has succeeded, with ``n_jobs`` also one in
            a worker; NameError, ImportError and SyntaxError, which are no model's fault, always.
            The first failure of each kind is logged as a warning, with its traceback.
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
        n_jobs:
            How many of a trial's instances are trained at a time, each in a process of its own;
            -1: as many as there are cores. The first instance of a trial is trained in this
            process, since it asks the sampler. Results do not depend on the number.
        executor:
            Any :class:`concurrent.futures.Executor`, such as Dask's ``client.get_executor()``,
            that trains the instances instead; it gets ``n_jobs`` at a time. 1: as many as it has
            workers, or, if it does not tell (Dask's does not), as this machine has cores.
        instance_timeout:
            How long an instance may take, seconds: one that takes longer is interrupted by a
            ``TimeoutError`` in the objective, and failed (``on_failure``). Where the exception
            does not come through, in C code that does not return, a worker process (``n_jobs``)
            is ended after twice the time and half a minute; this process cannot be. Not with
            ``executor``. It uses SIGALRM. Default: None, as long as it likes.
        store:
            An :class:`~optuna_robust.InstanceStore`: an instance that is in it is not trained
            again, and trials of workers that died are continued. Default: none.
        instances_per_call:
            For an objective that takes several: how many it gets at each call. The pruner is asked
            after each instance as ever; what was trained beyond is in the store, and does not
            count. Default: 1, 1, 2, 4, …, where halving decides, or all if there is no pruner.
        instance_pruner:
            Any Optuna pruner but :class:`~optuna_robust.RobustnessPruner`, for an objective that
            reports epochs: ``trial.report(value, step=epoch)``, and ``raise optuna.TrialPruned``
            if ``trial.should_prune()``. It judges an instance as it judges a trial, among the
            instances of the study's trials that ended before this trial began, whatever their
            numbers: the 256 newest, of 20 000 points in all, without those that failed. So the
            first trial is not pruned, and what is pruned does not depend on ``n_jobs``. It
            compares at the steps that ``robust:learning_curves`` keeps. Later instances are of
            good models, and are compared with these: a lenient pruner is the better one. Early
            epochs may not rank models, with one-cycle learning rates nearly to the end: see
            :func:`~optuna_robust.visualization.plot_rank_correlation` of a study without it.
            :func:`~optuna_robust.confirm` and :func:`~optuna_robust.robust_select` prune no
            epochs. Default: None, no instance is pruned, and TrialPruned from inside ends the
            trial.
        on_instance_pruned:
            What an instance counts as that ``instance_pruner`` stopped: ``"worst"`` (default), the
            worst possible loss, also towards ``max_failures``; or ``"last"``, the last value that
            it reported, which must be a loss as the objective returns it. The reason stands in
            ``robust:pruned_instances``. TrialPruned that the objective raises otherwise ends the
            trial.

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
        criterion: CriterionLike | Sequence[CriterionLike] | None = None,
        seed: int = 0,
        on_failure: str = "worst",
        max_failures: float = 0.5,
        vary: Iterable[str] = SOURCES,
        reshuffle: bool = False,
        report: str = "criterion",
        returns: Sequence[str | Callable[[FloatArray], float] | Criterion] | None = None,
        seed_function: Callable[[int], object] | None = None,
        n_jobs: int = 1,
        executor: Executor | None = None,
        instance_timeout: float | None = None,
        store: InstanceStore | None = None,
        instances_per_call: int | None = None,
        instance_pruner: BasePruner | None = None,
        on_instance_pruned: str = "worst",
    ) -> None:
        check_unwrapped(objective)
        self._criterion, self._several = None, None
        if isinstance(criterion, Sequence) and not isinstance(criterion, str):
            self._several = check_criteria(criterion)
        elif criterion is not None:
            self._criterion = get_criterion(criterion)
        n_values = 1 if self._several is None else len(self._several)
        timeout = check_instance_timeout(instance_timeout, executor)
        self._evaluator = Evaluator(objective, seed_function, n_values, timeout)
        self._n_instances = check_n_instances(n_instances)
        self._returns = None if returns is None else check_returns(returns)
        self._seed = check_count("seed", seed, minimum=0)
        self._on_failure = check_choice("on_failure", on_failure, FAILURE_POLICIES)
        self._max_failures = check_between("max_failures", max_failures, 0.0, 1.0, closed=True)
        self._vary = check_sources(vary)
        self._reshuffle = check_flag("reshuffle", reshuffle)
        self._report = check_choice("report", report, _REPORTS)
        self._n_jobs = check_workers(n_jobs, executor)
        self._executor = executor
        self._store = check_store(store)
        self._per_call = check_instances_per_call(
            instances_per_call,
            takes_several=self._evaluator.takes_several,
            in_this_process=self._n_jobs == 1 and executor is None,
        )
        self._pruning = make_instance_pruning(
            instance_pruner, on_instance_pruned, takes_several=self._evaluator.takes_several
        )
        if self._pruning is not None and self._several is not None:
            raise ValueError(
                "instance_pruner judges one value of an instance, but criterion names several: "
                "Optuna's pruners know no multi-objective studies."
            )
        for each in self._returns or self._several or (self._criterion,):
            if each is not None:
                check_min_instances(each, self._n_instances)
                warn_of_luck(each)
        if criterion is not None and returns is not None:
            raise ValueError("Give either criterion or returns, not both.")
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
        judge = self._begin(trial)
        epochs = (
            None if self._pruning is None else self._pruning.of(trial, judge, self._n_instances)
        )
        run = TrialRun(trial, judge, epochs)
        pool = self._pool(run)
        try:
            if isinstance(trial.study.sampler, RobustnessSampler):
                take_turn(
                    run,
                    trial.study.sampler,
                    n_instances=self._n_instances,
                    per_turn=self._per_call or 1,
                    train=partial(self._train_here, run),
                    train_up_to=partial(self._train_up_to, run, pool),
                )
            else:
                self._train_all(run, pool)
        except (KeyboardInterrupt, SystemExit):
            if self._store is not None or isinstance(trial.study.sampler, RobustnessSampler):
                trial.set_user_attr(trials.INTERRUPTED, True)
            raise
        finally:
            pool.close()
            run.close()
        return judge.returned(run.values())

    def _train_all(self, run: TrialRun, pool: InstancePool) -> None:
        """Train the instances of a trial until its pruner stops it."""
        for _ in self._train_up_to(run, pool, self._n_instances, partial(self._train_here, run)):
            if run.n_instances < self._n_instances and run.should_stop():
                pruner = type(run.trial.study.pruner).__name__
                run.stop(trials.by_pruner(pruner, run.n_instances))

    def _train_up_to(
        self, run: TrialRun, pool: InstancePool, upto: int, train: Train
    ) -> Iterator[None]:
        """Train a trial's next instances up to a number, and take each into account."""
        instances = TrialInstances(
            run.trial,
            self._instances(run.trial)[run.n_instances : upto],
            pool,
            train,
            self._per_call,
            may_be_known=self._store is not None,
            epochs=run.epochs,
        )
        for trained in instances:
            self._take(run, trained)
            yield

    def __getstate__(self) -> dict[str, Any]:
        """Leave out processes, and what was read from studies: it is read again."""
        state = self.__dict__.copy()
        for name in ("_lock", "_judges", "_workers", "_failures"):
            del state[name]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the arguments."""
        self.__dict__.update(state)
        self._reset()

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._workers: Workers | None = None
        self._failures: weakref.WeakKeyDictionary[Study, RunFailures] = weakref.WeakKeyDictionary()
        self._judges: weakref.WeakKeyDictionary[Study, tuple[BasePruner, Judge]] = (
            weakref.WeakKeyDictionary()
        )

    def _begin(self, trial: Trial) -> Judge:
        """Begin a trial, and return how it is judged."""
        if isinstance(trial, (InstanceTrial, ModelTrial)):
            raise TypeError(_IS_WRAPPED)
        study = getattr(trial, "study", None)
        if study is None:
            raise TypeError(
                "MultiInstanceObjective needs a trial of a study, but got a "
                f"{type(trial).__name__}; study.enqueue_trial(params) evaluates fixed parameters."
            )
        if self._store is None:
            return self._judge(study)
        # First of all: a trial of which nobody knows whose it was cannot be continued.
        trial.set_user_attr(trials.WORKER, self._store.worker())
        judge = self._judge(study)
        # Wrappers of other libraries have no storage; a robust search goes on by itself.
        if isinstance(trial, Trial) and not isinstance(study.sampler, RobustnessSampler):
            continue_dead_trials(trial, self._store)
        return judge

    def _judge(self, study: Study) -> Judge:
        """Return how trials of a study are judged; checks the study at its first trial."""
        if isinstance(study.sampler, RobustnessSampler):
            self._check_turns(study)
        with self._lock:
            pruner, judge = self._judges.get(study, (None, None))
            if judge is None or pruner is not study.pruner:
                judge = make_judge(
                    study, self._criterion, self._returns, self._report, self._several
                )
                check_study(study, judge, self._n_instances, self._reshuffle)
                self._bind(study, judge)
                self._judges[study] = (study.pruner, judge)
            if isinstance(study.sampler, RobustnessSampler):
                target = judge.target(self._n_instances, common_instances=not self._reshuffle)
                study.sampler.set_target(study, target)
            return judge

    def _check_turns(self, study: Study) -> None:
        """Check what has no effect in a search in which every trial is one training.

        Raises:
            ValueError: If instances are to be trained several at a time.
        """
        for name, is_given in (
            ("n_jobs", self._executor is None and self._n_jobs != 1),
            ("executor", self._executor is not None),
        ):
            if is_given:
                raise ValueError(
                    f"{name} has no effect with RobustnessSampler: a trial trains one instance. "
                    "Train several models at a time instead: study.optimize(…, n_jobs=…), or "
                    "several processes on one study."
                )
        if type(study.pruner) not in {NopPruner, MedianPruner} and not is_robust(study.pruner):
            self._warn_once(
                "pruner",
                f"{type(study.pruner).__name__} has no effect with RobustnessSampler, which asks "
                "no pruner: a trial is one training.",
            )

    def _bind(self, study: Study, judge: Judge) -> None:
        """Keep what losses depend on in the study and the store; neither if one refuses."""
        settings = Settings(
            self._seed,
            self._vary,
            self._reshuffle,
            self._n_instances,
            self._on_failure,
            tuple(criterion.name for criterion in judge.criteria),
            self._counts_as,
        )
        check_settings(study, settings)
        identity = self._evaluator.identity  # before it is called, which may change it
        if self._store is not None:
            self._store.bind(seed=self._seed, vary=self._vary)
            self._store.warn_of_another_objective(identity)
        keep_settings(study, settings)

    def _pool(self, run: TrialRun) -> InstancePool:
        """Return what trains the instances of a trial after the first one."""
        workers: Workers
        with self._lock:
            failures = self._failures.setdefault(run.trial.study, RunFailures())
            if self._n_jobs == 1 and self._executor is None:
                workers = self._this_process(run)
            else:
                if self._workers is None:
                    self._workers = make_workers(self._evaluator, self._n_jobs, self._executor)
                workers = self._workers
        return InstancePool(
            workers,
            self._store,
            raise_failures=self._on_failure == "raise",
            failures=failures,
            train_here=lambda job: self._train_here(run, [job.instance])[0],
        )

    def _this_process(self, run: TrialRun) -> Workers:
        if self._evaluator.takes_several:
            return Together(lambda jobs: self._train_here(run, [job.instance for job in jobs]))
        return InProcess(lambda job: self._train_here(run, [job.instance])[0])

    def _instances(self, trial: Trial) -> tuple[Instance, ...]:
        # A trial that goes on has the instances of the one that it goes on with.
        model = first_number(trial) if self._reshuffle else None
        return tuple(
            shared_instance(number, self._seed, self._vary, model)
            for number in range(self._n_instances)
        )

    def _train_here(
        self,
        run: TrialRun,
        instances: Sequence[Instance],
        is_known: Callable[[Mapping[str, Any]], bool] | None = None,
    ) -> list[Outcome]:
        return self._evaluator(
            run.trial,
            instances,
            is_known=is_known,
            on_wait=self._warn_of_threads,
            epochs=run.epochs,
        )

    def _take(self, run: TrialRun, trained: Trained) -> None:
        """Take an instance into the trial's account; stops a trial that fails too often."""
        outcome = trained.outcome
        run.add(trained, self._on_failure, self._counts_as or "worst")
        if outcome.failure is None:
            self._warn_if_identical(run)
            return
        if outcome.pruned and not outcome.stopped:
            raise TrialPruned(outcome.failure)
        n_pruned = run.n_pruned if self._counts_as == "worst" else 0
        if run.n_failures + n_pruned > self._max_failures * self._n_instances:
            told = f"{run.n_failures} of {self._n_instances} instances failed"
            told += f" and {n_pruned} were pruned" if n_pruned else ""
            run.stop(
                f"{told}, more than max_failures={self._max_failures:g} allows; the last one: "
                f"{outcome.failure}"
            )

    @property
    def _counts_as(self) -> str | None:
        """What a pruned instance counts as; None if instances are not pruned."""
        return None if self._pruning is None else self._pruning.counts_as

    def _warn_of_threads(self) -> None:
        self._warn_once(
            "threads",
            "Threads take turns: an objective without a parameter named 'instance' uses global "
            "random generators, which one thread at a time can seed. Give it that parameter and "
            "seed from it, or run several processes on the study instead.",
        )

    def _warn_if_identical(self, run: TrialRun) -> None:
        if "identical" in self._told:
            return
        message = identical_losses_message(
            run.oriented(), f"trial {run.trial.number}", self._n_instances, run.judge.sign
        )
        if message is not None:
            self._warn_once("identical", message)

    def _warn_once(self, kind: str, message: str) -> None:
        if kind not in self._told:
            self._told.add(kind)
            warnings.warn(message, stacklevel=2)


def check_unwrapped(objective: object) -> None:
    """Check that an objective trains one instance.

    Raises:
        TypeError: If it is a :class:`MultiInstanceObjective`, which trains several, a partial or a
            method of one, or if it decorates one.
    """
    inner: object = objective
    seen: set[int] = set()
    while inner is not None and id(inner) not in seen:
        if isinstance(inner, MultiInstanceObjective):
            raise TypeError(_IS_WRAPPED)
        seen.add(id(inner))
        inner = _inside(inner)


def _inside(objective: object) -> object:
    """Return what a callable calls, if that can be seen; else None."""
    if isinstance(objective, functools.partial):
        return objective.func
    for name in ("__wrapped__", "__self__"):
        with suppress(Exception):  # an object may answer to any name, with any exception
            inner: object = getattr(objective, name, None)
            if inner is not None:
                return inner
    return None
