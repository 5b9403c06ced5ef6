"""Hyperparameters that note which of them an objective reads."""

from __future__ import annotations

from collections.abc import ItemsView
from collections.abc import Iterator
from collections.abc import KeysView
from collections.abc import Mapping
from collections.abc import ValuesView
from typing import Any


class ReadParams(dict[str, Any]):
    """Hyperparameters of a trial; whoever reads one of them uses it, as if it was suggested.

    Args:
        params:
            The hyperparameters.
        read:
            Names of those that are read are added to it: all of them where they are iterated
            over, or passed on as ``**trial.params``.
    """

    def __init__(self, params: Mapping[str, Any], read: set[str]) -> None:
        super().__init__(params)
        self._read = read

    def __getitem__(self, name: str) -> Any:
        """Return a value."""
        value = super().__getitem__(name)
        self._read.add(name)
        return value

    def get(self, name: str, default: Any = None) -> Any:
        """Return a value, or a default."""
        try:
            return self[name]
        except KeyError:
            return default

    def __contains__(self, name: object) -> bool:
        """Return True if there is such a hyperparameter."""
        is_one = super().__contains__(name)
        if is_one:
            self._read.add(str(name))
        return is_one

    def __eq__(self, other: object) -> bool:
        """Return True if another dictionary is the same."""
        return self.copy() == other

    def __ne__(self, other: object) -> bool:
        """Return True if another dictionary is not the same."""
        return self.copy() != other

    __hash__ = None

    def setdefault(self, name: str, default: Any = None) -> Any:
        """Return a value, or set it to a default."""
        if name in self:
            return self[name]
        return super().setdefault(name, default)

    def popitem(self) -> tuple[str, Any]:
        """Remove the last of the hyperparameters, and return its name and value."""
        name, value = super().popitem()
        self._read.add(name)
        return name, value

    def pop(self, name: str, *default: Any) -> Any:
        """Remove a value, and return it."""
        self.get(name)
        return super().pop(name, *default)

    def copy(self) -> dict[str, Any]:
        """Return the hyperparameters in a plain dictionary."""
        self._read.update(super().keys())
        return dict(super().items())  # dict.copy would ask for the keys

    def __iter__(self) -> Iterator[str]:
        """Return all names."""
        return iter(self.copy())

    def keys(self) -> KeysView[str]:  # type: ignore[override]
        """Return all names."""
        return self.copy().keys()

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        """Return all values."""
        return self.copy().values()

    def items(self) -> ItemsView[str, Any]:  # type: ignore[override]
        """Return all names and values."""
        return self.copy().items()

    def __or__(self, other: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        """Return the hyperparameters and others in a plain dictionary."""
        return self.copy() | other

    def __ror__(self, other: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]
        """Return others and the hyperparameters in a plain dictionary."""
        return other | self.copy()

    def __reduce__(self) -> tuple[type, tuple[dict[str, Any]]]:
        """Pickle and copy as a plain dictionary."""
        return dict, (self.copy(),)
