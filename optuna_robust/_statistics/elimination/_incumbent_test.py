"""Tests against the incumbent: drop models that a two-sample test tells apart from the best."""

from __future__ import annotations

from dataclasses import dataclass
from dataclasses import InitVar
import warnings

import numpy as np
import numpy.typing as npt

from optuna_robust._base.arguments import check_between
from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.comparison import Alternative
from optuna_robust._statistics.comparison import compare_with_reference
from optuna_robust._statistics.comparison import get_test
from optuna_robust._statistics.comparison import instances_to_reject
from optuna_robust._statistics.criteria import identical
from optuna_robust._statistics.elimination._base import CriterionRule
from optuna_robust._statistics.elimination._base import Removal


DIRECTED_PREFIX = "directed-"


@dataclass(frozen=True, kw_only=True)
class IncumbentTest(CriterionRule):
    """Drop models that a two-sample test tells apart from the incumbent (p < alpha).

    Two-sided, the rule is that of the method's authors (CHEP 2026): it also drops models that
    are *more* stable than the incumbent, and with hundreds of models it tells equal ones apart.
    Directed, a model goes only if it is worse. The incumbent, best by the criterion, always
    stays; a NaN p-value keeps the model, as that of the tests of moments with an infinite loss;
    p-values are not corrected for the number of models or looks.

    Args:
        criterion:
            As in :class:`Halving`; chooses the incumbent.
        n_warmup_instances:
            No elimination on the first so many instances. Some tests cannot reject before they
            have enough of them (:func:`~optuna_robust.comparison.smallest_p_value`), and a warning
            says so.
        n_select:
            Fewest models that are kept.
        test:
            A name that :func:`~optuna_robust.comparison.get_test` knows.
        alpha:
            Level of the test, in (0, 1).
        directed:
            Drop a model only if its losses are worse (level) or wider (spread).
        n_instances:
            Most instances of a model, if that is known: for the warning alone.

    Example:
        >>> from optuna_robust.elimination import IncumbentTest
        >>> rule = IncumbentTest(test="welch", criterion="mean", n_warmup_instances=2)
        >>> decision = rule.eliminate([[0.1, 0.2, 0.1], [0.9, 0.8, 0.9], [0.2, 0.1, 0.2]])
        >>> decision.kept, str(decision.removed[1])
        ((0, 2), 'welch: p = 9.97e-05 < 0.05 against model 0')
    """

    test: str = "welch"
    alpha: float = 0.05
    directed: bool = False
    n_instances: InitVar[int | None] = None

    def __post_init__(self, n_instances: int | None) -> None:
        super().__post_init__()
        get_test(self.test)
        check_between("alpha", self.alpha, 0.0, 1.0)
        first = self.n_warmup_instances + 1
        needed = self._needed(at_least=first)
        if needed == first:
            return
        if n_instances is None or (needed is not None and needed <= n_instances):
            consequence = (
                f"nothing is eliminated before, although n_warmup_instances="
                f"{self.n_warmup_instances} allows it from {first} on"
            )
        else:
            consequence = _never(n_instances)
        # From here over the generated __init__ to who makes the rule.
        warnings.warn(f"{self._limit(needed)}: {consequence}.", stacklevel=3)

    def warn_if_out_of_reach(self, n_instances: int, *, stacklevel: int = 1) -> None:
        """Warn if it can never reject.

        Args:
            n_instances:
                Most instances of a model.
            stacklevel:
                1 for the line that calls this, 2 for the one that calls that, and so on.
        """
        needed = self._needed(at_least=self.n_warmup_instances + 1)
        if needed is None or needed > n_instances:
            warnings.warn(
                f"{self._limit(needed)}: {_never(n_instances)}.", stacklevel=stacklevel + 1
            )

    def _needed(self, *, at_least: int) -> int | None:
        return instances_to_reject(self.test, self.alpha, self._alternative, at_least=at_least)

    def _limit(self, needed: int | None) -> str:
        """Say with how many instances it cannot reject."""
        if needed is None:
            few = "fewer than a hundred instances"
        elif needed == self._needed(at_least=1):
            few = f"fewer than {needed} instances"
        else:  # it can with still fewer: floors of odd numbers are higher
            few = f"{needed - 1} instances (with {needed} instances it can)"
        return (
            f"{self.name} cannot reject at alpha={self.alpha:g} with {few}, however different "
            "the models are"
        )

    @property
    def name(self) -> str:
        """What users call it."""
        return DIRECTED_PREFIX + self.test if self.directed else self.test

    @property
    def _alternative(self) -> Alternative:
        return "greater" if self.directed else "two-sided"

    def _removals(
        self,
        losses: FloatArray,
        ranked: npt.NDArray[np.intp],
        scores: FloatArray,
        p_values: FloatArray,
    ) -> dict[int, Removal]:
        incumbent, others = int(ranked[0]), ranked[1:]
        p_values[others] = compare_with_reference(
            losses[others], losses[incumbent], self.test, alternative=self._alternative
        )
        rejected = [int(model) for model in others if p_values[model] < self.alpha]
        if self.directed and get_test(self.test).kind == "spread" and identical(losses[incumbent]):
            rejected = []  # identical losses say nothing about a spread
        spared = max(0, self.n_select - (len(ranked) - len(rejected)))
        return {
            model: Removal(
                self.name, float(scores[model]), self.alpha, float(p_values[model]), incumbent
            )
            for model in rejected[spared:]
        }


def _never(n_instances: int) -> str:
    return f"with n_instances={n_instances} it never eliminates a model"
