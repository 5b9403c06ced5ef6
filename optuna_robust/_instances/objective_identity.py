"""Which objective it is: its name, and a hash of its code and of what it holds."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from dataclasses import dataclass
import dis
from functools import partial
import hashlib
from inspect import getattr_static
import sys
from types import CodeType
from types import FunctionType
from types import MethodType
from typing import Any
import weakref

import numpy as np


# Top-level modules whose code is not looked into, beside installed packages.
_LIBRARIES = {*sys.stdlib_module_names, __name__.partition(".")[0]}

# How deep containers within containers are looked into.
_DEPTH = 50

# What argparse returns; it is slow to import.
_ARGUMENTS = "Namespace"

# Whose arrays lie in memory.
_ARRAYS = ("numpy", "pandas", "torch")

# Identities of the objectives of this process that are alive, by their ids.
_first_seen: dict[tuple[int, str], tuple[weakref.ref[Any], ObjectiveIdentity]] = {}


@dataclass(frozen=True)
class ObjectiveIdentity:
    """Which objective it is.

    Two objectives are the same if their code is, and what they hold:

    - Code: that of the function or class, and of the functions and classes of the same module
      that it names. Comments, formatting and docstrings do not count; any other edit does, even
      of a ``print``: nobody but its author can say that an edit changes no loss.
    - What it holds: arguments of a ``partial``, defaults, closure, attributes. Containers, arrays,
      tensors and frames count by their values, functions by their code, objects of one's own
      classes by their attributes, others by what they print, unless that is an address.

    All this counts as it was when the objective was first looked at in this process: counters and
    caches that its calls change make it no other one, nor do attributes that are set later.

    What cannot be seen: files, module variables, the code of other modules, the state of objects
    of installed packages. What an objective holds that is new in every process (a time, a
    temporary directory, random numbers) makes it another one in each.

    Attributes:
        name: Its qualified name, without the module: a script's is ``__main__`` in one place.
        code: Hash of its code and of what it holds; of the name, if it cannot be looked into.
        python: The version of Python that compiled it: others have other code.
    """

    name: str
    code: str
    python: str

    def is_of(self, kept: Mapping[str, str]) -> bool:
        """Return True if this may be the objective that was kept by :meth:`to_dict`.

        What was kept by another version of Python is compared by name.
        """
        if kept["python"] == self.python:
            return kept["code"] == self.code
        return kept["name"] == self.name

    def to_dict(self) -> dict[str, str]:
        """Return the attributes as a dictionary."""
        return asdict(self)


def objective_identity(objective: Callable[..., Any]) -> ObjectiveIdentity:
    """Return which objective it is, as it was when this was first asked in this process.

    Args:
        objective:
            Any callable.

    Example:
        >>> from optuna_robust._instances.objective_identity import objective_identity
        >>> def make(power):
        ...     return lambda trial: trial.suggest_float("x", 0, 1) ** power
        >>> objective_identity(make(2)) == objective_identity(make(2))
        True
        >>> objective_identity(make(2)) == objective_identity(make(3))
        False
    """
    owner: Any = objective
    if isinstance(objective, MethodType):  # another object each time that it is asked for
        owner = objective.__self__
    name = _name(objective)
    key = id(owner), name
    if key in _first_seen:
        return _first_seen[key][1]
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    try:
        code = _hash(_texts(objective))
    except Exception:  # an objective may be anything, and is trained all the same
        code = _hash([name])
    found = ObjectiveIdentity(name, code, version)
    with suppress(TypeError):  # not every object can be referred to weakly
        _first_seen[key] = weakref.ref(owner, lambda _: _first_seen.pop(key, None)), found
    return found


def _name(objective: Any) -> str:
    while isinstance(objective, partial):
        objective = objective.func
    name = None
    with suppress(Exception):
        name = getattr(objective, "__qualname__", None)
    return str(name or type(objective).__qualname__)


def _hash(texts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for text in texts:
        digest.update(f"{len(text)}:{text}".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _texts(objective: Any) -> Iterator[str]:
    """Yield what an objective is made of, as texts that are the same in every process."""
    parts, seen = [objective], dict[int, Any]()
    for part in parts:  # which grow by what they hold
        if id(part) in seen:
            continue
        seen[id(part)] = part  # alive, so that no other part has its id
        for code in _codes(part.__code__) if isinstance(part, FunctionType) else ():
            yield from _instructions(code)
        for name, value in _held(part).items():
            yield name
            yield _text(value, parts)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _instructions(code: CodeType) -> Iterator[str]:
    for step in dis.get_instructions(code):  # none of which has the docstring
        yield step.opname
        if isinstance(step.argval, frozenset):  # its order differs between processes
            yield str(sorted(map(repr, step.argval)))
        elif not isinstance(step.argval, CodeType):
            yield repr(step.argval)


def _held(part: Any) -> dict[str, Any]:
    """Return what a part of an objective holds, and the classes and functions that it uses."""
    if isinstance(part, partial):
        return {"func": part.func, "args": part.args, "keywords": part.keywords}
    if isinstance(part, MethodType):
        return {"func": part.__func__, "self": part.__self__}
    if isinstance(part, FunctionType):
        return _of_function(part)
    if isinstance(part, type):
        members = {
            name: _function_in(member)
            for name, member in vars(part).items()
            if callable(member) or not name.startswith("__")
        }
        return {**members, "bases": part.__bases__}
    return {"type": type(part), "state": object.__getstate__(part)}  # __slots__ included


def _of_function(function: FunctionType) -> dict[str, Any]:
    held: dict[str, Any] = {"defaults": function.__defaults__, "keywords": function.__kwdefaults__}
    for name in sorted({name for code in _codes(function.__code__) for name in code.co_names}):
        used = _function_in(function.__globals__.get(name))
        if isinstance(used, (FunctionType, type)) and used.__module__ == function.__module__:
            held[name] = used
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with suppress(ValueError):  # it is assigned later
            held[name] = cell.cell_contents
    return held


def _function_in(value: Any) -> Any:
    """Return the function that a method, a property or a cache has been made of."""
    if isinstance(value, (staticmethod, classmethod)):
        return value.__func__
    if isinstance(value, property):
        return value.fget
    is_function = isinstance(value, (FunctionType, type))
    return value if is_function else getattr_static(value, "__wrapped__", value)


def _is_own(part: Any) -> bool:
    """Return True if a class or function is the user's, not of Python or an installed package."""
    file = getattr(sys.modules.get(part.__module__), "__file__", None) or ""
    return part.__module__.partition(".")[0] not in _LIBRARIES and "-packages" not in file


