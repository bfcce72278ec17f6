"""Whoever has an account on the machine on which `make run` runs, or reads the log of a CI that ran it."""

import os
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from local_stack.layout import StateFolder
from local_stack.postgres import Postgres
from local_stack.processes import Component
from local_stack.run import _introduce
from local_stack.stack import LocalStack
from local_stack.terminal import Terminal


@pytest.fixture
def no_umask() -> Iterator[None]:
    """Whatever is made is everybody's, unless a program says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_postgresql_asks_every_program_for_the_password(short_lived_folder: Path, no_umask: None) -> None:
    folder = short_lived_folder / "private"
    folder.mkdir(mode=0o711)
    state = StateFolder(folder)
    password = state.secret("postgres_password")
    server = Postgres(
        folder / "data", log=folder / "log", env=dict(os.environ), password=password, passfile=state.passfile
    )
    try:
        server.start()
        known = {"host": str(server.socket_folder), "user": "postgres", "dbname": "postgres"}
        for wrong in ({}, {"password": ""}, {"password": "postgres"}):
            with pytest.raises(psycopg.OperationalError, match=r"no password supplied|authentication failed"):
                psycopg.connect(**known, **wrong, passfile="/dev/null")
        with psycopg.connect(server.dsn("postgres")) as session:
            assert (
                session.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")
                .fetchone()[0]
                .startswith("SCRAM-SHA-256$")
            )
        assert password not in server.dsn("postgres")
        assert password not in " ".join(server.component.command)
        assert stat.S_IMODE(state.passfile.stat().st_mode) == 0o600
        assert not list(folder.glob("*.password"))
    finally:
        server.stop(grace=5.0)
    assert password not in (folder / "log").read_text()
    server = Postgres(
        folder / "data", log=folder / "log", env=dict(os.environ), password=password, passfile=state.passfile
    )
    try:
        server.start()  # and asks itself for no other
    finally:
        server.stop(grace=5.0)


def test_logs_and_state_are_their_owners_to_read(tmp_path: Path, no_umask: None) -> None:
    state = StateFolder(tmp_path / "state")
    state.create()
    for folder in (state.logs, state.airflow_home, state.simulator):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder
    program = Component(
        "echo", [sys.executable, "-c", "print('a secret')"], log=state.logs / "echo.log", env={}, cwd=tmp_path
    )
    program.start()
    assert program.wait(30)
    assert program.log.read_text() == "a secret\n"
    assert stat.S_IMODE(program.log.stat().st_mode) == 0o600


def test_what_is_no_terminal_is_told_where_the_password_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a CI's log, which others read."""
    monkeypatch.setattr(LocalStack, "airflow_url", "http://127.0.0.1:1")
    monkeypatch.setattr(LocalStack, "ghost_dsn", "host=/nowhere passfile=/nowhere/pgpass")
    monkeypatch.setattr(LocalStack, "password", "the-password")
    stack = LocalStack(tmp_path / "state")
    _introduce(stack, Terminal())
    said = capsys.readouterr().out
    assert "the-password" not in said
    assert f"password in {stack.state.password_file}" in said
    monkeypatch.setattr(Terminal, "is_interactive", True)
    _introduce(stack, Terminal())
    assert "password the-password" in capsys.readouterr().out
