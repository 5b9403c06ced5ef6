"""The set of models that a selection chooses from: given, a grid, sampled, or a study's."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
import itertools
from typing import Any
from typing import TYPE_CHECKING

import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import RandomSampler
from optuna.study import Study

from optuna_robust._base.arguments import check_count
from optuna_robust._instances.model_key import model_key
from optuna_robust._instances.model_key import plain
from optuna_robust._instances.trials import complete_trials


if TYPE_CHECKING:
    from optuna.samplers import BaseSampler


@dataclass(frozen=True)
class ModelSet:
    """Different models, in order.

    Attributes:
        params: Hyperparameters of every model.
        distributions: What each was drawn from; empty where that is not known yet.
        is_product: Whether they are of a grid or a search space: each has all names.
    """

    params: tuple[dict[str, Any], ...]
    distributions: tuple[dict[str, BaseDistribution], ...] = field(repr=False)
    is_product: bool = False

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.params)


def model_set(
    models: object, *, n_models: int | None, sampler: BaseSampler | None, seed: int
) -> ModelSet:
    """Return the set of models that a user describes.

    Args:
        models:
            A list of hyperparameters, a grid ``{name: [values]}``, a search space
            ``{name: distribution}`` or a study.
        n_models:
            How many to sample from a search space, or to take from a study.
        sampler:
            Samples from a search space; default: at random, from ``seed``.
        seed:
            Of the default sampler.

    Raises:
        TypeError: If ``models`` is none of these.
        ValueError: If there are no models, a list has one twice, or ``n_models`` or ``sampler``
            is missing or out of place.
    """
    if n_models is not None:
        check_count("n_models", n_models, minimum=1)
    is_space = _is_space(models)
    if sampler is not None and not is_space:
        raise ValueError("sampler is for a search space {name: distribution} only.")
    if isinstance(models, Study):
        return _from_study(models, n_models)
    if is_space:
        if n_models is None:
            raise ValueError("n_models says how many models to sample from a search space.")
        return _sampled(models, n_models, sampler or RandomSampler(seed=seed))  # type: ignore[arg-type]
    if n_models is not None:
        raise ValueError(
            f"n_models={n_models} is for a search space or a study; a list or a grid is taken "
            "whole."
        )
    if isinstance(models, Mapping):
        return _from_grid(models)
    if isinstance(models, Sequence) and not isinstance(models, (str, bytes)):
        return _from_list(models)
    raise TypeError(
        "models must be a list of hyperparameters [{name: value}, …], a grid {name: [values]}, a "
        f"search space {{name: distribution}} or a study, but was {models!r}."
    )


def _is_space(models: object) -> bool:
    if not isinstance(models, Mapping) or not models:
        return False
    kinds = {isinstance(values, BaseDistribution) for values in models.values()}
    if len(kinds) > 1:
        raise ValueError(
            "models has distributions and lists of values; use one of them for all names, such as "
            "CategoricalDistribution(values) for a list."
        )
    return kinds == {True}


def _from_list(models: Sequence[object]) -> ModelSet:
    if not models:
        raise ValueError("models must hold at least one model, but was empty.")
    positions: dict[str, int] = {}
    for position, params in enumerate(models):
        if not isinstance(params, Mapping):
            raise TypeError(
                f"models[{position}] must be a model's hyperparameters {{name: value}}, but was "
                f"{params!r}."
            )
        key = model_key(params)
        if key in positions:
            raise ValueError(
                f"models[{position}] is the same model as models[{positions[key]}]: "
                f"{dict(params)}."
            )
        positions[key] = position
    return _without_distributions(models)  # type: ignore[arg-type]


def _from_grid(grid: Mapping[str, object]) -> ModelSet:
    if not grid:
        raise ValueError("models must hold at least one model, but the grid was empty.")
    axes = []
    for name, values in grid.items():
        if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
            raise TypeError(f"The grid's {name!r} must be a list of values, but was {values!r}.")
        axes.append(list(values))
        if not axes[-1]:
            raise ValueError(f"The grid's {name!r} has no values.")
    models = _without_distributions(
        dict(zip(grid, values, strict=True)) for values in itertools.product(*axes)
    )
    return replace(_merged(models), is_product=True)


def _sampled(
    space: Mapping[str, BaseDistribution], n_models: int, sampler: BaseSampler
) -> ModelSet:
    study = optuna.create_study(sampler=sampler)
    drawn = [plain(study.ask(dict(space)).params) for _ in range(n_models)]
    models = _merged(ModelSet(tuple(drawn), (dict(space),) * n_models))
    return replace(models, is_product=True)


def _from_study(study: Study, n_models: int | None) -> ModelSet:
    trials = complete_trials(study)
    if not trials:
        raise ValueError(f"The study {study.study_name!r} has no complete (and feasible) trials.")
    merged = _merged(
        ModelSet(
            tuple(plain(trial.params) for trial in trials),
            tuple(trial.distributions for trial in trials),
        )
    )
    return ModelSet(merged.params[:n_models], merged.distributions[:n_models])


def _without_distributions(models: Iterable[Mapping[str, Any]]) -> ModelSet:
    params = tuple(map(plain, models))
    return ModelSet(params, ({},) * len(params))


def _merged(models: ModelSet) -> ModelSet:
    """Leave out models that are there before."""
    first: dict[str, int] = {}
    for position, params in enumerate(models.params):
        first.setdefault(model_key(params), position)
    return ModelSet(
        tuple(models.params[position] for position in first.values()),
        tuple(models.distributions[position] for position in first.values()),
    )
