from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
import os
from pathlib import Path
import socket
import threading
import uuid

import hypothesis
import optuna
import pytest
import sqlalchemy as sa


optuna.logging.set_verbosity(optuna.logging.WARNING)
# The same examples in every run.
hypothesis.settings.register_profile("repeatable", derandomize=True)
hypothesis.settings.load_profile("repeatable")

# What is trained here is too small for more, and tests may share their cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What goes through Optuna's logging."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    yield caplog
    optuna.logging.disable_propagation()
    optuna.logging.set_verbosity(verbosity)


POSTGRESQL_URL = "OPTUNA_ROBUST_POSTGRESQL_URL"


@contextmanager
def postgresql_url() -> Iterator[str]:
    """The URL of a schema of its own on the server that the environment names."""
    server = os.environ.get(POSTGRESQL_URL)
    if server is None:
        pytest.skip(f"{POSTGRESQL_URL} does not name a PostgreSQL database")
    schema = f"robust_{uuid.uuid4().hex}"
    engine = sa.create_engine(server)
    with engine.begin() as connection:
        connection.execute(sa.schema.CreateSchema(schema))
    url = sa.make_url(server).update_query_dict({"options": f"-csearch_path={schema}"})
    yield url.render_as_string(hide_password=False)
    with engine.begin() as connection:
        connection.execute(sa.schema.DropSchema(schema, cascade=True))
    engine.dispose()


@pytest.fixture(
    params=[
        "memory",
        "sqlite",
        "journal",
        "grpc",
        pytest.param("postgresql", marks=pytest.mark.slow),
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
        with postgresql_url() as url:
            yield optuna.storages.RDBStorage(url)


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
