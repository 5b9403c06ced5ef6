"""The models of a search that are worth a confirmation, best first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.study import Study
from optuna.study import StudyDirection

from optuna_robust import trials
from optuna_robust.criteria import FloatArray
from optuna_robust.criteria import rank_models
from optuna_robust.model_key import model_key
from optuna_robust.models import complete_trials
from optuna_robust.selection_result import SelectionResult


@dataclass(frozen=True)
class Candidate:
    """A model that a search found good.

    Attributes:
        params: Its hyperparameters.
        index: Number of its trial, or its index in the selection.
        search_value: Its value in the search, in the user's orientation.
        search_losses: Its losses in the search, to be minimised; None if it was trained once.
    """

    params: dict[str, Any]
    index: int
    search_value: float
    search_losses: FloatArray | None


@dataclass(frozen=True)
class Search:
    """What a search found.

    Attributes:
        candidates: The models, the best first.
        direction: ``"minimize"`` or ``"maximize"``.
        criterion: Name of its criterion; None if it trained every model once.
        settings: What its instances' seeds were made from, as far as it is known.
    """

    candidates: tuple[Candidate, ...]
    direction: str
    criterion: str | None
    settings: dict[str, Any]

    @property
    def sign(self) -> int:
        """-1 if losses are turned round to be minimised, else 1."""
        return -1 if self.direction == "maximize" else 1


def searched(source: object) -> Search:
    """Return what a search found.

    Raises:
        TypeError: If it is neither a study nor a selection's result.
        ValueError: If it found nothing, or has several objectives.
    """
    if isinstance(source, SelectionResult):
        return _from_selection(source)
    if not isinstance(source, Study):
        raise TypeError(
            "confirm takes a study or the result of robust_select, but got "
            f"{type(source).__name__}."
        )
    found = complete_trials(source)
    if not found:
        raise ValueError(f"The study {source.study_name!r} has no complete (and feasible) trials.")
    sign = -1 if source.direction == StudyDirection.MAXIMIZE else 1
    settings = source.user_attrs.get(trials.SETTINGS, {})
    candidates = {
        model_key(trial.params): Candidate(
            trial.params,
            trial.number,
            trial.values[0],
            np.array(list(trials.oriented_losses(trial, sign).values()), dtype=np.float64)
            if trials.is_recorded(trial)
            else None,
        )
        for trial in reversed(found)  # of the same model the best trial
    }
    return Search(
        tuple(reversed(candidates.values())),
        "maximize" if sign < 0 else "minimize",
        settings.get("criterion", [None])[0],
        settings,
    )


def _from_selection(result: SelectionResult) -> Search:
    """Rank the survivors before those that were removed, and these by how far they got."""
    sign = -1 if result.direction == "maximize" else 1
    removed_at = {model: step.step for step in result.steps for model in step.removed}
    n_steps = len(result.steps)
    groups: dict[int, list[int]] = {}
    for model in range(len(result.models)):
        groups.setdefault(removed_at.get(model, n_steps + 1), []).append(model)
    ranked = [
        models[position]
        for _, models in sorted(groups.items(), reverse=True)
        for position in rank_models(sign * result.values[models])
    ]
    return Search(
        tuple(
            Candidate(
                result.models[model],
                model,
                float(result.values[model]),
                sign * result.losses[model][~np.isnan(result.losses[model])],
            )
            for model in ranked
        ),
        result.direction,
        result.criterion,
        result.settings,
    )
