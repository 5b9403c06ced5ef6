"""The race: drop models that are unlikely to be the best, and train those that may be."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from functools import cached_property
import math
from typing import Any

import numpy as np
import numpy.typing as npt
from optuna.distributions import BaseDistribution

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arguments import check_count
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison import check_models
from optuna_robust._statistics.comparison import Contest
from optuna_robust._statistics.comparison import criterion_posterior
from optuna_robust._statistics.comparison import encode_models
from optuna_robust._statistics.comparison import fit_informed_levels
from optuna_robust._statistics.comparison import predict_levels
from optuna_robust._statistics.comparison import tells_noise
from optuna_robust._statistics.criteria import check_min_instances
from optuna_robust._statistics.criteria import Criterion
from optuna_robust._statistics.criteria import get_criterion
from optuna_robust._statistics.criteria import rank_models
from optuna_robust._statistics.elimination._base import check_losses
from optuna_robust._statistics.elimination._base import Decision
from optuna_robust._statistics.elimination._base import model_indices
from optuna_robust._statistics.elimination._base import Removal
from optuna_robust._statistics.elimination._copies import find_copies
from optuna_robust._statistics.elimination._copies import with_copies
from optuna_robust._statistics.elimination._removals import UnlikelyBest


# Probabilities are about sets of models on average. A set with a model just beyond the tolerance
# is missed more often: two to three times on the one measured table (benchmarks/RESULTS.md).
_HARDNESS = 4.0
# Of the risk: for models that are dropped on the way; the rest is for the last decision.
_SHARE_ON_THE_WAY = 0.25
# The rivals of the likeliest model that are trained next have this share of the rivals' chances.
_SHARE_OF_RIVALS = 0.5
# The best model may be one that its hyperparameters speak against: that counts as much as what
# they say.
_MOST_INFORMED = 0.5
# At most so many waves until as many models as are left have their next instance.
_MOST_WAVES = 16
# Two standard deviations are equal that differ by less.
_ALIKE = 0.01
# Fewest models that get a second instance before anything is decided.
_SMALLEST_PILOT = 6
_FEWEST_LEADERS = 3


@dataclass(frozen=True, kw_only=True)
class RaceRule:
    """Find the best of many models for little more than one instance each.

    After every wave, the rule computes the distribution of every model's criterion over all its
    ``n_instances`` (:func:`~optuna_robust.comparison.criterion_posterior`) and from these the
    probability of being within ``tolerance`` of the best
    (:class:`~optuna_robust.comparison.Contest`). Models share what they say on the noise, on
    common instances, and on how good models are at all: that the incumbent is the luckiest of
    many is part of it, and one instance is enough to drop most of them.

    The risk of a race is ``alpha / 4``. It drops models as long as the probability that no model
    within ``tolerance`` of the best is left stays below a quarter of the risk, counting all models
    that were ever dropped, as judged after the wave. The race is over when the probability that
    the ``n_select`` likeliest models hold none within ``tolerance`` of the best is at most three
    quarters of the risk (or half of it, apart from what training cannot win back), or
    when all models that are left have ``n_instances``. Else the next instance is for the
    likeliest model and for its likeliest rivals, which together have half of the rivals' chances,
    those that are less well known first. Before anything, a pilot of second instances tells the
    noise: models evenly spread over the ranks of their first loss, or those that are the best as
    far as the others' losses tell by their hyperparameters, and some leaders.

    Models that are the same share their chances: of models with equal losses, as many as are
    selected stay in, as soon as the losses are too many to be equal by chance.

    The best model is the one that would be the best if all had ``n_instances``. Probabilities are
    on average over sets of models, as told by :func:`~optuna_robust.comparison.fit_random_levels`.
    Some sets are harder: a model just beyond ``tolerance`` is confused with the best more often.
    That the risk is a quarter of ``alpha`` leaves room for these.

    Args:
        criterion:
            What models are ranked by; see :func:`~optuna_robust.criteria.get_criterion`.
        n_instances:
            Most instances of a model.
        n_select:
            How many models are selected.
        alpha:
            Error rate of the race, in (0, 1).
        tolerance:
            How much worse than the best a model may be, in units of the criterion; not negative.
        common_instances:
            Whether instance j is the same for all models (``reshuffle=False``).
        models:
            Hyperparameters of every model: what the others' losses say at these informs the
            levels (:func:`~optuna_robust.comparison.fit_informed_levels`), where it says
            anything. None: levels are drawn to one that all models share.
        distributions:
            What every model's hyperparameters were drawn from, which tells logarithms; only with
            ``models``.

    Raises:
        TypeError: If an argument has the wrong type.
        ValueError: If an argument is out of range.

    Example:
        >>> import numpy as np
        >>> from optuna_robust.elimination import RaceRule
        >>> rule = RaceRule(criterion="mean", n_instances=20)
        >>> losses = np.random.default_rng(0).normal(np.arange(30.0)[:, None], 3.0, (30, 2))
        >>> losses[9:, 1] = np.nan
        >>> decision = rule.eliminate(losses)
        >>> decision.kept, decision.next_models
        ((0, 1, 2, 4, 5, 6, 7), (4, 6))
    """

    criterion: str | Callable[[FloatArray], float] | Criterion = "q3+iqr"
    n_instances: int = 20
    n_select: int = 1
    alpha: float = 0.05
    tolerance: float = 0.0
    common_instances: bool = True
    models: Sequence[Mapping[str, Any]] | None = field(default=None, repr=False, hash=False)
    distributions: Sequence[Mapping[str, BaseDistribution]] | None = field(
        default=None, repr=False, hash=False
    )

    def __post_init__(self) -> None:
        check_count("n_instances", self.n_instances, minimum=1)
        check_min_instances(get_criterion(self.criterion), self.n_instances)
        check_count("n_select", self.n_select, minimum=1)
        check_between("alpha", self.alpha, 0.0, 1.0)
        check_between("tolerance", self.tolerance, 0.0, math.inf, closed=True)
        if self.models is None and self.distributions is not None:
            raise ValueError("distributions have no effect without models.")
        if self.models is not None:
            check_models(self.models, self.distributions)

    @cached_property
    def _features(self) -> FloatArray | None:
        """Features of the hyperparameters, if there are any that differ."""
        if self.models is None:
            return None
        features = encode_models(self.models, self.distributions)
        return features if features.shape[1] else None

    @property
    def name(self) -> str:
        """What users call it."""
        return "race"

    def eliminates_at(self, n_instances: int) -> bool:
        """Return True if models can be removed after this many instances."""
        return n_instances > 0

    def eliminate(self, losses: npt.ArrayLike, alive: Iterable[int] | None = None) -> Decision:
        """Decide which of the models alive go on, and which get their next instance.

        Args:
            losses:
                Oriented losses of the instances trained so far, shape
                ``(n_models, n_instances)``; NaN = not trained. Models that are not alive count,
                with the losses that they have.
            alive:
                Indices of the models that are still in; default: all.

        Returns:
            The decision. Its scores are the expected criteria over ``n_instances``, NaN before
            the pilot was trained.

        Raises:
            TypeError: If ``alive`` holds something else than integers.
            ValueError: If there are no models, no instances, an index is unknown, or the rule
                has the hyperparameters of another number of models.
        """
        matrix = check_losses(losses)[:, : self.n_instances]
        if self.models is not None and len(self.models) != len(matrix):
            raise ValueError(
                f"The race has hyperparameters of {len(self.models)} models, but losses of "
                f"{len(matrix)}."
            )
        models = model_indices(len(matrix), alive)
        copies: dict[int, tuple[int, int]] = {}
        if self.common_instances:
            level = _SHARE_ON_THE_WAY * self.alpha / _HARDNESS
            copies = find_copies(matrix, models, n_originals=self.n_select, level=level)
        return self._without(copies, matrix, models) if copies else self._decide(matrix, models)

    def _without(
        self,
        copies: Mapping[int, tuple[int, int]],
        matrix: FloatArray,
        models: npt.NDArray[np.intp],
    ) -> Decision:
        """Decide on models of which some are the same: copies wait for the others."""
        rows = np.setdiff1d(np.arange(len(matrix)), list(copies))
        rule = replace(
            self,
            models=None if self.models is None else [self.models[row] for row in rows],
            distributions=(
                None if self.distributions is None else [self.distributions[row] for row in rows]
            ),
        )
        alive = np.flatnonzero(np.isin(rows, models))
        return with_copies(
            rule._decide(matrix[rows], alive),
            rows,
            copies,
            matrix,
            models,
            name=self.name,
            n_select=self.n_select,
        )

    def _decide(self, matrix: FloatArray, models: npt.NDArray[np.intp]) -> Decision:
        """Decide on models of which no two are the same."""
        criterion = get_criterion(self.criterion)
        open_ = models[np.isnan(matrix[models]).any(axis=1)]
        if matrix.shape[1] < self.n_instances:
            open_ = models
        if not tells_noise(matrix, common_instances=self.common_instances):
            return self._before_the_pilot(matrix, models, open_)
        fit = None
        if self._features is not None:
            fit = fit_informed_levels(
                matrix,
                self._features,
                common_instances=self.common_instances,
                most_informed=_MOST_INFORMED,
            )
        posterior = criterion_posterior(
            matrix,
            criterion,
            self.n_instances,
            common_instances=self.common_instances,
            fit=fit,
        )
        expected = posterior.mean
        contest = Contest(posterior, self.tolerance)
        probabilities = contest.probabilities()
        # Who was dropped does not come back, however good it looks by now: the models that are
        # left are ranked by their chances among themselves.
        among_left = Contest(posterior.of(models), self.tolerance)
        chances = among_left.probabilities().round(9)
        ranked = np.lexsort((-np.arange(len(models)), chances))  # of equals the lower index stays
        out = np.setdiff1d(np.arange(len(matrix)), models)
        order = np.concatenate([out, models[ranked]])
        risks = contest.risks(order)
        n_dropped = max(len(matrix) - self.n_select, 0)
        n_more = n_dropped - len(out)
        over = not len(open_) or (
            n_more > 0
            and self._is_clear(risks[n_dropped - 1], among_left.risks(ranked)[n_more - 1])
        )
        if not over:
            level = _SHARE_ON_THE_WAY * self.alpha / _HARDNESS
            n_safe = int(np.searchsorted(risks, level, side="right"))
            n_dropped = min(n_safe, n_dropped)
        gone = set(out.tolist())
        removed: dict[int, Removal] = {
            int(model): UnlikelyBest(
                self.name,
                float(expected[model]),
                math.nan,
                None,
                int(order[-1]),
                float(probabilities[model]),
                self.tolerance,
            )
            for model in np.sort(order[:n_dropped])
            if model not in gone
        }
        kept = tuple(int(model) for model in models if model not in removed)
        scores = np.full(len(matrix), np.nan)
        scores[models] = expected[models]
        return Decision(
            kept,
            removed,
            int(order[-1]),
            scores,
            np.full(len(matrix), np.nan),
            ()
            if over
            else self._leaders(
                among_left, posterior.std, models, np.intersect1d(open_, kept), len(kept)
            ),
            probabilities,
        )

    def _is_clear(self, risk: float, risk_among_left: float) -> bool:
        """Return True if all but the selected can go.

        What was lost with models that are out cannot be won back by training others.

        Args:
            risk:
                That no model within the tolerance of the best of all is selected then.
            risk_among_left:
                That none within the tolerance of the best of those that are left is.
        """
        level = self.alpha / _HARDNESS
        return (
            risk <= (1.0 - _SHARE_ON_THE_WAY) * level
            or risk_among_left <= (1.0 - 2.0 * _SHARE_ON_THE_WAY) * level
        )

    def _before_the_pilot(
        self,
        matrix: FloatArray,
        models: npt.NDArray[np.intp],
        open_: npt.NDArray[np.intp],
    ) -> Decision:
        """Decide nothing yet, but who gets a second instance."""
        least = np.where(np.isfinite(matrix), matrix, np.inf).min(axis=1)
        ranked = open_[rank_models(least[open_])]
        size = math.sqrt(len(ranked))
        n_pilot = min(max(_SMALLEST_PILOT, math.ceil(size)), len(ranked))
        n_leaders = max(_FEWEST_LEADERS, math.ceil(size / 2.0))
        pilot = np.union1d(self._tell_the_noise(matrix, ranked, n_pilot), ranked[:n_leaders])
        scores = np.full(len(matrix), np.nan)
        scores[models] = get_criterion(self.criterion).score(matrix[models])
        incumbent = int(models[rank_models(np.where(np.isnan(scores), least, scores)[models])[0]])
        unknown = np.full(len(matrix), np.nan)
        removed: dict[int, Removal] = {}
        if not len(open_):  # there will be no more to go by than the criterion
            worse = models[rank_models(scores[models])][self.n_select :]
            removed = {
                int(model): Removal(
                    self.name, float(scores[model]), float(scores[incumbent]), None, incumbent
                )
                for model in np.sort(worse)
            }
        return Decision(
            tuple(int(model) for model in models if model not in removed),
            removed,
            incumbent,
            scores,
            unknown,
            tuple(int(model) for model in pilot),
            unknown,
        )

    def _tell_the_noise(
        self, matrix: FloatArray, ranked: npt.NDArray[np.intp], n_pilot: int
    ) -> npt.NDArray[np.intp]:
        """Return models whose second losses tell the noise.

        They must not be chosen by their own first losses: the best of these are lucky, and differ
        from the second ones by more, and from each other by less, than by the noise. Those that
        the others' losses predict to be good are not, and will be trained on in any case.
        """
        if self._features is not None:
            finite = np.abs(matrix) < np.inf
            n = np.maximum(np.count_nonzero(finite, axis=1), 1)
            means = np.where(finite, matrix, 0.0).sum(axis=1) / n
            means[~finite.any(axis=1)] = np.inf
            means[np.isnan(matrix).all(axis=1)] = np.nan
            predicted = predict_levels(self._features, means)
            if predicted.kernel is not None:
                order = np.argsort(predicted.mean[ranked].round(12), kind="stable")
                return np.asarray(ranked[order[:n_pilot]])
        even = ((np.arange(n_pilot) + 0.5) * len(ranked) / max(n_pilot, 1)).astype(np.intp)
        return np.asarray(ranked[even])

    def _leaders(
        self,
        among_left: Contest,
        stds: FloatArray,
        models: npt.NDArray[np.intp],
        candidates: npt.NDArray[np.intp],
        n_kept: int,
    ) -> tuple[int, ...]:
        """Return who gets the next instance: the likeliest model or its rivals, or both.

        A difference is known best for the trainings if both sides are known equally well
        (Russo 2020: half of them for the leader), most of all on the same instances, whose
        effects cancel.
        """
        # Russo (2020): as much for the likeliest model as for all its rivals.
        best = among_left.probabilities_of_best()
        leader = int(models[int(np.argmax(best))])
        others = candidates[candidates != leader]
        chance = best[np.searchsorted(models, others)]
        ranked = np.argsort(-chance, kind="stable")
        others, share = others[ranked], np.cumsum(chance[ranked])
        n_rivals = (
            int(np.searchsorted(share, _SHARE_OF_RIVALS * share[-1])) + 1 if len(share) else 0
        )
        rivals = others[:n_rivals]
        limit = (1.0 - _ALIKE) * stds[leader]
        chosen = [int(model) for model in rivals if stds[model] >= limit]
        if leader in candidates and (
            not len(rivals) or stds[leader] >= (1.0 - _ALIKE) * np.median(stds[rivals])
        ):
            chosen.append(leader)
        chosen = chosen or [int(model) for model in rivals]
        missing = math.ceil(n_kept / _MOST_WAVES) - len(chosen)
        more = [int(model) for model in others if model not in set(chosen)]
        return tuple(sorted(chosen + more[: max(missing, 0)]))
