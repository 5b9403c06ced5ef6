"""Distributions that an objective suggested from, as JSON, and its own choices again."""

from __future__ import annotations

from collections.abc import Mapping
import json
from typing import Any

from optuna.distributions import BaseDistribution
from optuna.distributions import CategoricalDistribution
from optuna.distributions import distribution_to_json
from optuna.distributions import json_to_distribution

from optuna_robust._instances.evaluation._values import can_give
from optuna_robust._instances.evaluation._values import canonical_value


# Beside the distributions: those whose choices have tuples, which are lists in JSON.
_TUPLES = "robust:tuples"


def distributions_to_json(distributions: Mapping[str, BaseDistribution]) -> str | None:
    """Return distributions as JSON; None if there are none."""
    if not distributions:
        return None
    written: dict[str, Any] = {
        name: distribution_to_json(each) for name, each in distributions.items()
    }
    tuples = [name for name, each in distributions.items() if _has_tuples(each)]
    return json.dumps({**written, _TUPLES: tuples} if tuples else written)


def distributions_from_json(text: str | None) -> dict[str, BaseDistribution]:
    """Return what :func:`distributions_to_json` wrote."""
    if text is None:
        return {}
    written = json.loads(text)
    tuples = written.pop(_TUPLES, ())
    return {
        name: _with_tuples(each) if name in tuples else json_to_distribution(each)
        for name, each in written.items()
    }


def _with_tuples(written: str) -> CategoricalDistribution:
    return CategoricalDistribution(_as_tuples(json.loads(written)["attributes"]["choices"]))


def own_choices(
    params: Mapping[str, Any], distributions: Mapping[str, BaseDistribution]
) -> dict[str, Any]:
    """Return a model with its choices as they are in an objective's own distributions.

    A study that was read from a database has lists where the objective has tuples.
    """
    return {
        name: canonical_value(distributions[name], value)
        if isinstance(distributions.get(name), CategoricalDistribution)
        and can_give(distributions[name], value)
        else value
        for name, value in params.items()
    }


def _has_tuples(distribution: BaseDistribution) -> bool:
    if not isinstance(distribution, CategoricalDistribution):
        return False
    sequences = [each for each in distribution.choices if isinstance(each, (tuple, list))]
    return bool(sequences) and _as_tuples(sequences) == tuple(sequences)


def _as_tuples(value: Any) -> Any:
    return tuple(map(_as_tuples, value)) if isinstance(value, (tuple, list)) else value
