"""Adopting a vault, and what was refused, from the command line."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from airflow.sdk import Connection

from ghost_tracking.__main__ import main
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.deployment import ready


@pytest.fixture
def database(ghost_postgres: Connection) -> list[str]:
    """The option that names it."""
    host = quote(str(ghost_postgres.host), safe="")
    return ["--database", f"postgresql://{ghost_postgres.login}@/{ghost_postgres.schema}?host={host}"]


def test_a_vault_is_adopted(
    watchlist: WatchlistHook, database: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours, theirs = ParquetVaultHook(root=tmp_path / "ours"), ParquetVaultHook(root=tmp_path / "theirs")
    mine = ready(watchlist, ours)
    other = theirs.identity(create=True)
    assert main(["--vault", str(tmp_path / "theirs"), "adopt-vault", *database]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Adopted vault {other} at ")
    assert f"in place of {mine}, which was at " in said
    assert ready(watchlist, theirs) == other


def test_what_was_refused_is_listed_tried_again_and_dropped(
    watchlist: WatchlistHook, database: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    watchlist.refused.note("old tracker", {"a [b]": "no id", "https://youtu.be/ccccccccccA": "of old", "x y": "no id"})
    assert main(["refused", "list", *database]) == 0
    said = capsys.readouterr().out
    assert "a [b]" in said
    assert "old tracker" in said
    assert main(["refused", "retry", *database]) == 1
    said = capsys.readouterr()
    assert json.loads(said.out) == {"scheduled": 1, "still_refused": 2}
    assert "'x y' is neither" in said.err
    assert watchlist.entries.known(["ccccccccccA"]) == {"ccccccccccA"}
    assert main(["refused", "drop", "x y", *database]) == 0
    assert json.loads(capsys.readouterr().out) == {"dropped": 1}
    assert [each.item for each in watchlist.refused.newest()] == ["a [b]"]


def test_a_database_without_the_schema_is_named_in_one_line(
    empty_database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    host = quote(str(empty_database.host), safe="")
    url = f"postgresql://{empty_database.login}@/{empty_database.schema}?host={host}"
    assert main(["refused", "list", "--database", url]) == 1
    assert "was not set up by this version of Ghost Tracking" in capsys.readouterr().err
