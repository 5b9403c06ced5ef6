"""The race: waves of instances of all models that are alive, each followed by an elimination."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
import itertools
from typing import TYPE_CHECKING
import warnings

import numpy as np

from optuna_robust.criteria import Criterion
from optuna_robust.criteria import FloatArray
from optuna_robust.criteria import rank_models
from optuna_robust.elimination import Decision
from optuna_robust.elimination import EliminationRule
from optuna_robust.evaluation import Job
from optuna_robust.identical_losses import told_of_identical
from optuna_robust.model_record import ModelRecord
from optuna_robust.selection._result import Step


if TYPE_CHECKING:
    from optuna_robust.parallel import InstancePool
    from optuna_robust.parallel import Trained


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
    """

    n_instances: int
    n_select: int
    criterion: Criterion
    sign: int
    on_failure: str
    max_failures: float


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
    ) -> None:
        self._make_job = make_job
        self._pool = pool
        self._rule = rule
        self._options = options
        self._on_instance = on_instance
        self.alive: tuple[int, ...] = tuple(range(n_models))
        self.oriented: FloatArray = np.full((n_models, 0), np.nan)
        self.records = [ModelRecord() for _ in range(n_models)]
        self._warned = False
        self._all_stopped = False

    @property
    def n_waves(self) -> int:
        """How many waves there were."""
        return len(self.oriented[0])

    def eliminate(self) -> Iterator[Step]:
        """Run waves until so few models are left as shall be selected, or instances are spent."""
        while (
            len(self.alive) > self._options.n_select and self.n_waves < self._options.n_instances
        ):
            yield self._wave(eliminates=True)

    def train_survivors(self) -> Iterator[Step]:
        """Run waves without elimination until the instances are spent."""
        while self.n_waves < self._options.n_instances and not self._all_stopped:
            yield self._wave(eliminates=False)

    def scores(self) -> FloatArray:
        """Return what models are ranked by, over the instances that they have; to be minimised."""
        return self._options.criterion.score(self.oriented)

    def _wave(self, *, eliminates: bool) -> Step:
        number = self.n_waves
        self.oriented = np.pad(self.oriented, ((0, 0), (0, 1)), constant_values=np.nan)
        seconds = 0.0
        removed: dict[int, str] = {}
        jobs = [self._make_job(model, number) for model in self.alive]
        wave = self._pool.train(jobs, self._ahead(number + 1))
        for model, trained in zip(self.alive, wave, strict=True):
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
        decision = self._decision(contenders, eliminates=eliminates)
        sign = self._options.sign
        removed.update((i, removal.describe(sign)) for i, removal in decision.removed.items())
        self._give_up_failing(decision, removed)
        self.alive = self._enough(contenders, decision, removed)
        return Step(
            number + 1,
            self.alive,
            dict(sorted(removed.items())),
            decision.incumbent,
            sign * float(decision.scores[decision.incumbent]),
            len(jobs),
            seconds,
        )

    def _ahead(self, number: int) -> Iterator[Job]:
        """Return instances that the next waves may need, for workers that are idle before."""
        later = (
            self._make_job(model, each)
            for each in range(number, self._options.n_instances)
            for model in self.alive
        )
        return itertools.islice(later, self._pool.width)

    def _take(self, model: int, trained: Trained) -> str | None:
        """Take an instance into account; returns why the model cannot go on, if so."""
        outcome, number = trained.outcome, self.n_waves - 1
        record = self.records[model]
        record.add(trained, self._options.on_failure)
        self.oriented[model, number] = record.oriented(self._options.sign).get(number, np.nan)
        self._warn_if_identical(model)
        return outcome.failure if outcome.pruned else None

    def _decision(self, contenders: tuple[int, ...], *, eliminates: bool) -> Decision:
        if eliminates:
            return self._rule.eliminate(self.oriented, contenders)
        scores = self.scores()
        incumbent = contenders[int(rank_models(scores[list(contenders)])[0])]
        return Decision(contenders, {}, incumbent, scores, np.full(len(scores), np.nan))

    def _give_up_failing(self, decision: Decision, removed: dict[int, str]) -> None:
        limit = self._options.max_failures * self._options.n_instances
        for model in decision.kept:
            failed = self.records[model].failures
            if len(failed) > limit:
                last = failed[max(failed)]
                removed[model] = (
                    f"{len(failed)} of {self._options.n_instances} instances failed, more than "
                    f"max_failures={self._options.max_failures:g} allows; the last one: {last}"
                )

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

    def _warn_if_identical(self, model: int) -> None:
        if self._warned:
            return
        losses = self.oriented[model]
        message = told_of_identical(
            losses[~np.isnan(losses)],
            f"model {model}",
            self._options.n_instances,
            self._options.sign,
        )
        if message is not None:
            self._warned = True
            warnings.warn(message, stacklevel=2)
