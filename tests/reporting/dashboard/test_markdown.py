from __future__ import annotations

import re

import pytest

from optuna_robust._reporting.dashboard._markdown import escaped
from optuna_robust._reporting.dashboard._markdown import markdown_table
from optuna_robust._reporting.summary import Table
from tests.searches import HOSTILE


@pytest.mark.parametrize(
    "text", [HOSTILE, "# title", "<https://a.b>", "&amp;", "~~a~~", "![a](b)", "$x$", "__a__"]
)
def test_no_markup_is_left(text: str) -> None:
    """Whatever could be markup has a backslash before it, and nothing else is changed."""
    found = escaped(text)
    assert re.sub(r"\\(.)", r"\1", found) == text
    assert not re.search(r"(?<!\\)[<>`*_\[\]|#&~$]", re.sub(r"\\\\", "", found))


def test_numbers_stay_readable() -> None:
    assert escaped("q3+iqr: (0.5, -1e-05) = x!") == "q3+iqr: (0.5, -1e-05) = x!"


@pytest.mark.parametrize("text", ["a\nb", "a\r\tb", "a\u202eb", "a\u2028b"])
def test_a_text_is_one_line_of_what_can_be_seen(text: str) -> None:
    assert escaped(text).isprintable()


def test_cells_cannot_break_a_table() -> None:
    table = Table(("trial", "a|b"), (("1", "x|y\nz"), ("2", "\\|")), frozenset({"a|b"}))
    lines = markdown_table(table).splitlines()
    assert len(lines) == 4
    # Bars that end a cell are those without an odd number of backslashes before them.
    assert [len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) for line in lines] == [3, 3, 3, 3]
    assert lines[1] == "| ---: | :--- |"
