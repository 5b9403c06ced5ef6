"""Which objective it is: its name, and a hash of what it is made of, to know it again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from dataclasses import dataclass
from datetime import date
from datetime import time
from datetime import timedelta
from decimal import Decimal
import dis
from enum import Enum
from fractions import Fraction
from functools import cached_property
from functools import partial
import hashlib
from pathlib import PurePath
import sys
from types import CellType
from types import CodeType
from types import FunctionType
from types import MemberDescriptorType
from types import MethodType
from types import ModuleType
from typing import Any

import numpy as np


_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_TOLD_BY_REPR = (range, slice, PurePath, Decimal, Fraction, date, time, timedelta)

# Their objects have a state that changes as they are used: only their type counts.
_STATEFUL = {"_io", "_thread", "logging", "optuna", "random", "sqlalchemy", "threading", "tqdm"}

# How deep containers and objects are looked into.
_DEPTH = 8

_CHANGES_CONTAINER = {
    *("add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem"),
    *("remove", "setdefault", "sort", "update"),
}
_LOADS = ("LOAD_DEREF", "LOAD_ATTR")


@dataclass(frozen=True)
class ObjectiveIdentity:
    """Which objective it is.

    Attributes:
        name: Its qualified name, without the module: a script's is ``__main__`` in one place.
        code: Hash of its code, arguments and closure, arrays and attributes of objects included,
            and of the functions and classes of its module that it uses. What they read at run
            time is not in it: files, module variables, other libraries. Of an objective that
            cannot be looked into, hash of its name.
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
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    name = _name(objective)
    try:
        code = _hash(_parts(objective, set()))
    except Exception:  # an objective may be anything, and is trained all the same
        code = _hash([name])
    return ObjectiveIdentity(name, code, version)


def _hash(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(f"{len(part)}:{part}".encode(errors="surrogatepass"))
    return digest.hexdigest()


def _name(objective: Any) -> str:
    while isinstance(objective, partial):
        objective = objective.func
    try:
        name = getattr(objective, "__qualname__", None)
    except Exception:
        name = None
    return str(name or type(objective).__qualname__)


def _parts(value: Any, seen: set[int], depth: int = _DEPTH) -> Iterator[str]:
    """Yield what a callable is made of, as texts that are the same in every process."""
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, partial):
        yield from _values(dict(enumerate(value.args)) | value.keywords, seen, depth)
        yield from _parts(value.func, seen, depth)
    elif isinstance(value, MethodType):
        yield from _object(value.__self__, seen, depth)
        yield from _parts(value.__func__, seen, depth)
    elif isinstance(value, FunctionType):
        yield from _function(value, seen, depth)
    elif isinstance(value, type):
        for member in vars(value).values():
            is_wrapped = isinstance(member, (staticmethod, classmethod))
            yield from _parts(member.__func__ if is_wrapped else member, seen, depth)
    elif callable(value):
        yield from _object(value, seen, depth)


def _object(instance: Any, seen: set[int], depth: int) -> Iterator[str]:
    """Yield the class of an object, and its attributes that stay as they are when it is called."""
    kind = instance if isinstance(instance, type) else type(instance)
    yield kind.__qualname__
    for each in kind.__mro__:
        if each is kind or not _is_librarys(each):
            yield from _parts(each, seen, depth)
    if kind is instance:
        return
    changing = _changing(kind)
    if changing is None:
        return
    attributes = {name: each for name, each in _attributes(instance) if name not in changing}
    yield from _values(attributes, seen, depth)


def _attributes(instance: Any) -> Iterator[tuple[str, Any]]:
    with suppress(AttributeError):
        yield from object.__getattribute__(instance, "__dict__").items()
    for kind in type(instance).__mro__:
        for name, member in vars(kind).items():
            if isinstance(member, MemberDescriptorType):  # one of __slots__
                with suppress(AttributeError):  # it may have no value
                    yield name, member.__get__(instance)


def _changing(kind: type) -> set[str] | None:
    """Return the attributes that methods change; None if it may be any."""
    changing: set[str] = set()
    for each in kind.__mro__:
        if each is not kind and _is_librarys(each):
            continue
        for name, method in vars(each).items():
            if isinstance(method, cached_property):
                changing.add(name)
            if isinstance(method, FunctionType) and method.__name__ != "__init__":
                changing |= _stored(method.__code__, "STORE_ATTR")
                changing |= _changed(method.__code__)
                by_name = _set_by_name(method.__code__)
                if None in by_name:
                    return None
                changing |= {str(each) for each in by_name}
    return changing


def _is_librarys(kind: type) -> bool:
    """Return True for a class that is built in, or installed: how it works is not looked into."""
    if kind.__module__ == "__main__" or kind.__module__ not in sys.modules:
        return False
    if kind.__module__.partition(".")[0] in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules[kind.__module__], "__file__", None)
    return file is None or "site-packages" in file or "dist-packages" in file


def _function(function: FunctionType, seen: set[int], depth: int) -> Iterator[str]:
    code = function.__code__
    yield from _code(code, function.__doc__)
    yield from _values(dict(enumerate(function.__defaults__ or ())), seen, depth)
    yield from _values(function.__kwdefaults__ or {}, seen, depth)
    changing = _stored(code, "STORE_DEREF") | _changed(code)
    cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
    closure = {name: _content(cell) for name, cell in cells if name not in changing}
    yield from _values(closure, seen, depth)
    for name in sorted(_names(code)):
        used = function.__globals__.get(name)
        if isinstance(used, (FunctionType, type)) and used.__module__ == function.__module__:
            yield from _parts(used, seen, depth)


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


