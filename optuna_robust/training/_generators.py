"""Where random number generators stand: whether something was drawn shows, whatever came of it."""

from __future__ import annotations

import pickle
import random
from typing import Any

import numpy as np
import torch

from optuna_robust.training._attributes import parts_of
from optuna_robust.training._reached import reached


_KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


def generator_states(*users: object) -> list[bytes]:
    """Return the states of global generators, and of those that networks or functions use.

    A generator is used that is held, by an attribute, a class or a closure, or is a variable of
    the module in which a function is defined that names it.

    Args:
        users:
            Networks and functions.

    Example:
        >>> import random
        >>> from optuna_robust.training._generators import generator_states
        >>> own = random.Random(0)
        >>> before = generator_states(lambda: own.random())
        >>> _ = own.random()
        >>> before == generator_states(lambda: own.random())
        False
    """
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    states: list[Any] = [random.getstate(), np.random.get_state()]
    states += [each.numpy() for each in (torch.get_rng_state(), *cuda)]
    states += [parts_of(each) for _, each in reached(*users) if isinstance(each, _KINDS)]
    return [pickle.dumps(each) for each in states]
