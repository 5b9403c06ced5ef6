"""Hyperparameters that an objective never suggests: models that are not different after all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from optuna_robust._base.log import logger
from optuna_robust._instances.model_key import model_key


if TYPE_CHECKING:
    from optuna_robust._search.model_record import ModelRecord
    from optuna_robust._search.selection._models import ModelSet


def check_suggested(models: ModelSet, records: Sequence[ModelRecord]) -> None:
    """Check that the objective suggests what the models differ in, once each was trained.

    What it reads from ``trial.params`` counts as suggested. In a conditional space a model's
    objective may leave out some. Models that are equal in all that it suggests are trained twice,
    and warned of.

    Args:
        models:
            The models.
        records:
            What came of their instances.

    Raises:
        ValueError: If a name of a grid, or of a search space, is suggested for no model.
    """
    suggested = [_suggested(record) for record in records]
    if None not in suggested and models.is_product:
        everything = set().union(*filter(None, suggested))
        unused = sorted(set().union(*models.params) - everything)
        if unused and everything:
            raise ValueError(
                f"models has {unused}, which the objective suggests for no model; it suggests "
                f"{sorted(everything)}. Correct or remove what it does not suggest: models that "
                "differ in nothing else are the same."
            )
    _warn_of_equals(models, suggested)


def _suggested(record: ModelRecord) -> set[str] | None:
    """Return what the objective suggested for a model, or read; None if that is not known.

    An instance that failed may have ended before it suggested all.
    """
    if len(record.failures) == len(record.losses) or not record.distributions:
        return None
    return {*record.distributions, *record.read_params}


def _warn_of_equals(models: ModelSet, suggested: Sequence[set[str] | None]) -> None:
    first: dict[str, int] = {}
    for model, (params, names) in enumerate(zip(models.params, suggested, strict=True)):
        if names is None:
            continue
        key = model_key({name: params[name] for name in sorted(names)})
        other = first.setdefault(key, model)
        if other != model:
            logger.warning(
                f"Models {other} ({models.params[other]}) and {model} ({params}) are the same: "
                f"the objective suggests only {sorted(names)} for both. Each is trained as a "
                "model of its own; give such models once."
            )
            return