def _values(values: Mapping[Any, Any], seen: set[int], depth: int) -> Iterator[str]:
    """Yield named values."""
    for name, value in values.items():
        yield str(name)
        yield from _guarded(value, seen, depth)


def _guarded(value: Any, seen: set[int], depth: int) -> list[str]:
    """Return what a value is; of one that cannot be looked into its type."""
    try:
        return list(_value(value, seen, depth))
    except RecursionError:  # where it comes depends on the caller
        raise
    except Exception:
        return [type(value).__qualname__]


def _value(given: Any, seen: set[int], depth: int) -> Iterator[str]:
    value = given.item() if isinstance(given, np.generic) else given
    kind = type(value)
    package = kind.__module__.partition(".")[0]
    if isinstance(value, _PLAIN) or (
        isinstance(value, tuple) and all(isinstance(each, _PLAIN) for each in value)
    ):
        yield repr(value)
    elif isinstance(value, type):  # a library's has other code in its next version
        yield value.__qualname__
    elif isinstance(value, (partial, MethodType, FunctionType)):
        yield from _parts(value, seen, depth)
    elif isinstance(value, Enum):
        yield f"{kind.__qualname__}.{value.name}"
    elif isinstance(value, _TOLD_BY_REPR):
        yield repr(value)
    elif depth == 0 or package in _STATEFUL or isinstance(value, ModuleType):
        yield kind.__qualname__
    elif isinstance(value, (np.ndarray, np.generic)):
        yield from _array(np.asarray(value), seen, depth)
    elif _is_tensor(value):
        flat = value.detach().cpu().contiguous().reshape(-1)
        data = flat.view(sys.modules["torch"].uint8).numpy()
        yield from ("tensor", str(value.dtype), str(tuple(value.shape)), _hash_of_bytes(data))
    elif package == "pandas":
        yield from _frame(value, seen, depth)
    elif isinstance(value, (list, tuple, dict, set, frozenset, deque)):
        yield from _container(value, seen, depth)
    elif id(value) not in seen:
        seen.add(id(value))
        yield from _object(value, seen, depth - 1)


def _array(array: np.ndarray[Any, Any], seen: set[int], depth: int) -> Iterator[str]:
    yield from ("array", str(array.dtype), str(array.shape))
    if array.dtype.hasobject:
        for each in array.ravel().tolist():
            yield from _guarded(each, seen, depth - 1)
    else:
        yield _hash_of_bytes(np.ascontiguousarray(array).reshape(-1).view(np.uint8))


def _hash_of_bytes(data: np.ndarray[Any, Any]) -> str:
    return hashlib.sha256(data.data).hexdigest()


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _frame(value: Any, seen: set[int], depth: int) -> Iterator[str]:
    """Yield a pandas object by its columns, whose types differ."""
    yield type(value).__qualname__
    if hasattr(value, "index") and hasattr(value, "to_numpy"):
        yield from _array(value.index.to_numpy(), seen, depth)
    if hasattr(value, "columns"):
        for position, name in enumerate(value.columns):
            yield repr(name)
            yield from _array(value.iloc[:, position].to_numpy(), seen, depth)
    else:
        yield repr(getattr(value, "name", None))
        yield from _array(value.to_numpy(), seen, depth)


def _container(value: Any, seen: set[int], depth: int) -> Iterator[str]:
    if not isinstance(value, tuple):  # equal ones may be the same in one process only
        if id(value) in seen:
            return
        seen.add(id(value))
    yield f"{type(value).__qualname__} {len(value)}"
    if isinstance(value, (set, frozenset)):  # its order differs between processes
        yield from sorted(_hash(_guarded(each, seen, depth - 1)) for each in value)
    elif isinstance(value, dict):
        keys = {key: _hash(_guarded(key, seen, depth - 1)) for key in value}
        for key in sorted(value, key=lambda each: keys[each]):
            yield keys[key]
            yield from _guarded(value[key], seen, depth - 1)
    else:
        for each in value:
            yield from _guarded(each, seen, depth - 1)


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


def _changed(code: CodeType) -> set[str]:
    """Return the names whose container is changed: ``name.append(…)``, ``name[key] = …``."""
    found = set()
    for each in _codes(code):
        steps = list(dis.get_instructions(each))
        for position, step in enumerate(steps):
            before: list[dis.Instruction] = []
            if step.opname in {"LOAD_ATTR", "LOAD_METHOD"} and step.argval in _CHANGES_CONTAINER:
                before = steps[position - 1 : position]
            elif step.opname in {"STORE_SUBSCR", "DELETE_SUBSCR"}:
                before = steps[max(position - 2, 0) : position - 1]
            found |= {str(each.argval) for each in before if each.opname in _LOADS}
    return found


def _set_by_name(code: CodeType) -> set[str | None]:
    """Return the attributes that ``setattr`` sets; None for one whose name is not constant."""
    found: set[str | None] = set()
    for each in _codes(code):
        steps = [one for one in dis.get_instructions(each) if one.opname != "PUSH_NULL"]
        for position, step in enumerate(steps):
            if step.opname in {"LOAD_GLOBAL", "LOAD_NAME"} and step.argval == "setattr":
                name = steps[position + 2] if position + 2 < len(steps) else step
                is_constant = name.opname == "LOAD_CONST" and isinstance(name.argval, str)
                found.add(name.argval if is_constant else None)
    return found
