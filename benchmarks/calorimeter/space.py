"""The search space of the calorimeter problem, and grids like the published ones.

The space lies in the family of doi:10.1109/ACCESS.2025.3578926: one or two convolutions, two to
four fully connected layers, at most 30 000 parameters. Which 6912 models were compared there was
not published; the grids here have as many, along the axes that are named there, and contain the
models that were selected. Every point of the space and of the grids is a network of the family:
the last convolution has at most as many channels as the rest leaves room for.
"""

from __future__ import annotations

from typing import Any
from typing import cast
from typing import get_args
import warnings

from optuna.trial import BaseTrial
from optuna.trial import FixedTrial

from benchmarks.calorimeter.inputs import EXTRA
from benchmarks.calorimeter.inputs import Problem
from benchmarks.calorimeter.inputs import PROBLEMS
from benchmarks.calorimeter.models import Model
from benchmarks.calorimeter.models import OptimizerName
from benchmarks.calorimeter.models import TrainingSettings
from benchmarks.calorimeter.networks import Activation
from benchmarks.calorimeter.networks import Convolution
from benchmarks.calorimeter.networks import MOST_PARAMETERS
from benchmarks.calorimeter.networks import Network
from benchmarks.calorimeter.networks import Pooling
from optuna_robust._base.arguments import check_choice


# Widths of the hidden fully connected layers, one axis, since not all go with all others.
_HIDDEN = ("9", "16", "16-9", "16-16-9", "32-9", "64-9", "64-64-9", "128-64-9")
_MOST_CHANNELS = 64
# What a preliminary study there left of six.
_OPTIMIZERS = ("AdamW", "NAdam")
# Kernel and stride of the last pooling, by the number of convolutions and the side it leaves.
_LAST_POOL = {
    (1, 1): (13, 13),
    (1, 2): (6, 6),
    (1, 3): (4, 4),
    (2, 1): (4, 4),
    (2, 2): (2, 2),
    (2, 3): (2, 1),
}


def suggest(trial: BaseTrial, problem: Problem) -> Model:
    """Draw a model from the search space.

    Args:
        trial:
            What the hyperparameters are drawn by.
        problem:
            ``"energy"`` or ``"position"``, which says what the inductive bias appends.

    Raises:
        ValueError: If there is no such problem.

    Example:
        >>> import optuna
        >>> from benchmarks.calorimeter.space import suggest
        >>> study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
        >>> suggest(study.ask(), "energy").network.n_parameters <= 30_000
        True
    """
    check_choice("problem", problem, PROBLEMS)
    return Model(_suggest_network(trial, problem), _suggest_training(trial))


def _suggest_network(trial: BaseTrial, problem: Problem) -> Network:
    has_extra = trial.suggest_categorical("inductive_bias", [False, True])
    activation: Activation = trial.suggest_categorical("activation", get_args(Activation))
    pooling: Pooling = trial.suggest_categorical("pooling", get_args(Pooling))
    bias = trial.suggest_categorical("convolution_bias", [False, True])
    hidden = tuple(map(int, trial.suggest_categorical("hidden", _HIDDEN).split("-")))
    n_convolutions = trial.suggest_int("n_convolutions", 1, 2)
    first = [
        Convolution(trial.suggest_int("channels_1", 8, 32, log=True), pool=2, stride=2, bias=bias)
        for _ in range(n_convolutions - 1)
    ]
    pool, stride = _LAST_POOL[n_convolutions, trial.suggest_int("last_side", 1, 3)]

    def network(channels: int) -> Network:
        last = Convolution(channels, pool=pool, stride=stride, bias=bias)
        extra = EXTRA[problem] if has_extra else "none"
        return Network((*first, last), hidden, activation, extra, pooling)

    # Each channel of the last convolution adds as many parameters as the one before.
    smallest = network(1).n_parameters
    room = (MOST_PARAMETERS - smallest) // (network(2).n_parameters - smallest)
    most = min(1 + room, _MOST_CHANNELS)
    return network(trial.suggest_int("channels_last", 8, most, log=True))


def _suggest_training(trial: BaseTrial) -> TrainingSettings:
    return TrainingSettings(
        optimizer=cast(OptimizerName, trial.suggest_categorical("optimizer", _OPTIMIZERS)),
        learning_rate=trial.suggest_float("learning_rate", 3e-5, 3e-2, log=True),
        batch_size=trial.suggest_categorical("batch_size", [32, 64, 128]),
        weight_decay=trial.suggest_float("weight_decay", 1e-4, 0.3, log=True),
    )


def grid(problem: Problem) -> dict[str, list[Any]]:
    """Return the axes of 6912 models, all of them points of the search space.

    The grid of the energy problem varies the side of the last maps, 1 or 3; with the wider layers
    that the one of the position problem has, only maps of one cell have room, and the bias of
    convolutions varies instead. All others are the same for both.

    Args:
        problem:
            ``"energy"``: Models 1 and 2 are in the grid; ``"position"``: Models 3 and 4.

    Raises:
        ValueError: If there is no such problem.

    Example:
        >>> import math
        >>> from benchmarks.calorimeter.space import grid
        >>> math.prod(map(len, grid("energy").values()))
        6912
    """
    check_choice("problem", problem, PROBLEMS)
    own: dict[str, list[Any]] = {
        "hidden": ["9", "16", "16-9", "16-16-9"],
        "last_side": [1, 3],
        "convolution_bias": [False],
    }
    if problem == "position":
        own = {
            "hidden": ["9", "32-9", "64-9", "64-64-9"],
            "last_side": [1],
            "convolution_bias": [False, True],
        }
    return {
        "inductive_bias": [False, True],
        "activation": ["relu", "prelu"],
        "pooling": ["max"],
        "n_convolutions": [2],
        "channels_1": [16, 32],
        "channels_last": [16, 32, 64],
        **own,
        "optimizer": list(_OPTIMIZERS),
        "learning_rate": [1e-4, 1e-3, 1e-2],
        "batch_size": [32, 64],
        "weight_decay": [1e-3, 1e-2, 1e-1],
    }


def parameters(model: Model, problem: Problem) -> dict[str, Any]:
    """Return the hyperparameters from which :func:`suggest` makes this model.

    Args:
        model:
            For example one of ``PUBLISHED``.
        problem:
            The problem it is for.

    Raises:
        ValueError: If the model is not in the search space.

    Example:
        >>> from benchmarks.calorimeter.models import PUBLISHED
        >>> from benchmarks.calorimeter.space import parameters
        >>> parameters(PUBLISHED["NAS 2"], "energy")["hidden"]
        '128-64-9'
    """
    network = model.network
    found = {
        "inductive_bias": network.extra != "none",
        "activation": network.activation,
        "pooling": network.pooling,
        "hidden": "-".join(map(str, network.hidden)),
        "n_convolutions": len(network.convolutions),
        "optimizer": model.training.optimizer,
        "learning_rate": model.training.learning_rate,
        "batch_size": model.training.batch_size,
        "weight_decay": model.training.weight_decay,
    }
    if network.convolutions:
        *first, last = network.convolutions
        found |= {"convolution_bias": last.bias, "channels_last": last.channels}
        found |= {"last_side": network.sides[-1]}
        if first:
            found["channels_1"] = first[0].channels
    try:
        with warnings.catch_warnings():
            # A FixedTrial only warns of a value that is out of range.
            warnings.simplefilter("error")
            again = suggest(FixedTrial(found), problem)
    except (KeyError, UserWarning, ValueError):
        again = None
    if again != model:
        raise ValueError(f"{model!r} is not in the search space of problem {problem!r}.")
    return found
