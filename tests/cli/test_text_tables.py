from __future__ import annotations

import pytest

from optuna_robust.cli._text_tables import printable
from optuna_robust.cli._text_tables import text_table


def test_columns_line_up() -> None:
    table = text_table(
        ["n", "name", "value"], [["7", "a", "0.5"], ["12", "bcdef", "-"]], left=["name"]
    )
    assert table.splitlines() == [
        " n  name   value",
        "--  -----  -----",
        " 7  a        0.5",
        "12  bcdef      -",
    ]


def test_no_line_ends_in_blanks() -> None:
    table = text_table(["n", "name"], [["1", "long name"], ["2", ""]], left=["name"])
    assert all(line == line.rstrip() for line in table.splitlines())


def test_columns_line_up_with_characters_of_other_widths() -> None:
    # Two columns of a terminal for each of the ideographs, none for the combining accent.
    table = text_table(
        ["name", "n"], [["中文", "1"], ["e\u0301", "2"], ["abcd", "3"]], left=["name"]
    )
    assert table.splitlines()[2:] == ["中文  1", "e\u0301     2", "abcd  3"]


def test_a_table_without_rows_has_a_header() -> None:
    assert text_table(["a", "bc"], []) == "a  bc\n-  --"


def test_rows_must_have_as_many_cells_as_there_are_columns() -> None:
    with pytest.raises(ValueError, match="shorter"):
        text_table(["a", "b"], [["1"]])


@pytest.mark.parametrize(
    "text",
    ["\x1b[31mred", "two\nlines", "\r", "\t", "\u202eright to left", "\x9b1m", "\ud800", "\x00"],
)
def test_cells_cannot_change_the_terminal(text: str) -> None:
    cell = text_table(["a"], [[text]]).splitlines()[2]
    assert len(text_table(["a"], [[text]]).splitlines()) == 3
    assert cell.isprintable()
    assert cell.isascii() or cell.encode()  # nothing that cannot be written
    assert "\\u" in cell


def test_printable_leaves_what_can_be_read() -> None:
    assert printable("lr = 0.1, Größe, 学習率") == "lr = 0.1, Größe, 学習率"
    assert printable("\U000e0001") == "\\U000e0001"
