import os
import signal
import stat

import psutil
import psycopg
import pytest

from local_stack import processes
from local_stack.errors import ComponentDiedError
from local_stack.postgres import Postgres


@pytest.fixture
def server(tmp_path):
    server = Postgres(tmp_path / "data", log=tmp_path / "postgres.log", env=dict(os.environ))
    yield server
    server.stop(grace=5.0)


def count(server):
    with psycopg.connect(server.dsn("ghost")) as connection:
        return connection.execute("SELECT count(*) FROM kept").fetchone()[0]


def fill(server):
    server.ensure_database("ghost")
    with psycopg.connect(server.dsn("ghost")) as connection:
        connection.execute("CREATE TABLE kept AS SELECT generate_series(1, 5)")


def test_it_listens_on_no_network_interface(server):
    server.start()

    family = {process.pid for process in server.component.family()}
    assert not [connection for connection in psutil.net_connections("inet") if connection.pid in family]


def test_nobody_else_can_reach_the_socket(server):
    server.start()

    folder = server.socket_folder.stat()
    assert stat.S_IMODE(folder.st_mode) == 0o700
    assert folder.st_uid == psutil.Process(server.component.pid).uids().real != 0


def test_data_survives_a_stop_and_a_kill(server, tmp_path):
    server.start()
    fill(server)
    server.stop(grace=5.0)
    assert not server.component.running

    server.start()
    assert count(server) == 5
    backends = server.component.family()
    server.component.signal(signal.SIGKILL)
    assert server.component.wait(5)
    processes.end(backends, 3.0)

    server.start()
    assert count(server) == 5


def test_a_database_is_made_once_and_can_be_made_anew(server):
    server.start()

    assert server.ensure_database("ghost")
    assert not server.ensure_database("ghost")
    with psycopg.connect(server.dsn("ghost")) as connection:
        connection.execute("CREATE TABLE half_made ()")
    server.recreate_database("ghost")
    with psycopg.connect(server.dsn("ghost")) as connection:
        assert connection.execute("SELECT to_regclass('half_made')").fetchone() == (None,)


def test_a_data_directory_that_was_left_half_made_is_made_anew(server, tmp_path):
    (tmp_path / "data.new").mkdir()
    (tmp_path / "data.new" / "PG_VERSION").write_text("18")
    (tmp_path / "data").mkdir()

    server.start()

    assert not (tmp_path / "data.new").exists()


def test_a_deep_folder_gets_its_socket_elsewhere(tmp_path):
    deep = tmp_path / ("long-" * 20) / "state"
    deep.mkdir(parents=True)
    server = Postgres(deep / "data", log=deep / "log", env=dict(os.environ))
    try:
        server.start()
        folder = server.socket_folder
        assert folder != server.data
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        server.ensure_database("ghost")
    finally:
        server.stop(grace=5.0)

    assert not folder.exists()


def test_a_server_that_cannot_start_says_why(server, tmp_path):
    server.start()
    server.stop(grace=5.0)
    (tmp_path / "data" / "postgresql.conf").write_text("no_such_setting = 1\n")

    with pytest.raises(ComponentDiedError, match="no_such_setting"):
        server.start()
