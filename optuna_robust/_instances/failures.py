"""Kinds of failures, and how often each was: what a report says of failed instances."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from collections.abc import Mapping

from optuna_robust._base.wording import counted


_MOST_KINDS = 5
# Characters of a reason that are kept: compilers and shells say a great deal.
_LONGEST = 2_000


def kind_of(reason: str) -> str:
    """Return the kind of a failure of which only the reason is known.

    Example:
        >>> from optuna_robust._instances.failures import kind_of
        >>> kind_of("FileNotFoundError: train.npz")
        'FileNotFoundError'
    """
    return reason.split(": ", 1)[0]


def shortened(reason: str) -> str:
    """Return a reason as it is kept: the middle of a long one is left out.

    Example:
        >>> from optuna_robust._instances.failures import shortened
        >>> shortened("OSError: no space left")
        'OSError: no space left'
        >>> len(shortened("x" * 100_000)) < 2_100
        True
    """
    left_out = len(reason) - _LONGEST
    if left_out <= 0:
        return reason
    half = _LONGEST // 2
    return f"{reason[:half]} [... {left_out} characters left out ...] {reason[-half:]}"


def count_kinds(kinds: Iterable[str]) -> dict[str, int]:
    """Return how often each kind was, the most frequent first."""
    return dict(Counter(kinds).most_common())


def failures_text(kinds: Mapping[str, int]) -> str:
    """Return a line about failed instances.

    Example:
        >>> from optuna_robust._instances.failures import failures_text
        >>> failures_text({"OSError at train.py:7": 2, "the objective returned nan": 1})
        'Failures: 3 instances (2 OSError at train.py:7; 1 the objective returned nan).'
        >>> failures_text({})
        'Failures: none.'

    Args:
        kinds:
            How often each kind was, the most frequent first.
    """
    if not kinds:
        return "Failures: none."
    n = sum(kinds.values())
    shown = [f"{count} {kind}" for kind, count in list(kinds.items())[:_MOST_KINDS]]
    if len(kinds) > _MOST_KINDS:
        shown.append(f"the others of {len(kinds) - _MOST_KINDS} more kinds")
    return f"Failures: {counted(n, 'instance')} ({'; '.join(shown)})."
