"""Learning curves as a trial keeps them: rounded and thinned, for databases to take them."""

from __future__ import annotations

from collections.abc import Mapping
import json
import math
from typing import Any
from typing import TYPE_CHECKING

from optuna_robust._instances.long_attributes import whole
from optuna_robust._instances.trials import LEARNING_CURVES


if TYPE_CHECKING:
    from optuna.trial import FrozenTrial


# Most points of a curve, of all curves of a trial, and most curves: about 30 000 characters of
# JSON, where MySQL takes 65 535 bytes.
MOST_POINTS = 200
MOST_POINTS_OF_TRIAL = 2000
_MOST_CURVES = 1000
_LEAST_POINTS = 2
_MOST_CHARACTERS = 20_000


def rounded(value: float) -> float:
    """Return a value as it is kept: with seven significant digits."""
    return float(f"{value:.7g}")


def curves_to_json(curves: Mapping[int, Mapping[int, float]]) -> dict[str, Any]:
    """Return curves as JSON, no more than fits into a database.

    At most 200 points of a curve and 2000 of a trial are kept: every second step, or every fourth,
    … and the last one, so that curves of equal schedules have the same steps, however many points
    they keep. Values have seven digits; those that are not finite are written as strings.

    Example:
        >>> from optuna_robust._instances.learning_curves import curves_to_json
        >>> curves_to_json({0: {1: 0.5, 2: 0.25}, 1: {1: 0.75}})
        {'steps': [1, 2], 'values': {'0': [0.5, 0.25], '1': [0.75]}}

    Args:
        curves:
            By instance number and step.
    """
    kept = dict(list(curves.items())[:_MOST_CURVES])
    steps = sorted(set().union(*kept.values()))
    most = max(_LEAST_POINTS, min(MOST_POINTS, MOST_POINTS_OF_TRIAL // max(1, len(kept))))
    steps = _thinned(steps, most)
    return {
        "steps": steps,
        "values": {str(number): _values(curve, steps) for number, curve in kept.items()},
    }


def curves_from_json(kept: Mapping[str, Any]) -> dict[int, dict[int, float]]:
    """Return what :func:`curves_to_json` wrote, by instance number and step."""
    return {
        int(number): {
            step: float(value)
            for step, value in zip(kept["steps"], values, strict=False)
            if value is not None
        }
        for number, values in kept.get("values", {}).items()
    }


def learning_curves_of(trial: FrozenTrial) -> dict[int, dict[int, float]]:
    """Return what the instances of a trial reported, by instance number and step."""
    return curves_from_json(whole(trial.user_attrs, LEARNING_CURVES, {}))


def states_to_json(states: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Return what a pruner noted of instances as JSON, of as many as fit into a database."""
    kept, n_characters = {}, 0
    for number, state in states.items():
        n_characters += len(json.dumps(state))
        if n_characters > _MOST_CHARACTERS:
            break
        kept[str(number)] = dict(state)
    return kept


def _thinned(steps: list[int], most: int) -> list[int]:
    stride = 1
    while len(steps) > 1 and math.ceil((len(steps) - 1) / stride) + 1 > most:
        stride *= 2
    return sorted({*steps[::stride], *steps[-1:]})


def _values(curve: Mapping[int, float], steps: list[int]) -> list[float | str | None]:
    values = [_value(curve.get(step)) for step in steps]
    while values and values[-1] is None:
        values.pop()
    return values


def _value(value: float | None) -> float | str | None:
    if value is None:
        return None
    return rounded(value) if math.isfinite(value) else str(value)
