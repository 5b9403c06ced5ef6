"""The race: waves of instances of all models that are alive, each followed by an elimination."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
import itertools
import math
from typing import TYPE_CHECKING
from typing import TypeAlias
import warnings

import numpy as np

from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances.constraints import least_violating
from optuna_robust._instances.evaluation import Job
from optuna_robust._search.model_record import ModelRecord
from optuna_robust._search.selection._result import Step
from optuna_robust._search.selection._subset import Subset
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import rank_models
from optuna_robust._statistics.criterion_names import shown_sign
from optuna_robust._statistics.elimination import Decision
from optuna_robust._statistics.elimination import EliminationRule
from optuna_robust._statistics.identical_losses import identical_losses_message


if TYPE_CHECKING:
    from optuna_robust._instances.evaluation import Outcome
    from optuna_robust._instances.trained import Trained
    from optuna_robust._running.parallel import InstancePool

ComputeConstraints: TypeAlias = "Callable[[int, ModelRecord, Outcome], Sequence[float]]"


@dataclass(frozen=True)
class RaceOptions:
    """What a race goes by.

    Attributes:
        n_instances: Most instances of a model.
        n_select: Fewest models that are kept.
        criterion: Ranks the models.
        sign: -1 if losses are turned round to be minimised, else 1.
        on_failure: ``"worst"`` or ``"drop"``; failures that raise do not get here.
        max_failures: A model is removed when more than this share of ``n_instances`` failed.
        max_trainings: Most instances of all models together; None: no limit.
        instances_per_call: For an objective that takes several instances of a model at a time: how
            many; None: those that are needed.
    """

    n_instances: int
    n_select: int
    criterion: Criterion
    sign: int
    on_failure: str
    max_failures: float
    max_trainings: int | None = None
    instances_per_call: int | None = None


class Race:
    """The race over a set of models.

    Args:
        n_models:
            How many models there are.
        make_job:
            Returns the job of a model (its index) and an instance number.
        pool:
            Trains the instances.
        rule:
            Eliminates models.
        options:
            What else the race goes by.
        on_instance:
            Called after every instance, for progress bars.
        computed_constraints:
            Returns the constraints of an instance of a model that a study's sampler computes.
    """

    def __init__(
        self,
        n_models: int,
        *,
        make_job: Callable[[int, int], Job],
        pool: InstancePool,
        rule: EliminationRule,
        options: RaceOptions,
        on_instance: Callable[[], object],
        computed_constraints: ComputeConstraints = lambda *_: (),
    ) -> None:
        self._make_job = make_job
        self._pool = pool
        self._rule = rule
        self._options = options
        self._on_instance = on_instance
        self.alive: tuple[int, ...] = tuple(range(n_models))
        self.oriented: FloatArray = np.full((n_models, 0), np.nan)
        self.records = [ModelRecord() for _ in range(n_models)]
        self._n_taken = [0] * n_models
        self._n_waves = 0
        self._next = self.alive
        self._picks = False
        self._preference: FloatArray = np.zeros(n_models)
        self._incumbent: int | None = None
        self._disqualified: list[int] = []
        self._computed_constraints = computed_constraints
        self._infeasible: set[int] = set()
        self._subset = Subset(rule, n_models, ())
        # The wave in which the rule dropped a model that it has not taken back.
        self._dropped_in: dict[int, int] = {}
        self._warned = False
        self._all_stopped = False
        self._came_back = False

    def eliminate(self) -> Iterator[Step]:
        """Run waves until so few models are left as shall be selected, or there are no more."""
        # A rule cannot see that a dropped failure was an instance, too: then all are trained on.
        while (
            len(self.alive) > self._options.n_select
            and self._next
            and (due := self._due(self._next) or self._due(self.alive))
        ):
            yield self._wave(due, eliminates=True)

    def train_survivors(self) -> Iterator[Step]:
        """Run waves without elimination until the instances are spent."""
        while self._due(self.alive) and not self._all_stopped:
            yield self._wave(self._due(self.alive), eliminates=False)
            if self._came_back:
                yield from self.eliminate()

    def violations(self) -> FloatArray:
        """Return by how much models violate their constraints in all, ``(n_models,)``."""
        return np.array([record.constraints.violation for record in self.records])

    def give_the_best_a_value(self) -> Iterator[Step]:
        """Run waves of the best survivor alone until it has instances enough for the criterion.

        It has fewer if the others were removed because they failed.
        """
        enough = self._options.criterion.min_instances
        while not self._all_stopped and self._n_taken[best := self.best()] < enough:
            if not (due := self._due([best])):
                return
            yield self._wave(due, eliminates=False)

    def scores(self) -> FloatArray:
        """Return what models are ranked by, over the instances that they have; to be minimised."""
        return self._options.criterion.score(self.oriented)

    def best(self) -> int:
        """Return the best survivor: the race's incumbent, or the best by the criterion.

        Infeasible ones are the best only where none is feasible.
        """
        eligible = self._least_violating(self.alive)
        if self._incumbent in eligible:
            return self._incumbent
        return eligible[int(rank_models(self.scores()[eligible])[0])]

    def _due(self, models: Iterable[int]) -> tuple[int, ...]:
        due = tuple(model for model in models if self._n_taken[model] < self._options.n_instances)
        left = self._left()
        if left is None or len(due) <= left:
            return due
        # A rule that picks models compares unequal numbers of instances; for others, a part of a
        # wave is worth nothing.
        if not self._picks:
            return ()
        return tuple(sorted(sorted(due, key=self._preference.__getitem__)[:left]))

    def _left(self) -> int | None:
        """Return how many instances may be trained yet; None: any number."""
        if self._options.max_trainings is None:
            return None
        return self._options.max_trainings - sum(self._n_taken)

    def _mean_losses(self) -> FloatArray:
        """Return the mean of each model's losses; to be minimised."""
        there = ~np.isnan(self.oriented)
        totals = np.where(there, self.oriented, 0.0).sum(axis=1)
        return np.where(there.any(axis=1), totals / np.maximum(there.sum(axis=1), 1), np.inf)

    def _wave(self, due: tuple[int, ...], *, eliminates: bool) -> Step:
        self._n_waves += 1
        seconds = 0.0
        removed: dict[int, str] = {}
        jobs = [self._make_job(model, self._n_taken[model]) for model in due]
        wave = self._pool.train(jobs, self._ahead(due, eliminates=eliminates))
        for model, trained in zip(due, wave, strict=True):
            reason = self._take(model, trained)
            seconds += trained.outcome.seconds
            if reason is not None:
                removed[model] = reason
            self._on_instance()
        contenders = tuple(model for model in self.alive if model not in removed)
        if not contenders:
            if eliminates:
                raise RuntimeError(
                    "No model is left: the objective raised TrialPruned for all that were in the "
                    f"race; the last one: {removed[max(removed)]}."
                )
            # They were selected before: only their further training ends.
            contenders, removed, self._all_stopped = self.alive, {}, True
        contenders = self._feasible_first(contenders, removed)
        failing = self._failing(contenders)
        if len(contenders) - len(failing) >= self._options.n_select:
            contenders = tuple(model for model in contenders if model not in failing)
            removed.update(failing)
        self._disqualified.extend(model for model in removed if model not in self._infeasible)
        decision = self._decision(contenders, eliminates=eliminates)
        self._picks = decision.next_models is not None
        chances = decision.probabilities
        if chances is None or np.isnan(chances).all():
            self._preference = self._mean_losses()
        else:
            self._preference = -chances
        sign = self._options.sign
        direction = "maximize" if sign < 0 else "minimize"
        shown = sign * shown_sign(self._options.criterion, direction)
        removed.update((i, removal.describe(shown)) for i, removal in decision.removed.items())
        self.alive = self._enough(contenders, decision, removed)
        if decision.next_models and not self._due(self.alive):
            self._decide_at_the_end(decision, removed)
        alive = set(self.alive)
        self._dropped_in.update(
            (model, self._n_waves) for model in contenders if model not in alive
        )
        wanted = self.alive if decision.next_models is None else decision.next_models
        self._next = tuple(model for model in wanted if model in alive)
        probabilities = decision.probabilities
        self._incumbent = None if probabilities is None else decision.incumbent
        return Step(
            self._n_waves,
            self.alive,
            dict(sorted(removed.items())),
            decision.incumbent,
            sign * float(decision.scores[decision.incumbent]),
            len(jobs),
            seconds,
            math.nan if probabilities is None else float(probabilities[decision.incumbent]),
        )

    def _ahead(self, due: tuple[int, ...], *, eliminates: bool) -> Iterator[Job]:
        """Return instances that the next waves may need, to be trained with this one."""
        if self._pool.trains_together:
            return self._with_these(due, eliminates=eliminates)
        in_wave = set(due)
        n_ahead = self._pool.width
        if (left := self._left()) is not None:
            n_ahead = min(n_ahead, left - len(due))
        # Those that are trained now are the likeliest to be trained on.
        order = (*due, *(model for model in self.alive if model not in in_wave))
        later = (
            self._make_job(model, number)
            for further in range(self._options.n_instances)
            for model in order
            if (number := self._n_taken[model] + (model in in_wave) + further)
            < self._options.n_instances
        )
        # Now: taking the wave's losses changes the numbers.
        return iter(list(itertools.islice(later, n_ahead)))

    def _with_these(self, due: tuple[int, ...], *, eliminates: bool) -> Iterator[Job]:
        """Return the next instances of the models of a wave, for the same call of the objective.

        Nobody is removed before the rule's next look: until then they are needed for certain.
        """
        most, left = self._options.n_instances, self._left()

        def looks(n: int) -> bool:
            return eliminates and getattr(self._rule, "eliminates_at", lambda n: True)(n)

        for model in due:
            first = self._n_taken[model] + 1
            upto = next((n for n in range(first, most) if looks(n)), most)
            if self._options.instances_per_call is not None:
                upto = min(self._n_taken[model] + self._options.instances_per_call, most)
            if left is not None:
                upto = min(upto, self._n_taken[model] + left // len(due))
            yield from (self._make_job(model, number) for number in range(first, upto))

    def _take(self, model: int, trained: Trained) -> str | None:
        """Take an instance into account; returns why the model cannot go on, if so."""
        outcome, number = trained.outcome, self._n_taken[model]
        self._n_taken[model] += 1
        if number == self.oriented.shape[1]:
            self.oriented = np.pad(self.oriented, ((0, 0), (0, 1)), constant_values=np.nan)
        record = self.records[model]
        computed = self._computed_constraints(model, record, trained.outcome)
        record.add(trained, self._options.on_failure, self._options.sign, computed)
        self.oriented[model, number] = record.last(self._options.sign)
        self._warn_if_identical(model)
        return outcome.failure if outcome.pruned else None

    def _decision(self, contenders: tuple[int, ...], *, eliminates: bool) -> Decision:
        eligible = self._least_violating(contenders)
        if eliminates and len(eligible) == len(contenders):
            # Who may not win must not be what others are measured against.
            losses = self.oriented.copy()
            losses[self._disqualified] = np.inf
            if not self._picks:  # models that came back may have fewer than those that left
                losses = losses[:, : max(self._n_taken[model] for model in contenders)]
            return self._subset.eliminate(losses, contenders)
        scores = self.scores()
        incumbent = eligible[int(rank_models(scores[eligible])[0])]
        return Decision(contenders, {}, incumbent, scores, np.full(len(scores), np.nan))

    def _least_violating(self, models: tuple[int, ...]) -> list[int]:
        positions = least_violating(self.violations()[list(models)])
        return [models[position] for position in positions]

    def _feasible_first(
        self, contenders: tuple[int, ...], removed: dict[int, str]
    ) -> tuple[int, ...]:
        """Return the contenders that violate constraints least, at least ``n_select``.

        All feasible ones are among them. Where none is feasible any more, feasible models come
        back that the rule dropped for what turned out to be infeasible.
        """
        violations = self.violations()
        self._came_back = False
        if (violations[list(contenders)] > 0.0).all() and (back := self._feasible_dropped()):
            contenders, self._came_back = tuple(sorted((*contenders, *back))), True
        n_enough = min(self._options.n_select, len(contenders))
        limit = np.sort(violations[list(contenders)])[n_enough - 1]
        out = [model for model in contenders if violations[model] > limit]
        if out:
            removed.update(
                (model, f"infeasible: it violates its constraints by {violations[model]:.6g}")
                for model in out
            )
            self._infeasible.update(out)
            self._subset = Subset(self._rule, len(violations), sorted(self._infeasible))
        return tuple(model for model in contenders if model not in self._infeasible)

    def _feasible_dropped(self) -> list[int]:
        """Take back the feasible models that the rule dropped: the last ones.

        A rule that compares unequal numbers of instances gets all of them.
        """
        feasible = [
            model for model in self._dropped_in if self.records[model].constraints.violation == 0.0
        ]
        last = max((self._dropped_in[model] for model in feasible), default=0)
        back = [model for model in feasible if self._picks or self._dropped_in[model] == last]
        for model in back:
            del self._dropped_in[model]
        return back

    def _failing(self, models: Iterable[int]) -> dict[int, str]:
        """Return the models of which too many instances failed, each with the reason."""
        limit = self._options.max_failures * self._options.n_instances
        failing = {}
        for model in models:
            failed = self.records[model].failures
            if len(failed) > limit:
                failing[model] = (
                    f"{len(failed)} of {self._options.n_instances} instances failed, more than "
                    f"max_failures={self._options.max_failures:g} allows; the last one: "
                    f"{failed[max(failed)]}"
                )
        return failing

    def _enough(
        self, contenders: tuple[int, ...], decision: Decision, removed: dict[int, str]
    ) -> tuple[int, ...]:
        """Return the models that go on: never fewer than shall be selected, whatever the rule."""
        kept = [model for model in contenders if model not in removed]
        missing = min(self._options.n_select, len(contenders)) - len(kept)
        if missing > 0:
            out = [model for model in contenders if model in removed]
            ranked = rank_models(decision.scores[out])
            for position in ranked[:missing]:
                kept.append(out[position])
                del removed[out[position]]
        return tuple(sorted(kept))

    def _decide_at_the_end(self, decision: Decision, removed: dict[int, str]) -> None:
        """Select the best, although the rule would have had more instances trained."""
        scores = decision.scores[list(self.alive)]
        if np.isnan(scores).any():  # nothing tells the noise yet
            scores = self._mean_losses()[list(self.alive)]
        ranked = [self.alive[i] for i in rank_models(scores)]
        for model in ranked[self._options.n_select :]:
            removed[model] = f"{self._rule.name}: no better than model {ranked[0]} in the end"
        self.alive = tuple(sorted(ranked[: self._options.n_select]))

    def _warn_if_identical(self, model: int) -> None:
        if self._warned:
            return
        losses = self.oriented[model]
        message = identical_losses_message(
            losses[~np.isnan(losses)],
            f"model {model}",
            self._options.n_instances,
            self._options.sign,
        )
        if message is not None:
            self._warned = True
            warnings.warn(message, stacklevel=2)
