from __future__ import annotations

from optuna_robust._reporting.dashboard._sections import with_section


USERS = "# Mine\n\nI think that *this* is it."


def test_a_section_is_replaced_where_it_stands() -> None:
    note = with_section(USERS, "first")
    note = f"{note}\n\nAnd more below."
    replaced = with_section(note, "second")
    assert "first" not in replaced
    assert replaced.index(USERS) < replaced.index("second") < replaced.index("And more below.")
    assert with_section(replaced, "second") == replaced
    assert with_section(replaced, "") == f"{USERS}\n\nAnd more below."


def test_the_users_indentation_stays() -> None:
    """Four spaces make a block of code in Markdown, two at the end a new line."""
    code, after = "    x = 1\n    y = 2  ", "    z = 3"
    note = with_section(with_section(code, "first") + f"\n\n{after}", "second")
    assert note.startswith(f"{code}\n\n[")
    assert note.endswith(f")\n\n{after}")
    assert with_section(note, "") == f"{code}\n\n{after}"


def test_an_empty_note_is_our_section_alone() -> None:
    note = with_section("", "ours")
    assert note.splitlines()[2] == "ours"
    assert with_section(note, "") == ""


def test_what_the_user_left_of_our_section_is_the_users() -> None:
    broken = with_section("", "first").rsplit("[", 1)[0]
    note = with_section(broken, "second")
    assert note.startswith(broken.strip())
    third = with_section(note, "third")
    assert third == note.replace("second", "third")
