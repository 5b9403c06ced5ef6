"""Made-up families of models, from kind to treacherous; their truth is known by formula.

Levels of good models differ by about as much as one training does from the next, so that the
best of a hundred single numbers is luck more than merit.
"""

from __future__ import annotations

from collections.abc import Sequence
import math

import numpy as np
from optuna.distributions import CategoricalDistribution
from optuna.distributions import FloatDistribution
from optuna.distributions import IntDistribution

from benchmarks.search_cost.family import Family
from benchmarks.search_cost.family import Models
from benchmarks.search_cost.noise import Noise
from benchmarks.search_cost.space import Space
from optuna_robust._base.arrays import FloatArray


_BOTTOM = (0.63, 0.28, 0.71)
_CALM, _WILD = 0.08, 0.6
_MOST_FAILURES = 0.2


def _cube(n: int) -> Space:
    return Space({f"x{i}": FloatDistribution(0.0, 1.0) for i in range(n)})


def _bowl(models: Models, names: Sequence[str], bottom: Sequence[float]) -> FloatArray:
    """Return a bowl with ripples, 0 at its bottom."""
    depth = np.zeros(())
    for name, at in zip(names, bottom, strict=True):
        away = np.asarray(models[name], dtype=np.float64) - at
        depth = depth + 2.0 * away**2 + 0.06 * (1.0 - np.cos(6.0 * math.pi * away))
    return np.asarray(depth)


def _wavy(models: Models) -> FloatArray:
    return _bowl(models, ("x0", "x1", "x2"), _BOTTOM)


def _hump(models: Models, names: Sequence[str], top: Sequence[float], width: float) -> FloatArray:
    """Return a Gaussian hump of height 1."""
    away = sum((np.asarray(models[name]) - at) ** 2 for name, at in zip(names, top, strict=True))
    return np.asarray(np.exp(-away / (2 * width**2)))


def _between(low: float, high: float, share: FloatArray) -> FloatArray:
    """Return a spread between two, in equal ratios for equal shares."""
    return low * (high / low) ** share


def _rising(models: Models) -> FloatArray:
    """Return a spread that other hyperparameters than those of the level decide, x2 apart."""
    share = 0.5 * models["x3"] + 0.3 * (1.0 - models["x4"]) + 0.2 * models["x2"]
    return _between(_CALM, _WILD, np.asarray(share))


def _failing(models: Models) -> FloatArray:
    return _MOST_FAILURES * np.clip((_rising(models) - 0.2) / 0.2, 0.0, 1.0)


_TRAP, _REFUGE = (0.3, 0.7, 0.4, 0.6), (0.75, 0.3, 0.7, 0.35)
_FOUR = ("x0", "x1", "x2", "x3")


def _trap_level(models: Models) -> FloatArray:
    trap, refuge = (_hump(models, _FOUR, at, 0.25) for at in (_TRAP, _REFUGE))
    return 1.0 - trap - 0.85 * refuge


def _trap_spread(models: Models) -> FloatArray:
    return _between(0.1, 0.8, _hump(models, _FOUR, _TRAP, 0.35))


def _by_branch(models: Models, values: dict[str, FloatArray]) -> FloatArray:
    branch = np.asarray(models["branch"])
    found: FloatArray = np.select([branch == name for name in values], list(values.values()))
    return found


_BRANCH = {
    "leaf": "forest",
    "rate": "network",
    "decay": "network",
    "width": "network",
    "scale": "kernel",
}
_CONDITIONAL = Space(
    {
        "branch": CategoricalDistribution(("forest", "network", "kernel")),
        "shared": FloatDistribution(0.0, 1.0),
        **{name: FloatDistribution(0.0, 1.0) for name in _BRANCH},
    },
    only_if={name: ("branch", branch) for name, branch in _BRANCH.items()},
)


def _conditional_level(models: Models) -> FloatArray:
    return _bowl(models, ("shared",), (0.4,)) + _by_branch(
        models,
        {
            "forest": 0.25 + _bowl(models, ("leaf",), (0.35,)),
            "network": _bowl(models, ("rate", "decay", "width"), (0.7, 0.3, 0.6)),
            "kernel": 0.4 + _bowl(models, ("scale",), (0.5,)),
        },
    )


def _conditional_spread(models: Models) -> FloatArray:
    return _by_branch(
        models,
        {
            "forest": _between(0.08, 0.16, models["leaf"]),
            "network": _between(0.1, 0.8, 0.6 * models["rate"] + 0.4 * models["width"]),
            "kernel": np.full(np.shape(models["scale"]), 0.08),
        },
    )


