"""Where random number generators stand: whether something was drawn shows, whatever came of it."""

from __future__ import annotations

from collections.abc import Iterator
import pickle
import random
from types import CodeType
from types import FunctionType
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import nn

from optuna_robust.training._attributes import parts_of


_KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
# Of the variables of a module that functions use, those of these types are looked into.
_LOOKED_INTO = (*_KINDS, FunctionType, MethodType, type, dict, list, tuple)
# Descriptors of classes, and where the function is.
_WRAPPERS = {property: "fget", staticmethod: "__func__", classmethod: "__func__"}
# What these define draws from global generators, or from those that it is given.
_LIBRARIES = ("builtins", "numpy", "torch")


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
    states += [parts_of(each) for each in _used(list(users))]
    return [pickle.dumps(each) for each in states]


def _used(values: list[Any]) -> Iterator[Any]:
    seen: dict[int, Any] = {}
    while values:
        value = values.pop()
        if id(value) in seen:
            continue
        seen[id(value)] = value  # held, so that no other gets its id
        if isinstance(value, _KINDS):
            yield value
        else:
            values += _held(value)


def _held(value: Any) -> list[Any]:
    if isinstance(value, nn.Module):
        return [type(value), *vars(value).values()]
    if isinstance(value, type | FunctionType) and _is_of_a_library(value):
        return []
    if isinstance(value, type):
        return [*value.__bases__, *vars(value).values()]
    if isinstance(value, FunctionType):
        names = set(_names(value.__code__))
        used = [each for name, each in value.__globals__.items() if name in names]
        return [each for each in used if isinstance(each, _LOOKED_INTO)] + (parts_of(value) or [])
    inside = _WRAPPERS.get(type(value))
    return (parts_of(value) or []) if inside is None else [getattr(value, inside)]


def _is_of_a_library(value: type | FunctionType) -> bool:
    return str(value.__module__).partition(".")[0] in _LIBRARIES


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that a function's code uses, with those of functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
