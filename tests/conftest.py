from __future__ import annotations

from collections.abc import Iterator
import os
from pathlib import Path
import socket
import threading

import hypothesis
import optuna
import pytest

from benchmarks import servers


optuna.logging.set_verbosity(optuna.logging.WARNING)
# The same examples in every run.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")

# What is trained here is too small for more, and tests may share their cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Run in as many processes as cores, where pytest-xdist is there; ``-n 0`` for one."""
    is_worker = hasattr(config, "workerinput")
    if is_worker or not config.pluginmanager.hasplugin("xdist"):
        return
    if config.option.numprocesses is None:
        config.option.numprocesses = "auto"
        config.option.dist = "loadfile"


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What goes through Optuna's logging."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    yield caplog
    optuna.logging.disable_propagation()
    optuna.logging.set_verbosity(verbosity)


SERVERS = [pytest.param(kind, marks=pytest.mark.slow) for kind in servers.SERVERS]
_running: dict[str, servers.Server] = {}


def new_database(kind: str) -> str:
    """Return the URL of an empty database on a server that this session has started."""
    if kind not in _running:
        try:
            _running[kind] = servers.SERVERS[kind]()
        except servers.ServerMissingError as error:
            pytest.skip(str(error))
    return _running[kind].new_database()


def pytest_sessionfinish() -> None:
    """Stop the servers."""
    for server in _running.values():
        server.stop()
    _running.clear()


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        "journal",
        "grpc",
        *SERVERS,
    ]
)
def storage(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[optuna.storages.BaseStorage]:
    """Every kind of storage that Optuna offers."""
    kind = request.param
    if kind == "memory":
        yield optuna.storages.InMemoryStorage()
    elif kind == "sqlite":
        yield optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    elif kind == "journal":
        backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "study.log"))
        yield optuna.storages.JournalStorage(backend)
    elif kind == "grpc":
        yield from _grpc_storage(tmp_path)
    else:
        yield optuna.storages.RDBStorage(new_database(kind))


def _grpc_storage(tmp_path: Path) -> Iterator[optuna.storages.BaseStorage]:
    pytest.importorskip("grpc")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    backend = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    threading.Thread(
        target=optuna.storages.run_grpc_proxy_server,
        args=(backend,),
        kwargs={"host": "localhost", "port": port},
        daemon=True,
    ).start()
    proxy = optuna.storages.GrpcStorageProxy(host="localhost", port=port)
    proxy.wait_server_ready(timeout=60)
    yield proxy
    proxy.close()