_MIXED = Space(
    {
        "rate": FloatDistribution(1e-5, 1e-1, log=True),
        "batch": IntDistribution(8, 512, log=True),
        "depth": IntDistribution(1, 8),
        "dropout": FloatDistribution(0.0, 0.6),
        "optimizer": CategoricalDistribution(("adam", "sgd", "momentum")),
    }
)
_BEST_RATE = {"adam": -3.0, "sgd": -1.4, "momentum": -2.2}
_BASE_LEVEL = {"adam": 0.0, "sgd": 0.15, "momentum": 0.06}


def _off_rate(models: Models) -> FloatArray:
    """Return by how many decades a rate is higher than the best of its optimizer."""
    decades = np.log10(models["rate"])
    return _by_optimizer(models, _BEST_RATE, decades)


def _by_optimizer(models: Models, values: dict[str, float], value: FloatArray) -> FloatArray:
    name = np.asarray(models["optimizer"])
    return np.asarray(value - np.select([name == each for each in values], list(values.values())))


def _mixed_level(models: Models) -> FloatArray:
    base = -_by_optimizer(models, _BASE_LEVEL, np.zeros(()))
    depth = (np.asarray(models["depth"]) - 5.0) / 7.0
    batch = np.log2(np.asarray(models["batch"], dtype=np.float64) / 32.0)
    dropout = np.asarray(models["dropout"]) - 0.2
    return (
        base
        + 0.35 * np.square(_off_rate(models))
        + 1.2 * depth**2
        + 0.015 * batch**2
        + 1.5 * np.square(dropout)
    )


def _mixed_spread(models: Models) -> FloatArray:
    batch = np.log2(np.asarray(models["batch"], dtype=np.float64) / 8.0) / 6.0
    share = (
        0.45
        + 0.25 * _off_rate(models)
        + 0.25 * (np.asarray(models["depth"]) - 1.0) / 7.0
        - 0.35 * batch
    )
    return _between(0.06, 0.6, np.clip(share, 0.0, 1.2))


def _two_that_matter(models: Models) -> FloatArray:
    return 1.5 * _bowl(models, ("x0", "x1"), (0.63, 0.28))


def _third_that_matters(models: Models) -> FloatArray:
    return _between(_CALM, _WILD, np.asarray(0.6 * models["x2"] + 0.4 * models["x1"]))


FAMILIES: dict[str, Family] = {
    "synth": Family(
        about="levels with several valleys; other hyperparameters decide the spread",
        space=_cube(5),
        level=_wavy,
        spread=_rising,
    ),
    "noisy": Family(
        about="the same with three times the noise",
        space=_cube(5),
        level=_wavy,
        spread=lambda models: 3.0 * _rising(models),
    ),
    "fail": Family(
        about="the same; models with much noise fail now and then",
        space=_cube(5),
        level=_wavy,
        spread=_rising,
        failures=_failing,
    ),
    "flat": Family(
        about="the same levels; the spread hardly differs",
        space=_cube(5),
        level=_wavy,
        spread=lambda models: 0.25 * _between(0.9, 1.1, np.asarray(models["x3"])),
    ),
    "heavy": Family(
        about="as the first, with t-distributed noise (3 degrees of freedom)",
        space=_cube(5),
        level=_wavy,
        spread=_rising,
        noise=Noise(is_heavy=True),
    ),
    "trap": Family(
        about="the lowest mean sits where the spread is highest",
        space=_cube(4),
        level=_trap_level,
        spread=_trap_spread,
    ),
    "conditional": Family(
        about="three kinds of models with hyperparameters of their own",
        space=_CONDITIONAL,
        level=_conditional_level,
        spread=_conditional_spread,
    ),
    "many": Family(
        about="20 hyperparameters, of which 3 matter",
        space=_cube(20),
        level=_two_that_matter,
        spread=_third_that_matters,
    ),
    "nothing": Family(
        about="nothing to gain: little noise, the same for all",
        space=_cube(5),
        level=_wavy,
        spread=lambda models: np.full(np.shape(models["x0"]), 0.02),
    ),
    "mixed": Family(
        about="logarithmic, whole and categorical hyperparameters",
        space=_MIXED,
        level=_mixed_level,
        spread=_mixed_spread,
    ),
}
