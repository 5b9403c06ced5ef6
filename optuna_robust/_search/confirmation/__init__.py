"""The confirmation: what the best models are worth on fresh instances."""

from optuna_robust._search.confirmation._confirm import confirm
from optuna_robust._search.confirmation._result import ConfirmationResult
from optuna_robust._search.confirmation._result import ConfirmedModel
from optuna_robust._search.confirmation._result import ConfirmedPair


__all__ = [
    "ConfirmationResult",
    "ConfirmedModel",
    "ConfirmedPair",
    "confirm",
]
