"""How numbers stand in sentences."""

from __future__ import annotations


def counted(n: int, noun: str) -> str:
    """Return a number with its noun.

    Example:
        >>> from optuna_robust._base.wording import counted
        >>> counted(1, "instance"), counted(2, "fresh instance")
        ('1 instance', '2 fresh instances')
    """
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
