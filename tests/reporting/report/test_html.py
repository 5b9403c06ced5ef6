from __future__ import annotations

import json

import pytest

from optuna_robust._reporting.report._html import bullets
from optuna_robust._reporting.report._html import data_script
from optuna_robust._reporting.report._html import paragraph
from optuna_robust._reporting.report._html import table
from optuna_robust._reporting.summary import Table
from tests.reporting.report.pages import Page
from tests.searches import HOSTILE


TEXTS = [HOSTILE, "a & b < c > d", "</p></td></ul>", "'\"", "<!-- <script>", "]]>"]


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_stays_a_text(text: str) -> None:
    content = Table((text,), ((text,),), frozenset({text}))
    for html in (paragraph(text), bullets([text]), table(content)):
        page = Page(html)
        assert " ".join(text.split()) in page.text
        assert {tag for tag, _ in page.tags} <= {"p", "ul", "li", "div", "table", "tr", "th", "td"}


@pytest.mark.parametrize("text", [*TEXTS, "\u2028\u2029", "\ud800", "学習"])
def test_data_in_a_script_stay_data(text: str) -> None:
    html = data_script("data", json.dumps({text: [text]}))
    page = Page(html + "<p>end</p>")
    assert page.json("data") == {text: [text]}
    assert [tag for tag, _ in page.tags] == ["script", "p"]
    assert not page.scripts


@pytest.mark.parametrize("text", ["a\x00b", "a\x1b[31mb", "a\u202eb", "a\ud800b"])
def test_what_cannot_be_printed_is_left_out(text: str) -> None:
    assert paragraph(text).isprintable()
    assert paragraph(text).encode()
