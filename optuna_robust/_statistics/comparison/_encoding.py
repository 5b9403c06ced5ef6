"""Hyperparameters as numbers: a row a model, a column a feature."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
import math
from typing import Any

import numpy as np
from optuna.distributions import BaseDistribution

from optuna_robust._base.arrays import FloatArray


# Positive numbers that span more than this ratio are taken in logarithms.
_DECADES = 100.0
# Of a parameter's values that are no numbers: so many, the most frequent ones, have a column.
_MOST_CATEGORIES = 32
_MOST_POSITIONS = 8
_ABSENT = "absent"


@dataclass(frozen=True)
class _Column:
    """How one parameter becomes features.

    Attributes:
        name: The parameter, or an item of it: ``(name, position)``.
        is_log: Whether numbers are taken in logarithms.
        low: What numbers have subtracted, after the logarithm.
        width: What they are divided by then; 0: the column has no numbers that differ.
        middle: What stands where a model has no number.
        categories: Values that are no numbers, as text; each has a feature.
    """

    name: str | tuple[str, int]
    is_log: bool
    low: float
    width: float
    middle: float
    categories: tuple[str, ...]


@dataclass(frozen=True)
class ModelEncoding:
    """Turns hyperparameters into features, those of models that come later too.

    Attributes:
        columns: What is encoded, in order.
        n_features: How many features there are.
    """

    columns: tuple[_Column, ...]
    n_features: int

    def encode(self, params: Sequence[Mapping[str, Any]]) -> FloatArray:
        """Return features, shape ``(n_models, n_features)``.

        Numbers beyond those that the encoding was made for are beyond 0 and 1; categories that
        it does not know are none.
        """
        features = np.zeros((len(params), self.n_features))
        at = 0
        for column in self.columns:
            tokens = [_token(model, column.name) for model in params]
            if column.width > 0.0:
                numbers = np.array(
                    [token if isinstance(token, float) else math.nan for token in tokens]
                )
                if column.is_log:
                    with np.errstate(divide="ignore", invalid="ignore"):
                        numbers = np.log(numbers)
                numbers = np.where(np.isfinite(numbers), numbers, column.middle)
                features[:, at] = (numbers - column.low) / column.width
                at += 1
            for category in column.categories:
                features[:, at] = [token == category for token in tokens]
                at += 1
        return features


def fit_encoding(
    params: Sequence[Mapping[str, Any]],
    distributions: Sequence[Mapping[str, BaseDistribution]] | None = None,
) -> ModelEncoding:
    """Return how the hyperparameters of these models become features.

    A number (or boolean) is a feature between 0 and 1, of its logarithm where a distribution has
    ``log=True``, or, without distributions, where all are positive and the largest is more than a
    hundred times the smallest. Every other value, and being absent (a conditional space) is a
    feature that is 0 or 1; numbers are at their median there. Sequences are features of their
    length and items. What is the same for all models is left out.

    Args:
        params:
            Hyperparameters of every model.
        distributions:
            What each was drawn from; an empty one where that is not known.

    Raises:
        TypeError: If one is no mapping.
        ValueError: If the lengths differ.

    Example:
        >>> from optuna_robust._statistics.comparison import fit_encoding
        >>> models = [{"lr": 0.001, "net": "a"}, {"lr": 1.0, "net": "b"}, {"lr": 0.1, "net": "a"}]
        >>> encoding = fit_encoding(models)
        >>> encoding.encode([*models, {"lr": 0.01, "net": "c"}]).round(2)
        array([[0.  , 1.  ],
               [1.  , 0.  ],
               [0.67, 1.  ],
               [0.33, 0.  ]])
    """
    check_models(params, distributions)
    logarithmic: set[str] = set()
    known: set[str] = set()
    for distribution in {id(each): each for each in distributions or ()}.values():
        known.update(distribution)
        logarithmic.update(
            name for name, each in distribution.items() if getattr(each, "log", False)
        )
    columns = []
    for name in _names(params):
        tokens = [_token(model, name) for model in params]
        base = name if isinstance(name, str) else name[0]
        column = _column(name, tokens, None if base not in known else base in logarithmic)
        if column.width > 0.0 or column.categories:
            columns.append(column)
    n_features = sum((column.width > 0.0) + len(column.categories) for column in columns)
    return ModelEncoding(tuple(columns), n_features)


def encode_models(
    params: Sequence[Mapping[str, Any]],
    distributions: Sequence[Mapping[str, BaseDistribution]] | None = None,
) -> FloatArray:
    """Return features of the hyperparameters, shape ``(n_models, n_features)``.

    See ``fit_encoding``, for the arguments too.

    Raises:
        TypeError: If one is no mapping.
        ValueError: If the lengths differ.

    Example:
        >>> from optuna_robust.comparison import encode_models
        >>> encode_models([{"depth": 2, "wide": True}, {"depth": 6, "wide": False}, {"depth": 4}])
        array([[0. , 1. , 0. ],
               [1. , 0. , 0. ],
               [0.5, 0.5, 1. ]])
    """
    return fit_encoding(params, distributions).encode(params)


def check_models(
    params: Sequence[Mapping[str, Any]],
    distributions: Sequence[Mapping[str, BaseDistribution]] | None = None,
) -> None:
    """Check hyperparameters, and what they were drawn from.

    Raises:
        TypeError: If one is no mapping.
        ValueError: If the lengths differ.
    """
    for position, model in enumerate(params):
        if not isinstance(model, Mapping):
            raise TypeError(
                f"models[{position}] must be a model's hyperparameters {{name: value}}, but was "
                f"{model!r}."
            )
    if distributions is not None and len(distributions) != len(params):
        raise ValueError(
            f"distributions must be those of the {len(params)} models, but were "
            f"{len(distributions)}."
        )


def _names(params: Sequence[Mapping[str, Any]]) -> list[str | tuple[str, int]]:
    """Return parameters, and the items of those that are sequences, in a fixed order."""
    lengths: dict[str, int] = {}
    for model in params:
        for name, value in model.items():
            length = min(len(value), _MOST_POSITIONS) if isinstance(value, (list, tuple)) else 0
            if length >= lengths.get(name, 0):
                lengths[name] = length
    names: list[str | tuple[str, int]] = []
    for name in sorted(lengths):
        names += [name, *((name, position) for position in range(lengths[name]))]
    return names


def _token(model: Mapping[str, Any], name: str | tuple[str, int]) -> float | str:
    """Return a model's value as a number, or as text if it is none."""
    if isinstance(name, str):
        if name not in model:
            return _ABSENT
        value = model[name]
        if isinstance(value, (list, tuple)):
            return float(len(value))
    else:
        value = model.get(name[0])
        if not isinstance(value, (list, tuple)) or len(value) <= name[1]:
            return _ABSENT
        value = value[name[1]]
    if isinstance(value, (bool, int, float, np.number, np.bool_)):
        number = float(value)
        return number if math.isfinite(number) else f"={number}"
    return f"={value!r}"


def _column(
    name: str | tuple[str, int], tokens: Sequence[float | str], is_log: bool | None
) -> _Column:
    numbers = np.array([token for token in tokens if isinstance(token, float)])
    counts = Counter(token for token in tokens if isinstance(token, str))
    positive = len(numbers) > 0 and bool(numbers.min() > 0.0)
    if is_log is None:
        is_log = positive and float(numbers.max()) > _DECADES * float(numbers.min())
    is_log = is_log and positive
    if is_log:
        numbers = np.log(numbers)
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 0.0)
    if len(counts) + (len(numbers) > 0) < 2:
        counts.clear()
    # A value of one model alone says nothing about others.
    common = [text for text, count in counts.items() if count > 1 or len(counts) <= 2]
    common.sort(key=lambda text: (-counts[text], text))
    if len(common) == 2 and not len(numbers) and len(counts) == 2:
        del common[1]  # the opposite of the other
    return _Column(
        name,
        is_log,
        low,
        high - low,
        float(np.median(numbers)) if len(numbers) else 0.0,
        tuple(sorted(common[:_MOST_CATEGORIES])),
    )
