"""What networks and functions keep from call to call, beside parameters and buffers.

Instances that are trained together call a network and a loss once for all, those that are trained
alone once each: a count of calls, or what is kept of a batch, is another one then.
"""

from __future__ import annotations

from collections.abc import Iterator
import hashlib
from itertools import zip_longest
import pickle
from typing import Any
from typing import TypeAlias

import numpy as np
import torch
from torch import nn
from torch import Tensor

from optuna_robust.training._attributes import parts_of
from optuna_robust.training._reached import is_closed
from optuna_robust.training._reached import PLAIN
from optuna_robust.training._reached import reached


# Where each value is, and what stands for it.
Kept: TypeAlias = list[tuple[str, Any]]


def kept_by(module: nn.Module, *functions: object) -> Kept:
    """Return what a network and functions have by now, by value, but the network's own tensors.

    Args:
        module:
            The network.
        functions:
            Losses, and what makes optimizers and schedules.
    """
    own = {id(each) for each in (*module.parameters(), *module.buffers())}
    places: dict[int, int] = {}
    kept: Kept = []
    for where, value in reached(module, *functions):
        if isinstance(value, PLAIN):
            kept.append((where, (type(value), repr(value))))
            continue
        is_new = id(value) not in places
        place = places.setdefault(id(value), len(places))
        content = None if id(value) in own or not is_new else _content(value)
        kept.append((where, (place, type(value), content)))
    return kept


def changed(before: Kept, after: Kept) -> str | None:
    """Return where the first value is that has changed; None if none has.

    Example:
        >>> from torch import nn
        >>> from optuna_robust.training._kept import changed, kept_by
        >>> module = nn.Dropout(0.1)
        >>> before = kept_by(module)
        >>> module.p = 0.2
        >>> changed(before, kept_by(module))
        "attribute 'p' of Dropout"
    """
    for old, new in zip_longest(before, after):
        if old != new:
            where: str = (old or new)[0]
            return where
    return None


def _content(value: Any) -> Any:
    """Return what stands for a value; of one that is looked into, nothing."""
    if is_closed(value):
        return id(value)
    numbers = _numbers(value)
    if numbers is not None:
        return value.shape, value.dtype, hashlib.blake2b(numbers.tobytes()).digest()
    if parts_of(value) is not None:
        return None
    if isinstance(value, Iterator):
        return object()  # equal to no other: how far it has come cannot be seen
    try:
        return pickle.dumps(value)
    except Exception:  # such as locks, and functions of other languages
        return id(value)


def _numbers(value: Any) -> Any:
    """Return the numbers of a tensor or an array, of whatever type; None if it is none."""
    if isinstance(value, Tensor):
        return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
    is_array = isinstance(value, np.ndarray | np.generic) and not value.dtype.hasobject
    return value if is_array else None