def _text(
    value: Any, parts: list[Any], known: dict[int, str] | None = None, depth: int = 0
) -> str:
    """Return what a value is, and append it to ``parts`` if that is to be looked into."""
    kind = type(value)
    if kind in {bool, int, float, str}:  # of which there may be many
        return repr(value)
    try:
        if isinstance(value, (list, tuple, set, frozenset, dict)):
            return _container(value, parts, {} if known is None else known, depth)
        if kind.__module__.startswith(_ARRAYS) and hasattr(value, "__array__"):
            return _array(value)
        value = _function_in(value)
        if isinstance(value, (FunctionType, type)):
            parts += filter(_is_own, [value])
            return value.__qualname__
        is_looked_into = isinstance(value, (partial, MethodType)) or _is_own(kind)
        if is_looked_into or kind.__qualname__ == _ARGUMENTS:
            parts.append(value)
            return kind.__qualname__
        text = repr(value)
    except Exception:  # what an object answers is its own affair
        text = kind.__qualname__
    return kind.__qualname__ if " at 0x" in text else text


def _container(value: Any, parts: list[Any], known: dict[int, str], depth: int) -> str:
    kind = type(value).__qualname__
    if depth == _DEPTH:
        return kind
    if id(value) in known:  # looked into, or it holds itself
        return known[id(value)]
    known[id(value)] = kind
    if isinstance(value, (set, frozenset)):
        texts = sorted(_text(each, [], known, depth + 1) for each in value)
    elif isinstance(value, dict):
        by_key = {_text(key, [], known, depth + 1): each for key, each in value.items()}
        in_order = (each for key in sorted(by_key) for each in (key, by_key[key]))
        texts = [_text(each, parts, known, depth + 1) for each in in_order]
    else:
        texts = [_text(each, parts, known, depth + 1) for each in value]
    known[id(value)] = _hash([kind, *texts])
    return known[id(value)]


def _array(value: Any) -> str:
    if isinstance(value, np.memmap):  # a file
        return type(value).__qualname__
    array = np.asarray(value.cpu() if hasattr(value, "cpu") else value)
    if array.dtype.hasobject:
        return _text([str(array.shape), array.tolist()], [])
    data = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
    return _hash([str(array.dtype), str(array.shape), hashlib.sha256(data).hexdigest()])
