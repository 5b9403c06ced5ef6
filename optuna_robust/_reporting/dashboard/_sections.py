"""A part of a note that is ours: users write the rest of it in the dashboard."""

from __future__ import annotations


# Definitions of links that nobody uses: they are not shown.
_BEGIN, _END = "[//]: # (optuna-robust)", "[//]: # (optuna-robust, end)"


def with_section(note: str, section: str) -> str:
    r"""Return a note with our section in place of the one that it has; the rest stays.

    Args:
        note:
            The note as it is.
        section:
            Markdown of our section; empty: the note has none.

    Example:
        >>> from optuna_robust._reporting.dashboard._sections import with_section
        >>> note = with_section("What I think of it.", "**3** trials")
        >>> "What I think of it." in note, "**3** trials" in note
        (True, True)
        >>> with_section(note, "")
        'What I think of it.'
    """
    before, begin, rest = note.rpartition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:  # none, or the user deleted a part of it, and has what is left
        before, after = note, ""
    framed = f"{_BEGIN}\n\n{section}\n\n{_END}" if section else ""
    # Blank lines are ours; spaces at the beginning of a line make code of it.
    return "\n\n".join(filter(None, (before.strip("\r\n"), framed, after.strip("\r\n"))))
