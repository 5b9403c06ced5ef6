"""How a criterion is shown to people, in the orientation of their losses."""

from __future__ import annotations

from optuna_robust._statistics.criteria import CRITERIA
from optuna_robust._statistics.criteria import Criterion


# Of losses that are minimised, and of those that are maximised.
_NAMES = {
    "q3": ("Q3", "Q1"),
    "q3+iqr": ("Q3 + IQR", "Q1 − IQR"),
    "mean+std": ("mean + std", "mean − std"),
    "max": ("worst", "worst"),
    "min": ("best", "best"),
    "cvar": ("mean of the worst 25 %", "mean of the worst 25 %"),
    "iqr": ("IQR", "IQR"),
    "mad": ("MAD", "MAD"),
}


def shown_name(criterion: str | Criterion, direction: str) -> str:
    """Return the name of a criterion as people read it.

    Args:
        criterion:
            A criterion, or the name of one; other names are shown as they are.
        direction:
            ``"minimize"`` or ``"maximize"``, of the losses.

    Example:
        >>> from optuna_robust._statistics.criterion_names import shown_name
        >>> shown_name("q3+iqr", "minimize"), shown_name("q3+iqr", "maximize")
        ('Q3 + IQR', 'Q1 − IQR')
        >>> shown_name("max", "maximize")
        'worst'
    """
    name = criterion if isinstance(criterion, str) else criterion.name
    names = _NAMES.get(name) if _is_known(criterion) else None
    return name if names is None else names[direction == "maximize"]


def shown_sign(criterion: str | Criterion | None, direction: str) -> int:
    """Return the sign that turns a value into what is shown: spreads are positive.

    Args:
        criterion:
            What the value is of; None: of a loss.
        direction:
            ``"minimize"`` or ``"maximize"``, of the losses.

    Example:
        >>> from optuna_robust._statistics.criterion_names import shown_sign
        >>> shown_sign("std", "maximize"), shown_sign("std", "minimize")
        (-1, 1)
        >>> shown_sign("q3+iqr", "maximize")
        1
    """
    return -1 if direction == "maximize" and _is_spread(criterion) else 1


def better_side(criterion: str | Criterion | None, direction: str) -> str:
    """Return which values of a criterion are better, as shown; of spreads the smaller ones.

    Args:
        criterion:
            As for :func:`shown_sign`.
        direction:
            As for :func:`shown_sign`.

    Example:
        >>> from optuna_robust._statistics.criterion_names import better_side
        >>> better_side("q3+iqr", "maximize"), better_side("std", "maximize")
        ('larger is better', 'smaller is better')
    """
    is_larger = direction == "maximize" and not _is_spread(criterion)
    return "larger is better" if is_larger else "smaller is better"


def column_head(criterion: str | Criterion, direction: str, loss_name: str | None = None) -> str:
    """Return the head of a column of values: what they are, and which are better.

    Args:
        criterion:
            As for :func:`shown_name`.
        direction:
            ``"minimize"`` or ``"maximize"``, of the losses.
        loss_name:
            What the losses are, and their unit; None: not known.

    Example:
        >>> from optuna_robust._statistics.criterion_names import column_head
        >>> column_head("q3+iqr", "maximize")
        'Q1 − IQR, larger is better'
        >>> column_head("max", "minimize", "error (eV)")
        'worst error (eV), smaller is better'
        >>> column_head("std", "minimize", "error (eV)")
        'std of error (eV), smaller is better'
    """
    name = shown_name(criterion, direction)
    if loss_name is not None:
        name = f"{name} {loss_name}" if name in ("best", "worst") else f"{name} of {loss_name}"
    return f"{name}, {better_side(criterion, direction)}"


def _is_known(criterion: str | Criterion | None) -> bool:
    """Return True if it is one of this package's criteria, and no other one of that name."""
    name = criterion.name if isinstance(criterion, Criterion) else criterion
    known = CRITERIA.get(name or "")
    return known is not None and (isinstance(criterion, str) or known == criterion)


def _is_spread(criterion: str | Criterion | None) -> bool:
    if isinstance(criterion, Criterion):
        return criterion.kind == "spread"
    return _is_known(criterion) and CRITERIA[str(criterion)].kind == "spread"
