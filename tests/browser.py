"""A real browser for tests: headless Chromium, driven by selenium."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import shutil
from socketserver import ThreadingMixIn
from tempfile import TemporaryDirectory
import threading
from typing import Any
from wsgiref.simple_server import make_server
from wsgiref.simple_server import WSGIRequestHandler
from wsgiref.simple_server import WSGIServer

import pytest


# A folder that keeps what the browser showed.
SCREENSHOTS = "OPTUNA_ROBUST_SCREENSHOTS"
_DRIVER = "/usr/bin/chromedriver"
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1500,2600",
)
_PATIENCE = 60.0


@contextmanager
def chromium() -> Iterator[Any]:
    """Yield a driver of a browser with a profile of its own; skips where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver")
    found = shutil.which("chromium")
    if found is None or not Path(_DRIVER).exists():
        pytest.skip("needs Chromium and its driver (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = found
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        for flag in (*_FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        # Named, so that selenium looks for none, and downloads none.
        service = webdriver.ChromeService(executable_path=_DRIVER)
        driver = webdriver.Chrome(options=options, service=service)
        try:
            driver.set_script_timeout(_PATIENCE)
            yield driver
        finally:
            driver.quit()


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve a WSGI app on a free port of this machine; yields its address."""

    class Quiet(WSGIRequestHandler):
        def log_message(self, *args: Any) -> None:
            """Log nothing."""

    class Threaded(ThreadingMixIn, WSGIServer):
        daemon_threads = True  # a browser opens connections ahead, and leaves them idle

    server = make_server("127.0.0.1", 0, app, server_class=Threaded, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def wait_for(driver: Any, script: str) -> Any:
    """Return what JavaScript returns as soon as that is true."""
    from selenium.webdriver.support.ui import WebDriverWait  # noqa: PLC0415

    return WebDriverWait(driver, _PATIENCE).until(lambda _: driver.execute_script(script), script)


def errors(driver: Any) -> list[str]:
    """Return what the browser's console has told of errors."""
    return [each["message"] for each in driver.get_log("browser") if each["level"] == "SEVERE"]


def keep_screenshot(driver: Any, name: str) -> None:
    """Keep what the browser shows, if somebody wants to see it."""
    folder = os.environ.get(SCREENSHOTS)
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        driver.save_screenshot(str(Path(folder) / f"{name}.png"))
