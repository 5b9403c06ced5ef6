"""What figures of learning curves are made of: every instance's values, epoch by epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from optuna.study import Study

from optuna_robust._base.arguments import check_choice
from optuna_robust._base.arguments import check_text
from optuna_robust._base.arrays import FloatArray
from optuna_robust._instances.learning_curves import learning_curves_of
from optuna_robust._instances.model_key import model_key
from optuna_robust._reporting.visualization._models import CriterionLike
from optuna_robust._reporting.visualization._models import Models
from optuna_robust._reporting.visualization._models import models_of
from optuna_robust._running.check_store import check_store
from optuna_robust._search.selection import SelectionResult
from optuna_robust._statistics.criteria import get_criterion


if TYPE_CHECKING:
    from optuna_robust._running.store import InstanceStore


# Rankings of an instance that fewer than this share of the models have are of survivors only,
# which are more alike: they would look harder to rank than models are.
_LEAST_SHARE = 0.5


@dataclass(frozen=True, eq=False, kw_only=True)
class Curves:
    """Learning curves of models' instances.

    Attributes:
        models: The models.
        instances: Instance numbers.
        epochs: What the objective reported as steps, ascending.
        values: In the user's orientation, shape ``(n_models, n_instances, n_epochs)``; NaN = not
            reported, the worst infinity where NaN was reported.
        direction: ``"minimize"`` or ``"maximize"``: which way of the values is better.
        value_name: What a value is called.
    """

    models: Models
    instances: tuple[int, ...]
    epochs: tuple[int, ...]
    values: FloatArray
    direction: str
    value_name: str

    @property
    def sign(self) -> int:
        """-1 if values are turned round to be minimised, else 1."""
        return -1 if self.direction == "maximize" else 1

    def rankable(self) -> list[FloatArray]:
        """Return values to be minimised of the models that got to the last epoch.

        Infeasible models are left out, unless none is feasible.

        Returns:
            One array for every instance that enough models have, ``(n_models, n_epochs)``.
        """
        if not self.epochs:
            return []
        oriented = self.sign * self.values[self.models.rivals]
        ended = ~np.isnan(oriented[:, :, -1])
        counts = ended.sum(axis=0)
        least = max(2.0, _LEAST_SHARE * counts.max(initial=0))
        return [
            oriented[ended[:, column], column]
            for column in range(len(self.instances))
            if counts[column] >= least
        ]


def curves_of(
    source: Study | SelectionResult | npt.ArrayLike,
    *,
    store: InstanceStore | None,
    criterion: CriterionLike | None = None,
    direction: str | None,
    value_name: str | None,
) -> Curves:
    """Return learning curves.

    Args:
        source:
            A study, a selection's result with ``store``, or values, shape ``(n_models,
            n_instances, n_epochs)``, NaN where none was reported.
        store:
            The store that kept the instances; None: a study's trials did.
        criterion:
            What models are ranked by; None: that of the search, or the criterion q3+iqr of the
            last epoch.
        direction:
            Which way of the values is better; None: as the losses of the study, or
            ``"minimize"``.
        value_name:
            What a value is called; None: as a loss is called.

    Raises:
        TypeError: If ``store`` is missing for a selection, or given with values.
        ValueError: If the direction is unknown, or values have not three dimensions.
    """
    if direction is not None:
        check_choice("direction", direction, ("minimize", "maximize"))
    check_text("value_name", value_name)
    check_store(store)
    if not isinstance(source, (Study, SelectionResult)):
        return _of_values(source, store, criterion, direction or "minimize", value_name)
    if store is None and not isinstance(source, Study):
        raise TypeError(
            "The learning curves of a selection are kept in an InstanceStore, and in its study: "
            "give the store as store, or the study that robust_select got (study=), or the curves "
            "as an array (n_models, n_instances, n_epochs)."
        )
    models = models_of(source, criterion=criterion)
    if store is not None:
        found = _stored_curves(models, store)
    elif isinstance(source, Study):
        found = _recorded_curves(models, source)
    epochs = tuple(sorted({epoch for curve in found.values() for epoch in curve}))
    instances = tuple(sorted({number for _, number in found}))
    values = np.full((len(models.numbers), len(instances), len(epochs)), np.nan)
    worst = -np.inf if (direction or models.direction) == "maximize" else np.inf
    columns = {number: j for j, number in enumerate(instances)}
    places = {epoch: k for k, epoch in enumerate(epochs)}
    for (row, number), curve in found.items():
        for epoch, value in curve.items():
            values[row, columns[number], places[epoch]] = worst if np.isnan(value) else value
    return Curves(
        models=models,
        instances=instances,
        epochs=epochs,
        values=values,
        direction=direction or models.direction,
        value_name=value_name or models.loss_name,
    )


def _recorded_curves(models: Models, study: Study) -> dict[tuple[int, int], dict[int, float]]:
    """Return the curves that a study's trials keep, by row of the model and instance number."""
    by_number = {trial.number: trial for trial in study.get_trials(deepcopy=False)}
    return {
        (row, number): curve
        for row, trial in enumerate(models.numbers)
        for number, curve in learning_curves_of(by_number[trial]).items()
        if number in models.instances
    }


def _stored_curves(
    models: Models, store: InstanceStore
) -> dict[tuple[int, int], dict[int, float]]:
    """Return the curves that a store keeps, by row of the model and instance number."""
    kept = {
        (each.model_key, each.number, each.own): each.outcome.learning_curve
        for each in store.instances()
        if each.phase == "search" and each.outcome is not None and each.outcome.learning_curve
    }
    found = {}
    for row, (own, params) in enumerate(zip(models.numbers, models.params, strict=True)):
        key = model_key(params)
        for number in models.instances:
            curve = kept.get((key, number, None if models.common_instances else own))
            if curve is not None:
                found[row, number] = curve
    return found


def _of_values(
    source: npt.ArrayLike,
    store: InstanceStore | None,
    criterion: CriterionLike | None,
    direction: str,
    value_name: str | None,
) -> Curves:
    if store is not None:
        raise TypeError("store belongs to a study or a selection, not to an array of curves.")
    try:
        values = np.asarray(source, dtype=np.float64)
    except (TypeError, ValueError):
        raise TypeError(
            "Learning curves are taken from a study, from the result of robust_select, or from an "
            f"array (n_models, n_instances, n_epochs), but got {type(source).__name__}."
        ) from None
    if values.ndim != 3:
        raise ValueError(
            "Learning curves must have the shape (n_models, n_instances, n_epochs), but had "
            f"{values.shape}."
        )
    n_models, n_instances, n_epochs = values.shape
    name = value_name or ("loss" if direction == "minimize" else "objective value")
    chosen = get_criterion("q3+iqr" if n_instances > 1 else "median")
    models = Models(
        noun="model",
        numbers=tuple(range(n_models)),
        params=({},) * n_models,
        losses=values[:, :, -1] if n_epochs else np.full((n_models, n_instances), np.nan),
        instances=tuple(range(n_instances)),
        finished=np.ones(n_models, dtype=np.bool_),
        n_run=np.full(n_models, n_instances, dtype=np.intp),
        fates=("complete",) * n_models,
        violations=np.zeros(n_models),
        n_instances=n_instances,
        common_instances=True,
        direction=direction,
        loss_name=name,
        criterion=chosen if criterion is None else get_criterion(criterion),
    )
    epochs = tuple(range(1, n_epochs + 1))
    return Curves(
        models=models,
        instances=models.instances,
        epochs=epochs,
        values=values,
        direction=direction,
        value_name=name,
    )
