"""What networks and functions can read or change: what they hold, and what they name."""

from __future__ import annotations

from collections.abc import Iterator
import logging
import sys
from types import CodeType
from types import FunctionType
from types import ModuleType
from typing import Any

from torch import nn

from optuna_robust.training._attributes import parts_of


# Pieces that cannot change, of which many have the same place in memory.
PLAIN = (bool, int, float, complex, str, bytes, type(None))
_Named = list[tuple[str, Any]]
# A network's mode is set before each use.
_SET_BEFORE_USE = ("training",)
# Descriptors of classes, and where the function is.
_WRAPPERS = {property: "fget", staticmethod: "__func__", classmethod: "__func__"}
# What these define keeps nothing from call to call but in what it is given, and draws from global
# generators.
_LIBRARIES = {"numpy", "torch", *sys.stdlib_module_names}
# Trials and studies, which a loss may take a hyperparameter from, change with other trials.
_OF_STUDIES = ("optuna", "optuna_robust")


def reached(*users: object) -> Iterator[tuple[str, Any]]:
    """Yield what networks and functions reach, in words where it is, and the value.

    These are attributes, those of classes, closures, and the variables of the module in which a
    function is defined that names them. A value that is reached again is yielded again, and looked
    into once.

    Args:
        users:
            Networks and functions.
    """
    seen: dict[int, Any] = {}
    values: _Named = [(_called(each), each) for each in reversed(users)]
    while values:
        where, value = values.pop()
        yield where, value
        if id(value) in seen or is_closed(value):
            continue
        seen[id(value)] = value  # held, so that no other gets its id
        values += reversed(_held(where, value))


def is_closed(value: object) -> bool:
    """Return True if a value is not looked into."""
    if isinstance(value, type):
        return _is_of_a_library(value)
    return isinstance(value, (*PLAIN, ModuleType, logging.Logger)) or (
        _package(type(value)) in _OF_STUDIES
    )


def _called(user: object) -> str:
    return "the " + str(getattr(user, "__name__", type(user).__name__))


def _held(where: str, value: Any) -> _Named:
    if isinstance(value, type):
        return _held_by_class(value)
    if isinstance(value, FunctionType):
        return _held_by_function(where, value)
    inside = _WRAPPERS.get(type(value))
    if inside is not None:
        return [(where, getattr(value, inside))]
    own: _Named = [(where, each) for each in parts_of(value) or ()]
    if isinstance(value, nn.Module):
        own = [
            (f"attribute {name!r} of {type(value).__name__}", each)
            for name, each in vars(value).items()
            if name not in _SET_BEFORE_USE
        ]
    return [*own, (where, type(value))]


def _held_by_class(value: type) -> _Named:
    of = f"of the class {value.__name__}"
    bases: _Named = [(f"a base {of}", each) for each in value.__bases__]
    return bases + [(f"attribute {name!r} {of}", each) for name, each in vars(value).items()]


def _held_by_function(where: str, value: FunctionType) -> _Named:
    held = parts_of(value) or []
    closed = value.__code__.co_freevars
    own: _Named = [(where, each) for each in held[: len(held) - len(closed)]]
    closure = held[len(held) - len(closed) :]
    variables = list(zip(closed, closure, strict=True))
    if not _is_of_a_library(value):
        names = set(_names(value.__code__))
        variables += [(name, each) for name, each in value.__globals__.items() if name in names]
    return own + [(f"variable {name!r}", each) for name, each in variables]


def _is_of_a_library(value: type | FunctionType) -> bool:
    return _package(value) in _LIBRARIES


def _package(value: type | FunctionType) -> str:
    return str(value.__module__).partition(".")[0]


def _names(code: CodeType) -> Iterator[str]:
    """Yield the names that a function's code uses, with those of functions inside it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
