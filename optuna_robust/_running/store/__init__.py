"""The store: every instance ever trained, and who is training which."""

from optuna_robust._running.store._claims import Claims
from optuna_robust._running.store._rows import StoredInstance
from optuna_robust._running.store._schema import without_password
from optuna_robust._running.store._store import InstanceStore


__all__ = ["Claims", "InstanceStore", "StoredInstance", "without_password"]
