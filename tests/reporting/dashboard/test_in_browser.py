"""The dashboard, looked at in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
import socket
import subprocess
import sys
import time
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import optuna
from optuna.storages.journal import JournalFileBackend
from optuna_dashboard import wsgi
import pytest

from optuna_robust.dashboard import publish
from tests import browser
from tests.searches import HOSTILE
from tests.searches import robust_study


pytestmark = pytest.mark.slow

FIGURES = ("instance-losses", "level-spread", "selection-path", "trainings", "optimism")


@pytest.fixture(scope="module")
def driver() -> Iterator[Any]:
    with browser.chromium() as found:
        yield found


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a study's page, served by the command optuna-dashboard."""
    storage = f"sqlite:///{tmp_path_factory.mktemp('dashboard') / 'study.db'}"
    publish(robust_study(storage, hostile=HOSTILE))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = Path(sys.executable).with_name("optuna-dashboard")
    process = subprocess.Popen(
        [str(command), storage, "--host", "127.0.0.1", "--port", str(port), "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for_server(address)
        yield f"{address}/dashboard/studies/1"
    finally:
        process.terminate()
        process.wait(timeout=60)


def _wait_for_server(address: str) -> None:
    for _ in range(300):
        try:
            urlopen(f"{address}/api/meta", timeout=10).close()
        except URLError:
            time.sleep(0.2)
        else:
            return
    pytest.fail("optuna-dashboard does not answer")


def _drawn(driver: Any, figure: str) -> int:
    """How many traces of a figure are drawn, as soon as there is one."""
    place = f"document.getElementById('user-defined-plot:robust-{figure}')"
    n: int = browser.wait_for(
        driver, f"return {place} ? {place}.querySelectorAll('.trace').length : 0"
    )
    return n


def test_the_dashboard_draws_every_figure(driver: Any, served: str) -> None:
    driver.get(served)
    for figure in FIGURES:
        assert _drawn(driver, figure) >= 1
        place = f"document.getElementById('user-defined-plot:robust-{figure}')"
        title = driver.execute_script(f"return {place}.querySelector('.gtitle').textContent")
        assert title
        assert not driver.execute_script(f"return {place}.innerHTML.includes('NaN')")
    browser.keep_screenshot(driver, "dashboard")
    assert not browser.errors(driver)


def test_the_dashboard_shows_the_note_and_hostile_text_does_nothing(
    driver: Any, served: str
) -> None:
    driver.get(f"{served}/note")
    browser.wait_for(driver, "return document.body.innerText.includes('Robust search')")
    browser.keep_screenshot(driver, "dashboard-note")
    text = driver.execute_script("return document.body.innerText")
    for told in ("Confirmation", "What to look for in the figures", "again slightly optimistic"):
        assert told in text
    assert f"{HOSTILE}=" in text
    assert "optuna-robust)" not in text  # the marks around our part of the note
    n_tables = driver.execute_script("return document.querySelectorAll('table').length")
    assert n_tables == 3
    assert not driver.execute_script("return document.querySelectorAll('img[src=x]').length")
    assert not browser.errors(driver)


def test_the_dashboard_shows_the_note_of_a_finalist(driver: Any, served: str) -> None:
    driver.get(f"{served}/trials")
    browser.wait_for(driver, "return document.body.innerText.includes('Best Trial')")
    (finalist,) = driver.execute_script(
        "return fetch('/api/studies/1').then(answer => answer.json()).then(found => "
        "found.trials.filter(t => t.note.body.includes('The best of 2')).map(t => t.number))"
    )
    driver.get(f"{served}/trials?numbers={finalist}")
    browser.wait_for(
        driver, "return document.body.innerText.includes('The best of 2 confirmed models')"
    )
    browser.keep_screenshot(driver, "dashboard-trial")
    assert not browser.errors(driver)


def test_the_dashboard_offers_our_numbers(driver: Any, served: str) -> None:
    driver.get(f"{served}/smartSelection")
    for name in ("criterion", "median", "spread", "n_instances", "n_failures"):
        told = f"User Attribute robust:{name}"
        browser.wait_for(driver, f"return document.body.innerText.includes('{told}')")
    browser.keep_screenshot(driver, "dashboard-attributes")
    assert not browser.errors(driver)


@pytest.mark.parametrize("kind", ["journal", "memory"])
def test_other_storages_are_shown_alike(driver: Any, kind: str, tmp_path: Path) -> None:
    storage: optuna.storages.BaseStorage
    if kind == "journal":
        backend = JournalFileBackend(str(tmp_path / "study.log"))
        storage = optuna.storages.JournalStorage(backend)
    else:
        storage = optuna.storages.InMemoryStorage()
    study = robust_study(storage, direction="maximize")
    publish(study)
    with browser.served(wsgi(storage)) as address:
        driver.get(f"{address}/dashboard/studies/{study._study_id}")
        for figure in FIGURES:
            assert _drawn(driver, figure) >= 1
        driver.get(f"{address}/dashboard/studies/{study._study_id}/note")
        browser.wait_for(driver, "return document.body.innerText.includes('Robust search')")
        assert not browser.errors(driver)
        driver.get("about:blank")  # asks the server for nothing more
