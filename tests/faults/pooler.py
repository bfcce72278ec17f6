"""PgBouncer in transaction mode, in front of a PostgreSQL of the tests' own; see `pooling`."""

import os
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connections import eventually
from local_stack.postgres import PORT, SUPERUSER, Postgres
from local_stack.processes import Component, tail

# one server connection more would hide what waits for what
SETTINGS = """
[databases]
* = host={server} port={port} user={user}

[pgbouncer]
pool_mode = transaction
max_db_connections = {connections}
default_pool_size = {connections}
max_client_conn = 100
listen_port = {port}
unix_socket_dir = {folder}
unix_socket_mode = 0777
auth_type = any
logfile = {folder}/log
"""


@contextmanager
def pooling(postgres: Postgres, folder: Path, connections: int) -> Iterator[str]:
    """The folder of the socket of a pooler with so many connections to the server; the test is skipped without one."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed: apt-get install pgbouncer, or brew install pgbouncer")
    folder.mkdir()
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        SETTINGS.format(
            server=postgres.socket_folder, port=PORT, user=SUPERUSER, connections=connections, folder=folder
        )
    )
    owner = postgres.data.stat()
    identity = (owner.st_uid, owner.st_gid) if os.geteuid() == 0 else None  # it refuses to run as root, too
    if identity:
        os.chown(folder, *identity)
    log = folder / "output"
    pooler = Component("pgbouncer", [program, str(settings)], log=log, env=os.environ, cwd=Path("/"), identity=identity)
    pooler.start()
    try:
        eventually(lambda: (folder / f".s.PGSQL.{PORT}").exists() or not pooler.running, within=10)
        assert pooler.running, tail(log)
        yield str(folder)
    finally:
        pooler.signal(signal.SIGTERM)
        assert pooler.wait(10)
