"""How an objective is called, by its signature and those of the functions that it decorates."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
import functools
import inspect
from types import MethodType
from typing import Any


# What an objective may take beside the trial.
_INSTANCES = ("instance", "instances")


def what_it_takes(objective: Callable[..., Any]) -> str | None:
    """Return what an objective takes beside the trial: ``"instance"``, ``"instances"`` or None.

    Raises:
        TypeError: If it cannot be called so.
    """
    if not callable(objective):
        raise TypeError(f"objective must be callable, but was {objective!r}.")
    try:
        signature = _signature(objective, follow_wrapped=False)
        inner = _signature(objective)
    except ValueError:  # some callables written in C have none
        return None
    try:
        name = getattr(objective, "__name__", objective)
    except Exception:
        name = type(objective).__qualname__
    taken = [each for each in _INSTANCES if _takes(objective, each)]
    if len(taken) > 1:
        raise TypeError(
            f"objective must take either 'instance' or 'instances', but {name!r} has the "
            f"signature {signature}."
        )
    _check_passed_on(name, signature, inner, taken)
    try:
        signature.bind(None, **dict.fromkeys(taken))
    except TypeError as error:
        raise TypeError(
            "objective must be callable as objective(trial), objective(trial, instance=…) or "
            f"objective(trial, instances=…), but {name!r} has the signature {signature}: {error}."
        ) from None
    return taken[0] if taken else None


def _signature(objective: Callable[..., Any], *, follow_wrapped: bool = True) -> inspect.Signature:
    try:
        return inspect.signature(objective, follow_wrapped=follow_wrapped)
    except (TypeError, ValueError):
        raise
    except Exception:  # of a __getattr__ that raises what it likes: its class tells
        call = MethodType(type(objective).__call__, objective)
        return inspect.signature(call, follow_wrapped=follow_wrapped)


def _takes(objective: Callable[..., Any], name: str) -> bool:
    """Return True if an objective takes an argument, or passes it on to what it decorates."""
    parameters = _signature(objective, follow_wrapped=False).parameters
    if name in parameters:
        return True
    decorated = _decorated(objective)
    passes_on = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    return passes_on and decorated is not None and _takes(decorated, name)


def _decorated(objective: Any) -> Callable[..., Any] | None:
    """Return the function that an objective decorates; None if it decorates none."""
    if isinstance(objective, functools.partial):
        objective = objective.func
    elif not inspect.isroutine(objective):
        objective = type(objective).__call__
    return getattr(objective, "__wrapped__", None)


def _check_passed_on(
    name: object, signature: inspect.Signature, inner: inspect.Signature, taken: Sequence[str]
) -> None:
    """Check that a decorator does not keep from its function what that needs."""
    for each in _INSTANCES:
        parameter = inner.parameters.get(each)
        if parameter is None or parameter.default is not parameter.empty or each in taken:
            continue
        raise TypeError(
            f"objective must be callable as objective(trial, {each}=…), since {name!r} has the "
            f"signature {inner}, but its decorator takes {signature}: let the decorator take and "
            "pass on **kwargs, or, if it gives the argument itself, have no __wrapped__."
        )
