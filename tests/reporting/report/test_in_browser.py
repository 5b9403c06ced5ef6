"""The HTML report, looked at in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest

from benchmarks.publishing import filled_study
import optuna_robust as opr
from optuna_robust.report import write_html
from tests import browser
from tests.searches import HOSTILE
from tests.searches import robust_study


pytestmark = pytest.mark.slow

DRAWN = """
return [...document.querySelectorAll(".plot")].filter(
  place => place.querySelectorAll(".trace, .hm").length && place.querySelector(".gtitle")
).map(place => place.id)
"""
PLACES = "return [...document.querySelectorAll('.plot')].map(place => place.id)"


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browser.chromium() as found:
        yield found


def _open(driver: Any, path: Path) -> list[str]:
    """Open a page, and return its figures as soon as all are drawn."""
    driver.get(path.as_uri())
    places: list[str] = driver.execute_script(PLACES)
    browser.wait_for(
        driver,
        DRAWN.replace("return [", f"return {len(places)} == [", 1).replace(
            ").map(place => place.id)", ").length"
        ),
    )
    return places


@pytest.mark.parametrize("width", [700, 1500])
def test_a_report_opens_offline_and_draws_every_figure(
    driver: Any, tmp_path: Path, width: int
) -> None:
    store = opr.InstanceStore()
    study = robust_study(
        f"sqlite:///{tmp_path / 'study.db'}", name=HOSTILE, hostile=HOSTILE, store=store
    )
    write_html(study, tmp_path / "report.html", store=store)
    driver.set_window_size(width, 2600)
    places = _open(driver, tmp_path / "report.html")
    browser.keep_screenshot(driver, f"report-{width}")
    assert len(places) == 10
    text = driver.execute_script("return document.body.innerText")
    assert text.startswith(HOSTILE)
    assert "What the numbers do not say" in text
    # Nothing was asked of anybody, nothing runs out of the page, and no figure out of its place.
    assert not driver.execute_script("return performance.getEntriesByType('resource').length")
    assert driver.execute_script(
        "return document.documentElement.scrollWidth <= document.documentElement.clientWidth"
    )
    assert not browser.errors(driver)


def test_a_report_of_a_thousand_trials_is_drawn(driver: Any, tmp_path: Path) -> None:
    study = filled_study(optuna.storages.InMemoryStorage(), 1000, 6)
    write_html(study, tmp_path / "report.html")
    assert len(_open(driver, tmp_path / "report.html")) == 7
    browser.keep_screenshot(driver, "report-1000-trials")
    assert not browser.errors(driver)


def test_a_script_that_is_not_ours_does_not_run(driver: Any, tmp_path: Path) -> None:
    """The policy holds even if something were not escaped."""
    write_html(robust_study(), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    injected = "<script>document.title = 'injected'</script><img src=x onerror='injected()'>"
    (tmp_path / "report.html").write_text(
        page.replace("<h1>", f"{injected}<h1>"), encoding="utf-8", newline="\n"
    )
    assert _open(driver, tmp_path / "report.html")
    assert driver.title == "energy"
    assert sum("Content Security Policy" in told for told in browser.errors(driver)) >= 2
