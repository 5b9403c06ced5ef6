"""What networks hold beside parameters and buffers: compared by value.

Of instances that are trained together, the attributes of the first one's layers stand for those of
all. They must be the same, and nothing in them may belong to one network's weights.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from collections.abc import Mapping
from functools import partial
from functools import singledispatch
import pickle
import random
from types import FunctionType
from types import MethodType
from typing import Any
import weakref

import numpy as np
import torch
from torch import nn
from torch import Tensor
from torch.nn.utils import parametrize


# Compared by names, shapes and types; set before each use; other references to parameters.
_STACKED = ("_parameters", "_buffers", "_modules")
_SET_BEFORE_USE = ("training",)
_OF_EACH_CLASS = ("__dict__", "__weakref__")
_FLAT_WEIGHTS = ("_flat_weights", "_flat_weight_refs")

_PLAIN = (bool, int, float, complex, str)
_ARCHITECTURE = "it has not always the same architecture"
_Pairs = dict[tuple[int, int, bool], tuple[object, object]]


def difference(one: nn.Module, other: nn.Module, differs: str = "differs") -> str | None:
    """Return what two networks do not have in common beside their weights; None if nothing.

    A tensor that is neither parameter nor buffer, and a layer with parameters that is not
    registered, are returned too, since these are not stacked, whatever their values.

    Args:
        one:
            A network.
        other:
            A network that the same function made.
        differs:
            What is said of an attribute with two values.

    Example:
        >>> from torch import nn
        >>> from optuna_robust.training._attributes import difference
        >>> difference(nn.Dropout(0.1), nn.Dropout(0.2))
        "its attribute 'p' differs"
    """
    try:
        return next(_Comparison(one, other, differs).differences(), None)
    except Exception as error:
        return f"its attributes cannot be compared: {type(error).__name__}: {error}"


def values_differ(one: object, other: object) -> bool:
    """Return True if two values are not the same, or hold a tensor."""
    nothing = nn.Module()
    return any(True for _ in _Comparison(nothing, nothing, "").of_values("", one, other))


class _Comparison:
    """A walk through two networks, side by side."""

    def __init__(self, one: nn.Module, other: nn.Module, differs: str) -> None:
        self._differs = differs
        self._layers = [dict(each.named_modules(remove_duplicate=False)) for each in (one, other)]
        self._names = [
            {id(layer): name for name, layer in layers.items()} for layers in self._layers
        ]
        self._seen: _Pairs = {}

    def differences(self) -> Iterator[str]:
        """Yield in words what differs."""
        ours, theirs = self._layers
        if list(ours) != list(theirs):
            yield f"{_ARCHITECTURE}: names of layers differ"
            return
        for name in ours:
            yield from self._of_layers(name, ours[name], theirs[name])

    def _of_layers(self, name: str, one: nn.Module, other: nn.Module) -> Iterator[str]:
        place = f" of its layer {name!r}" if name else ""
        if not _same_class(one, other):
            classes = (
                f"{_ARCHITECTURE}: the class{place or ' of the network'}",
                type(one),
                type(other),
            )
            yield from self.of_values(*classes)
        for key in sorted(vars(one).keys() | vars(other).keys()):
            if key in _SET_BEFORE_USE or (key in _FLAT_WEIGHTS and isinstance(one, nn.RNNBase)):
                continue
            what = f"attribute {key!r}{place}" if place else f"its attribute {key!r}"
            if key not in vars(one) or key not in vars(other):
                yield f"{what} {self._differs}"
                continue
            ours, theirs = vars(one)[key], vars(other)[key]
            if key in _STACKED:
                if _outline(ours) != _outline(theirs):
                    yield f"{_ARCHITECTURE}: {key.strip('_')}{place} differ"
            elif "_hooks" in key and isinstance(ours, Mapping):
                # Their keys count hooks over all networks.
                if not ours and not theirs:
                    continue
                yield from self.of_values(what, list(ours.values()), list(theirs.values()))
            else:
                yield from self.of_values(what, ours, theirs)

    def of_values(
        self, what: str, one: Any, other: Any, *, in_function: bool = False
    ) -> Iterator[str]:
        """Yield what differs between two values, and what in them cannot be shared.

        Args:
            what:
                The attribute that holds them.
            one:
                Of the one network.
            other:
                Of the other.
            in_function:
                Whether a function holds them, which a copy of a network has in common with it.
        """
        pair = id(one), id(other), in_function
        if pair in self._seen or (one is other and not _is_looked_into(one)):
            return
        if type(one) in _PLAIN:
            if type(one) is not type(other) or not _same(one, other):
                yield f"{what} {self._differs}"
            return
        self._seen[pair] = one, other  # held, so that no other gets its id
        if isinstance(one, Tensor):
            yield f"{what} is or holds a tensor that is neither parameter nor buffer"
        elif isinstance(one, nn.Module) and isinstance(other, nn.Module):
            yield from self._of_held_layers(what, one, other, in_function=in_function)
        elif type(one) is not type(other):
            yield f"{what} {self._differs}"
        else:
            in_function |= isinstance(one, FunctionType)
            ours, theirs = parts_of(one), parts_of(other)
            if ours is None or theirs is None:
                if not _same(one, other):
                    yield f"{what} {self._differs}"
            elif len(ours) != len(theirs):
                yield f"{what} {self._differs}"
            else:
                for our, their in zip(ours, theirs, strict=True):
                    yield from self.of_values(what, our, their, in_function=in_function)

    def _of_held_layers(
        self, what: str, one: nn.Module, other: nn.Module, *, in_function: bool
    ) -> Iterator[str]:
        ours, theirs = self._names[0].get(id(one)), self._names[1].get(id(other))
        if ours != theirs:
            yield f"{what} {self._differs}"
        elif _has_state(one) and (ours is None or in_function):
            yield f"{what} holds a layer with parameters or buffers that are not stacked"
        elif ours is None and difference(one, other) is not None:
            yield f"{what} {self._differs}"


def _same_class(one: nn.Module, other: nn.Module) -> bool:
    if parametrize.is_parametrized(one) and parametrize.is_parametrized(other):
        # Each parametrized layer has a class of its own.
        return type(one).__bases__ == type(other).__bases__
    return type(one) is type(other)


def _outline(stacked: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (name, value.shape, value.dtype, value.requires_grad)
        if isinstance(value, Tensor)
        else (name, value is None)
        for name, value in stacked.items()
    ]


def _has_state(module: nn.Module) -> bool:
    return any(True for _ in (*module.parameters(), *module.buffers()))


@singledispatch
def parts_of(value: Any) -> list[Any] | None:
    """Return what a value consists of; None if it is one piece."""
    return _attributes(value) or None


@parts_of.register
def _(value: FunctionType) -> list[Any]:
    held = [_content(cell) for cell in value.__closure__ or ()]
    return [value.__code__, value.__defaults__, value.__kwdefaults__, vars(value), *held]


@parts_of.register
def _(value: MethodType) -> list[Any]:
    return [value.__func__, value.__self__]


@parts_of.register
def _(value: partial) -> list[Any]:  # type: ignore[type-arg]
    return [value.func, value.args, value.keywords, vars(value)]


@parts_of.register
def _(value: weakref.ref) -> list[Any]:  # type: ignore[type-arg]
    return [value()]


@parts_of.register
def _(value: type) -> list[Any]:
    # A function that defines a class defines another one at each call.
    own = {name: each for name, each in vars(value).items() if name not in _OF_EACH_CLASS}
    return [value.__qualname__, value.__bases__, list(own), *own.values()]


@parts_of.register(dict)
def _(value: dict[Any, Any]) -> list[Any]:
    return [list(value), *value.values(), *_attributes(value)]


@parts_of.register(list)
@parts_of.register(tuple)
@parts_of.register(deque)
def _(value: Any) -> list[Any]:
    return [*value, *_attributes(value)]


@parts_of.register
def _(value: np.ndarray) -> list[Any] | None:
    # An array of objects has their addresses as its bytes.
    return [value.shape, *value.ravel().tolist()] if value.dtype.hasobject else None


@parts_of.register
def _(value: torch.Generator) -> list[Any]:
    return [value.get_state().numpy()]


@parts_of.register
def _(value: np.random.Generator) -> list[Any]:
    return [value.bit_generator.state]


@parts_of.register
def _(value: np.random.RandomState) -> list[Any]:
    return [value.get_state(legacy=False)]


@parts_of.register
def _(value: random.Random) -> list[Any]:
    return [value.getstate()]


def _is_looked_into(value: Any) -> bool:
    """Return True if a value that networks share may still hold what belongs to one of them."""
    return isinstance(
        value,
        Tensor | nn.Module | dict | list | tuple | deque | FunctionType | MethodType | partial,
    )


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a variable that has no value yet
        return None


def _attributes(value: Any) -> list[Any]:
    """Return the attributes of an object, names and values."""
    names = [name for each in type(value).__mro__ for name in _slots(each)]
    found = {name: getattr(value, name) for name in names if hasattr(value, name)}
    found.update(getattr(value, "__dict__", {}))
    return [list(found), *found.values()] if found else []


def _slots(owner: type) -> tuple[str, ...]:
    slots = vars(owner).get("__slots__", ())
    names = (slots,) if isinstance(slots, str) else tuple(slots)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


def _same(one: Any, other: Any) -> bool:
    """Return True if two values of the same type, of one piece each, are the same."""
    if isinstance(one, np.ndarray | np.generic):
        return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    if isinstance(one, float | complex):
        return repr(one) == repr(other)  # NaN is NaN, and 0.0 is not -0.0
    try:
        return bool(one == other) or pickle.dumps(one) == pickle.dumps(other)
    except Exception:  # what cannot be compared is taken for different
        return False
