"""The check of the argument ``store``, which does not import what a store needs."""

from __future__ import annotations

from typing import TYPE_CHECKING


if TYPE_CHECKING:
    from optuna_robust._running.store import InstanceStore


def check_store(store: InstanceStore | None) -> InstanceStore | None:
    """Return the store that the user gave.

    Raises:
        TypeError: If it is none.
    """
    # Not isinstance: that would import SQLAlchemy for those who have no store.
    if store is not None and not callable(getattr(store, "claim", None)):
        raise TypeError(
            "store must be an InstanceStore, such as InstanceStore('sqlite:///robust.db'), but "
            f"was {store!r}."
        )
    return store
