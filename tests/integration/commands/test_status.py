"""The schedule and its quota from the command line, on a real database."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from airflow.sdk import Connection

from connections import SECRET, url
from ghost_tracking.__main__ import main
from ghost_tracking.core.audits import Audit
from ghost_tracking.core.budgets import Bucket
from ghost_tracking.core.coverage import SlotCounts
from ghost_tracking.core.fairness import CLASSES, Liveliness
from ghost_tracking.core.roster import Chunk
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.hooks.watchlist import WatchlistHook

SCARCE = {"quota_statistics": 10, "quota_general": 4, "quota_hunter_holdback": 2, "quota_manual_holdback": 0}


def rows(out: str) -> dict[str, list[str]]:
    """The cells of all tables, by the first in their line."""
    lines = ([cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if "│" in line)
    found: dict[str, list[str]] = {}
    for cells in lines:
        found.setdefault(cells[0], cells[1:])  # tiers stand in two tables
    return found


@pytest.fixture
def schedule(watchlist: WatchlistHook) -> WatchlistHook:
    """Something in every queue: 3 hourly videos, 2 of them due; 1,000 on the roster, 10 of them gone from there."""
    now = datetime.now(UTC)
    for tier, wait in [
        (Tier.HOURLY, timedelta(hours=-2)),
        (Tier.HOURLY, timedelta(minutes=-5)),
        (Tier.HOURLY, timedelta(minutes=30)),
        (Tier.DAILY, timedelta(hours=5)),
        (Tier.WEEKLY, timedelta(days=5)),
    ]:
        watchlist.add_to_watchlist(WatchlistEntry(f"{tier}_{wait.total_seconds():.0f}", tier, next_track_at=now + wait))
    removed_positions = frozenset(range(10))
    watchlist.roster.insert(Chunk("settled", 5, False, 1_000, now - timedelta(hours=3), removed_positions))
    watchlist.roster.insert(Chunk("lost", 6, True, 200, now + timedelta(days=3)))
    return watchlist


def test_what_is_tracked_is_shown_by_queue(
    schedule: WatchlistHook, ghost_postgres: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    schedule.quota.reserve(Bucket.STATISTICS, 1_234)
    assert main(["status", "--database", url(ghost_postgres)]) == 0
    said = capsys.readouterr()
    assert max(len(line) for line in said.out.splitlines() if line[0] in "┏┃│└") <= 80
    cells = rows(said.out)
    assert cells["HOURLY"] == ["3", "2", "1.0 h", "1.0 h"]
    assert cells["DAILY"] == ["1", "0", "24.0 h", "24.0 h"]
    assert cells["WEEKLY"] == ["1", "0", "7.0 days", "7.0 days"]
    assert cells["ROSTER"] == ["990", "990", "7.0 days", "7.0 days"]
    assert cells["GONE"] == ["200", "0", "28.0 days", "28.0 days"]
    assert cells["statistics"][:3] == ["10,000", "1,234", "8,766"]
    assert cells["statistics"][4] == "no"
    assert cells["search"] == ["100", "0", "100", "0", "no"]
    assert " MB of 500.0 MB (" in said.out
    assert "Backlog: 991 videos are overdue by more than an hour.\n" in said.out
    assert "The quota suffices: " in said.out
    assert "Settings: the defaults, since no Airflow Variable 'ghost_settings'" in said.out
    assert "cret" not in said.out + said.err


def test_scarce_quota_is_said_with_when_it_would_run_out(
    schedule: WatchlistHook,
    ghost_postgres: Connection,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schedule.add_to_watchlist(
        WatchlistEntry(f"more_{number}", Tier.HOURLY, next_track_at=datetime.now(UTC)) for number in range(97)
    )
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", json.dumps(SCARCE))
    # 48 calls a day for a hundred hourly videos, 3 for the rest, of 12
    assert main(["status", "--database", url(ghost_postgres)]) == 0
    said = capsys.readouterr().out
    assert rows(said)["HOURLY"] == ["100", "99", "1.0 h", "4.2 h"]
    assert "The quota does not suffice (51 calls a day are needed, 12 are there): it would run out now if noth" in said
    assert "; 76% of all slots are left out.\n" in said
    assert "Policy tiers: Quota is short: 76% of all slots are left out, evenly until it is known what vid" in said
    assert "Settings: those of the Airflow Variable 'ghost_settings'.\n" in said

    monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", json.dumps(SCARCE | {"quota_statistics": 35}))
    assert main(["status", "--database", url(ghost_postgres), "--json"]) == 0
    said = capsys.readouterr()
    status = json.loads(said.out)
    assert status["skipped"] == pytest.approx(1 - 37 / 51, abs=0.05)
    assert status["fairness"]["policy"] == "tiers"
    tiers = [(each["tier"], each["hours"], each["planned_seconds"]) for each in status["fairness"]["tiers"]]
    assert tiers == [("HOURLY", 24, 3_600), ("DAILY", 168, 86_400), ("WEEKLY", 168, 604_800)]
    assert status["videos"] == {"HOURLY": 100, "DAILY": 1, "WEEKLY": 1, "ROSTER": 990, "GONE": 200}
    assert (status["due_videos"]["HOURLY"], status["backlog"], status["buckets"]["general"]["budget"]) == (99, 991, 4)
    assert 5_000_000 < status["sql_bytes"] < 50_000_000
    assert said.err == "Settings: those of the Airflow Variable 'ghost_settings'.\n"


def test_without_a_url_airflow_is_asked(
    schedule: WatchlistHook,
    ghost_postgres: Connection,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_POSTGRES", ghost_postgres.as_json())
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", "{}")
    assert main(["status"]) == 0
    assert rows(capsys.readouterr().out)["HOURLY"][0] == "3"
    assert "_AIRFLOW_PROCESS_CONTEXT" not in os.environ


def test_an_empty_bucket_and_an_empty_quota(
    schedule: WatchlistHook,
    ghost_postgres: Connection,
    sql: psycopg.Connection,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", json.dumps(SCARCE))
    schedule.quota.reserve(Bucket.GENERAL, 4)
    schedule.quota.reserve(Bucket.STATISTICS, 1)
    sql.execute("UPDATE quota_ledger SET exhausted_at = now() WHERE bucket = 'statistics'")
    assert main(["status", "--database", url(ghost_postgres)]) == 0
    said = capsys.readouterr().out
    assert rows(said)["statistics"] == ["10", "1", "0", "0", "YouTube says so"]
    assert rows(said)["general"][4] == "yes"
    assert "The quota suffices in the long run (" in said
    assert ", but not today: it would run out now if nothing were held back, so what is left is spread until " in said

    monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", '{"quota_statistics": 0, "quota_general": 0}')
    assert main(["status", "--database", url(ghost_postgres)]) == 0
    said = capsys.readouterr().out
    assert rows(said)["HOURLY"][3] == "never"
    assert "if nothing were held back; nothing is read.\n" in said


def test_who_is_read_how_often_and_how_wrong_that_leaves_what_is_known(
    watchlist: WatchlistHook,
    ghost_postgres: Connection,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    watchlist.add_to_watchlist("abc")
    counts = SlotCounts()
    counts.serve(Tier.DAILY, now - timedelta(days=2), 1_000)
    counts.skip(Tier.DAILY, now - timedelta(days=2), 500)
    watchlist.coverage.add(counts)
    classes = [
        Liveliness(number, 123_456, timedelta(days=7), timedelta(days=60), timedelta(days=30)) for number in CLASSES
    ]
    watchlist.policy.keep_liveliness(classes, "thrifty", now)
    watchlist.audits.add(
        Audit(f"v{number}", Queue.DAILY, 100, now - timedelta(days=1), now, 120 + number) for number in range(11)
    )
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", '{"policy": "thrifty"}')
    assert main(["status", "--database", url(ghost_postgres)]) == 0
    said = capsys.readouterr().out
    assert max(len(line) for line in said.splitlines() if line[0] in "┏┃│└") <= 80
    cells = rows(said)
    assert cells["under 1"] == cells["not known"] == ["123,456", "7.0 days", "60.0 days", "30.0 days"]
    assert cells["100 to 1,000"] == cells["1,000 and more"] == cells["under 1"]
    slots = next(line for line in said.splitlines() if "1,500" in line)
    assert [cell.strip() for cell in slots.split("│")[2:-1]] == [
        "168",
        "1,500",
        "1,000",
        "500",
        "0",
        "24.0 h",
        "36.0 h",
    ]
    assert "Policy thrifty: To save quota, 50% of all slots are left out, where least is to be seen.\n" in said
    assert "The newest count of a video is wrong by 22.7 ± 1.8 % on average, 25 ± 2 views, as 11 audits" in said
    assert "The curve" not in said
    assert "The quota suffices: " in said

    monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", '{"policy": "adaptive"}')
    assert main(["status", "--database", url(ghost_postgres)]) == 0
    said = capsys.readouterr().out
    assert "All of the quota is used: 19,000 calls a day, of which " in said
    assert "Policy adaptive: There are no slots: each video has its own interval.\n" in said
    assert "│ as it gains │" in " ".join(said.split())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("postgresql://user:{}@/db?host=%2Fno%2Fwhere", "does not lead to a database (/no/where:5432/db): "),
        ("postgresql://user:{}@127.0.0.1:1/db", "does not lead to a database (127.0.0.1:1/db): "),
        ("postgresql://user:{}@127.0.0.1:1,127.0.0.1:2/db", "does not lead to a database (127.0.0.1,127.0.0.1:"),
        ("postgresql://user:{}@host:5x/db", "is not a URL such as"),
        ("postgresql://user:{}@more@host/db", "is not a URL such as"),
        ("postgresql://user:5432/{}@host/db", "is not a URL such as"),
        ("postgresql://user:{}", "is not a URL such as"),
        ("postgresql://user@host/db?passwort={}", "is not a URL such as"),
        ("user:{}@host/db", "is not a URL such as"),
    ],
)
def test_where_no_database_is_reached_one_line_says_so_without_the_password(
    wrong: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--database", wrong.format(SECRET)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert said in err
    assert "cret" not in err


def test_what_cannot_be_parsed_is_repeated_without_the_password(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["status", f"postgresql://user:{SECRET}@host/db"], [f"postgresql://user:{SECRET}@host/db"]):
        with pytest.raises(SystemExit):
            main(arguments)
        err = capsys.readouterr().err
        assert "postgresql://…" in err
        assert "cret" not in err


def test_a_database_that_is_none_of_ours_is_told_from_an_empty_schedule(
    empty_database: Connection, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--database", url(empty_database)]) == 1
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "was not set up by this version of Ghost Tracking, whose DAGs do so" in err


def test_where_airflow_has_no_database_json_stays_json(ghost_postgres: Connection, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(__file__).parents[3] / "plugins"),
        "AIRFLOW_HOME": str(tmp_path),
    }
    environment["AIRFLOW_CONN_GHOST_POSTGRES"] = ghost_postgres.as_json()
    command = [sys.executable, "-m", "ghost_tracking", "status", "--json"]
    done = subprocess.run(command, capture_output=True, check=True, env=environment)
    assert json.loads(done.stdout)["backlog"] == 0
