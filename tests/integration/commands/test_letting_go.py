"""Videos are paused, stopped, forgotten and resumed from the command line."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from airflow.sdk import Connection

from connections import url
from ghost_tracking.__main__ import main
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook

VIDEOS = ["-l_ptLwA6Sc", "dQw4w9WgXcQ", "x_BjvhMW9TE"]
CHANNEL = "UC" + "c" * 22
START = datetime(2026, 1, 5, 10, tzinfo=UTC)

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def vault(tmp_path: Path) -> ParquetVaultHook:
    vault = ParquetVaultHook(root=tmp_path / "vault")
    vault.append_metrics([{"video_id": each, "timestamp": START, "views": 7} for each in VIDEOS])
    vault.archive_videos([{"video_id": VIDEOS[1], "channel_id": CHANNEL}])
    return vault


@pytest.fixture
def run(
    vault: ParquetVaultHook,
    watchlist: WatchlistHook,
    ghost_postgres: Connection,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> Run:
    watchlist.add_to_watchlist(VIDEOS)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["--vault", str(tmp_path / "vault"), *arguments, "--database", url(ghost_postgres)])
        return code, *capsys.readouterr()

    return run


def test_a_video_is_forgotten_when_that_is_confirmed(
    run: Run, watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    code, out, _ = run("forget", *VIDEOS[:2])
    assert (code, out.splitlines()[0]) == (0, "Dry run: would forget 2 videos. Confirm to carry it out")
    assert "  hours: 2 in 1 of 1 files" in out.splitlines()
    assert watchlist.entries.known(VIDEOS) == set(VIDEOS)
    code, out, _ = run("forget", *VIDEOS[:2], "--confirm")
    assert (code, out.splitlines()[0]) == (0, "Forgotten 2 videos")
    assert "  hours: 0 in 1 files looked at" in out.splitlines()
    assert watchlist.entries.known(VIDEOS) == {VIDEOS[2]}
    assert set(vault.read_metrics()["video_id"]) == {VIDEOS[2]}
    code, out, _ = run("let-go")
    assert (code, out.count("forgotten")) == (0, 2)
    code, _, err = run("resume", VIDEOS[0], "--confirm")
    assert (code, "nothing to resume: 1 is forgotten and stays so" in err) == (1, True)
    assert run("resume", VIDEOS[0], "--confirm", "--also-forgotten")[1] == "Resumed 1 video\n"
    assert watchlist.entries.known(VIDEOS) == {VIDEOS[0], VIDEOS[2]}
    assert run("let-go")[1].count("forgotten") == 1


def test_a_list_and_a_channel_are_paused_and_resumed(run: Run, watchlist: WatchlistHook, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("title,video_id\nOne,x_BjvhMW9TE\n", encoding="utf-16")
    assert run("pause", "--channel", CHANNEL, "--list", str(file), "--confirm")[1] == "Paused 2 videos\n"
    assert watchlist.entries.known(VIDEOS) == {VIDEOS[0]}
    file.write_text("x_BjvhMW9TE\nnobody at all\n")
    code, _, err = run("stop", "--list", str(file), "--confirm")
    assert (code, "1 line names no video, so none is let go: line 2: 'nobody at all'" in err) == (1, True)
    assert run("stop", f"https://youtu.be/{VIDEOS[2]}", "--confirm")[1] == "Stopped 1 video\n"
    assert run("resume", *VIDEOS, "--confirm")[1] == "Resumed 2 videos (1 was not let go)\n"
    assert watchlist.entries.known(VIDEOS) == set(VIDEOS)


def test_what_cannot_be_is_said(run: Run, watchlist: WatchlistHook) -> None:
    for arguments, said in [
        (("forget", "--confirm"), "nothing to forget: no video is named. Nothing was done"),
        (("forget", "--channel", "somebody", "--confirm"), 'write "@somebody" if somebody is a handle'),
        (("pause", "--list", "nowhere.txt", "--confirm"), "nowhere.txt cannot be read: No such file"),
    ]:
        code, _, err = run(*arguments)
        assert (code, said in err) == (1, True), err
    assert watchlist.entries.known(VIDEOS) == set(VIDEOS)


def test_airflows_connections_say_where(
    watchlist: WatchlistHook,
    vault: ParquetVaultHook,
    ghost_postgres: Connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fields = ("conn_type", "host", "login", "password", "schema", "port")
    database = {name: getattr(ghost_postgres, name) for name in fields}
    folder = {"conn_type": "fs", "extra": {"path": vault.get_conn().path}}
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_POSTGRES", json.dumps(database))
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_VAULT", json.dumps(folder))
    watchlist.add_to_watchlist(VIDEOS)
    assert main(["stop", VIDEOS[1], "--confirm"]) == 0
    assert capsys.readouterr().out == "Stopped 1 video\n"
    assert watchlist.entries.known(VIDEOS) == {VIDEOS[0], VIDEOS[2]}
    assert vault.let_go.all().keys() == {VIDEOS[1]}
