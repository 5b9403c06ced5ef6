"""Which objective it is: its name, and a hash of what it is made of, to know it again."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
import dis
from functools import partial
import hashlib
import sys
from types import CellType
from types import CodeType
from types import FunctionType
from types import MethodType
from typing import Any

import numpy as np


_PLAIN = (bool, int, float, complex, str, bytes, type(None))


@dataclass(frozen=True)
class ObjectiveIdentity:
    """Which objective it is.

    Attributes:
        name: Its qualified name, without the module: a script's is ``__main__`` in one place.
        code: Hash of its code, arguments and closure, and of the functions and classes of its
            module that it uses. What they read at run time is not in it: data, module variables,
            other libraries.
        python: The version of Python that compiled it: other versions have other code.
    """

    name: str
    code: str
    python: str

    def is_of(self, kept: Mapping[str, str]) -> bool:
        """Return True if this may be the objective that was kept by :meth:`to_dict`."""
        if kept["python"] == self.python:
            return kept["code"] == self.code
        return kept["name"] == self.name

    def to_dict(self) -> dict[str, str]:
        """Return the attributes as a dictionary."""
        return asdict(self)


def objective_identity(objective: Callable[..., Any]) -> ObjectiveIdentity:
    """Return which objective it is.

    Args:
        objective:
            Any callable.

    Example:
        >>> from optuna_robust.objective_identity import objective_identity
        >>> def make(power):
        ...     return lambda trial: trial.suggest_float("x", 0, 1) ** power
        >>> objective_identity(make(2)) == objective_identity(make(2))
        True
        >>> objective_identity(make(2)) == objective_identity(make(3))
        False
    """
    digest = hashlib.sha256()
    for part in _parts(objective, set()):
        digest.update(f"{len(part)}:{part}".encode(errors="surrogatepass"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return ObjectiveIdentity(_name(objective), digest.hexdigest(), version)


def _name(objective: Any) -> str:
    while isinstance(objective, partial):
        objective = objective.func
    name = getattr(objective, "__qualname__", None) or type(objective).__qualname__
    return str(name)


def _parts(value: Any, seen: set[int]) -> Iterator[str]:
    """Yield what a callable is made of, as texts that are the same in every process."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, partial):
        yield from _values(dict(enumerate(value.args)) | value.keywords, seen)
        yield from _parts(value.func, seen)
    elif isinstance(value, MethodType):
        yield from _object(value.__self__, seen)
        yield from _parts(value.__func__, seen)
    elif isinstance(value, FunctionType):
        yield from _function(value, seen)
    elif isinstance(value, type):
        for member in vars(value).values():
            yield from _parts(getattr(member, "__func__", member), seen)
    elif callable(value):
        yield from _object(value, seen)


def _object(instance: Any, seen: set[int]) -> Iterator[str]:
    """Yield the class of an object, and its attributes that stay as they are when it is called."""
    kind = instance if isinstance(instance, type) else type(instance)
    yield kind.__qualname__
    yield from _parts(kind, seen)
    methods = [each for each in vars(kind).values() if isinstance(each, FunctionType)]
    changing = {
        name
        for method in methods
        if method.__name__ != "__init__"
        for name in _stored(method.__code__, "STORE_ATTR")
    }
    attributes = getattr(instance, "__dict__", {})
    kept = {name: each for name, each in attributes.items() if name not in changing}
    yield from _values({} if kind is instance else kept, seen)


def _function(function: FunctionType, seen: set[int]) -> Iterator[str]:
    code = function.__code__
    yield from _code(code, function.__doc__)
    yield from _values(dict(enumerate(function.__defaults__ or ())), seen)
    yield from _values(function.__kwdefaults__ or {}, seen)
    changing = _stored(code, "STORE_DEREF")
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    closure = {name: _content(cell) for name, cell in cells if name not in changing}
    yield from _values(closure, seen)
    for name in sorted(_names(code)):
        used = function.__globals__.get(name)
        if isinstance(used, (FunctionType, type)) and used.__module__ == function.__module__:
            yield from _parts(used, seen)


def _code(code: CodeType, doc: str | None) -> Iterator[str]:
    yield code.co_code.hex()
    yield from code.co_names
    for position, constant in enumerate(code.co_consts):
        if isinstance(constant, CodeType):
            yield from _code(constant, None)
        elif position or doc is None or constant != doc:
            yield _constant(constant)


def _constant(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({','.join(map(_constant, value))})"
    if isinstance(value, frozenset):  # its order differs between processes
        return f"{{{','.join(sorted(map(_constant, value)))}}}"
    return repr(value)


def _values(values: Mapping[Any, Any], seen: set[int]) -> Iterator[str]:
    """Yield those of the named values that cannot change, and callables."""
    for name, given in values.items():
        value = given.item() if isinstance(given, np.generic) else given
        if isinstance(value, _PLAIN) or (
            isinstance(value, tuple) and all(isinstance(each, _PLAIN) for each in value)
        ):
            yield f"{name}={value!r}"
        elif isinstance(value, type):  # a library's has other code in its next version
            yield f"{name}={value.__qualname__}"
        elif isinstance(value, (partial, MethodType, FunctionType)):
            yield str(name)
            yield from _parts(value, seen)


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is assigned later
        return None


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _names(code: CodeType) -> set[str]:
    return {name for each in _codes(code) for name in each.co_names}


def _stored(code: CodeType, operation: str) -> set[str]:
    return {
        str(instruction.argval)
        for each in _codes(code)
        for instruction in dis.get_instructions(each)
        if instruction.opname == operation
    }
