"""Database servers of this machine, for the tests and for commands that kill them: on loopback.

They are what Debian's packages ``postgresql`` and ``mariadb-server`` install.
"""

from __future__ import annotations

from abc import ABC
from abc import abstractmethod
from collections.abc import Callable
from collections.abc import Sequence
import os
from pathlib import Path
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError


_START = 60.0  # seconds


class ServerMissingError(RuntimeError):
    """The server's programs are not installed."""


class Server(ABC):
    """A server with its data in a temporary folder, which :meth:`stop` deletes.

    Raises:
        ServerMissingError: If it is not installed.
    """

    name: str
    _user: str | None = None

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port: int = free.getsockname()[1]
        self._folder = Path(tempfile.mkdtemp(prefix="server-"))
        # Two servers that start at once must not share temporary files.
        self._environment = {**os.environ, "TMPDIR": str(self._folder)}
        self._process: subprocess.Popen[bytes] | None = None
        try:
            # Some refuse to run as root.
            if os.getuid() != 0:
                self._user = None
            if self._user is not None:
                os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
            self._create()
            self.start()
        except BaseException:
            self.stop()
            raise

    @property
    @abstractmethod
    def url(self) -> str:
        """URL of the server, as SQLAlchemy takes it."""

    @abstractmethod
    def _create(self) -> None:
        """Create the data."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command that serves the data."""

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
                env=self._environment,
                start_new_session=True,
            )
        engine = sa.create_engine(self.url)
        deadline = time.monotonic() + _START
        while True:
            try:
                engine.connect().close()
                break
            except DBAPIError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise
                time.sleep(0.1)
        engine.dispose()

    def kill(self) -> None:
        """Kill the server as a loss of power would end it; the data stay."""
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        """End the server, and delete its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def new_database(self) -> str:
        """Return the URL of a database that is empty."""
        name = f"robust_{uuid.uuid4().hex}"
        engine = sa.create_engine(self.url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        engine.dispose()
        return sa.make_url(self.url).set(database=name).render_as_string(hide_password=False)

    def _run(self, command: Sequence[str | Path]) -> None:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            user=self._user,
            cwd=self._folder,
            env=self._environment,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout}{done.stderr}")


class PostgreSQL(Server):
    """A PostgreSQL server."""

    name = "postgresql"
    _user = "postgres"

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://postgres@127.0.0.1:{self._port}/postgres"

    def _create(self) -> None:
        self._run(
            [_program("initdb"), "-D", self._folder / "data", "-U", "postgres", "--auth=trust"]
        )

    def _command(self) -> list[str]:
        return [
            *(_program("postgres"), "-D", f"{self._folder}/data", "-p", str(self._port)),
            *("-k", str(self._folder), "-c", "listen_addresses=127.0.0.1"),
        ]


class MariaDB(Server):
    """A MariaDB server, which is also what stands for MySQL."""

    name = "mysql"

    @property
    def url(self) -> str:
        return f"mysql+pymysql://root@127.0.0.1:{self._port}/mysql"

    def _create(self) -> None:
        self._run(
            [
                *(_program("mariadb-install-db"), "--no-defaults"),
                *(f"--datadir={self._folder}/data", "--auth-root-authentication-method=normal"),
                *("--skip-test-db", f"--user={_user_name()}"),
            ]
        )

    def _command(self) -> list[str]:
        return [
            *(_program("mariadbd"), "--no-defaults", f"--datadir={self._folder}/data"),
            *(f"--port={self._port}", "--bind-address=127.0.0.1", f"--user={_user_name()}"),
            *(f"--socket={self._folder}/socket", f"--pid-file={self._folder}/pid"),
            "--character-set-server=utf8mb4",
        ]


SERVERS: dict[str, Callable[[], Server]] = {
    server.name: server for server in (PostgreSQL, MariaDB)
}


def _user_name() -> str:
    return pwd.getpwuid(os.getuid()).pw_name


def _program(name: str) -> str:
    """Return the path of a server's program; Debian has PostgreSQL's outside of PATH."""
    places = [str(each) for each in sorted(Path("/usr/lib/postgresql").glob("*/bin"))][::-1]
    places += [os.environ.get("PATH", ""), "/usr/sbin"]
    found = shutil.which(name, path=os.pathsep.join(places))
    if found is None:
        raise ServerMissingError(
            f"{name} is not installed; Debian has it in postgresql or mariadb-server."
        )
    return found
