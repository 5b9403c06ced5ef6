"""A rule that decides as if some of the models were not in the set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from optuna_robust._base.arrays import FloatArray
from optuna_robust._statistics.elimination import Decision
from optuna_robust._statistics.elimination import EliminationRule
from optuna_robust._statistics.elimination import NoDifference
from optuna_robust._statistics.elimination import RaceRule
from optuna_robust._statistics.elimination import Removal


if TYPE_CHECKING:
    import numpy.typing as npt


class Subset:
    """Some of the models of a selection: a rule gets these, and knows of no others.

    Args:
        rule:
            Decides on all models.
        n_models:
            How many there are.
        left_out:
            Indices of those that are not in the subset.
    """

    def __init__(self, rule: EliminationRule, n_models: int, left_out: Sequence[int]) -> None:
        self._n_models = n_models
        self._rows = np.setdiff1d(np.arange(n_models), left_out)
        self._rule = rule
        if len(left_out) and isinstance(rule, RaceRule) and rule.models is not None:
            models, distributions = rule.models, rule.distributions
            self._rule = replace(
                rule,
                models=[models[row] for row in self._rows],
                distributions=distributions and [distributions[row] for row in self._rows],
            )

    def eliminate(self, losses: FloatArray, alive: Sequence[int]) -> Decision:
        """Decide on models of the subset.

        Args:
            losses:
                Of all models, as the rule takes them.
            alive:
                Indices of the models that are still in, of the subset.

        Returns:
            The decision, about all models: those that are left out have neither score nor
            probability.
        """
        if len(self._rows) == self._n_models:
            return self._rule.eliminate(losses, alive)
        found = self._rule.eliminate(losses[self._rows], np.searchsorted(self._rows, alive))
        return replace(
            found,
            kept=self._indices(found.kept),
            removed={
                int(self._rows[row]): self._removal(why) for row, why in found.removed.items()
            },
            incumbent=int(self._rows[found.incumbent]),
            scores=self._of_all(found.scores),
            p_values=self._of_all(found.p_values),
            next_models=None if found.next_models is None else self._indices(found.next_models),
            probabilities=(
                None if found.probabilities is None else self._of_all(found.probabilities)
            ),
        )

    def _removal(self, why: Removal) -> Removal:
        why = replace(why, incumbent=int(self._rows[why.incumbent]))
        if isinstance(why, NoDifference):
            return replace(why, original=int(self._rows[why.original]))
        return why

    def _indices(self, rows: Sequence[int]) -> tuple[int, ...]:
        indices: npt.NDArray[np.intp] = self._rows[list(rows)]
        return tuple(indices.tolist())

    def _of_all(self, values: FloatArray) -> FloatArray:
        of_all = np.full(self._n_models, np.nan)
        of_all[self._rows] = values
        return of_all
