"""Lists that somebody brings: into the import queue, and from there onto the schedule, run by run."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
from airflow.sdk import Connection
from airflow.sdk.exceptions import AirflowFailException

from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.importing import ListImport
from ghost_tracking.settings import Settings
from ghost_tracking.tasks import hunter, publishing
from ghost_tracking.tasks.body import calling_youtube
from task_runs import NO_INTERVAL, Deployment
from youtube_simulator import Bucket


def run(deployment: Deployment, form: dict[str, Any]) -> dict[str, Any]:
    """A hunter run that brings a list, or whose sources are none."""
    planned = hunter.plan("manual", NO_INTERVAL, form)
    imported = hunter.import_lists("manual", planned["vault"])
    publishing.publish()
    return hunter.summary(planned["why"], [], imported)


def scheduled_ids(sql: psycopg.Connection, vault: ParquetVaultHook) -> list[str]:
    """Every id on the watchlist and on the roster, as often as it is there."""
    rows = [video_id for (video_id,) in sql.execute("SELECT video_id FROM watchlist")]
    chunks = [name for (name,) in sql.execute("SELECT chunk FROM roster")]
    return sorted([*rows, *(video_id for name in chunks for video_id in vault.roster.read(name))])


def test_a_list_of_the_form_is_imported_and_twice_adds_nothing(
    deployment: Deployment,
    sql: psycopg.Connection,
    caplog: pytest.LogCaptureFixture,
) -> None:
    every = deployment.alive(100_000)
    alive = every[:200] + every[-200:]
    lines = [f"https://youtu.be/{video_id}" for video_id in alive] + ["no video at all", alive[0], "AAAAAAAAAAA"]
    with caplog.at_level("WARNING"):
        said = run(deployment, {"list": "\n".join(lines), "list_name": "mine"})["message"]
    assert "line 401: 'no video at all'" in caplog.text
    assert "401 videos, 401 of them new" in said
    assert "1 duplicate, 1 bad line" in said
    assert "401 new, 1 of them missing, to be read again; 0 known; 0 wait" in said
    vault = ParquetVaultHook()
    assert scheduled_ids(sql, vault) == sorted([*alive, "AAAAAAAAAAA"])
    old = sql.execute("SELECT coalesce(sum(videos), 0) FROM roster").fetchone()[0]
    assert 0 < old < 400
    # metadata of the young ones is in SQL, that of the old ones goes to the archive only
    assert sql.execute("SELECT count(*) FROM videos").fetchone() == (400 - old,)
    vault.archive_videos()
    assert len(vault.read_videos(alive)) == 400
    assert set(deployment.points()["video_id"]) == set(alive)

    again = run(deployment, {"list": "\n".join(lines), "list_name": "mine"})["message"]
    assert "0 of them new" in again
    assert "No list is waiting" in again
    another = run(deployment, {"list": "\n".join(lines), "list_name": "another"})["message"]
    assert "0 new; 401 known" in another
    assert scheduled_ids(sql, vault) == sorted([*alive, "AAAAAAAAAAA"])


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """Never in memory, as `make test` has it: no list is taken from anywhere below /dev."""
    with TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def list_file(deployment: Deployment) -> Path:
    """A file where forms may read lists: `lists/list.csv`."""
    file = Path(ParquetVaultHook().get_conn().path) / "lists" / "list.csv"
    file.parent.mkdir(parents=True)
    return file


def test_a_file_goes_in_run_by_run(deployment: Deployment, sql: psycopg.Connection, list_file: Path) -> None:
    alive = deployment.alive(120)
    list_file.write_text("title,video_url\n" + "".join(f'"a, b",https://www.youtube.com/watch?v={v}\n' for v in alive))
    deployment.set_settings(import_videos_a_run=50)
    assert "70 wait for the next runs" in run(deployment, {"list_file": "lists/list.csv"})["message"]
    vault = ParquetVaultHook()
    (status,) = vault.import_queue.lists()
    assert (status.ids, status.imported) == (120, 50)
    assert len(scheduled_ids(sql, vault)) == 50
    for left in (20, 0):
        report = hunter.import_lists("scheduled", vault.identity(create=True))
        assert f"{left} wait" in report["message"]
    assert scheduled_ids(sql, vault) == sorted(alive)
    assert hunter.import_lists("backfill", vault.identity(create=True))["message"].startswith(
        "This run imports no lists"
    )


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_a_file_is_decoded_as_the_command_does(
    list_file: Path,
    encoding: str,
) -> None:
    list_file.write_bytes("video_id,title\r\ndQw4w9WgXcQ,ü\r\n9bZkp7q19f0,日\r\n".encode(encoding))
    planned = hunter.plan("manual", NO_INTERVAL, {"list_file": "lists/list.csv"})
    assert "2 videos, 2 of them new to the queue; 0 duplicates, 0 bad lines" in planned["why"]


def test_what_youtube_did_not_answer_for_waits(deployment: Deployment, sql: psycopg.Connection) -> None:
    alive = deployment.alive(200)
    deployment.set_settings(quota_general=3, quota_hunter_holdback=0, youtube_threads=1)
    assert "50 wait" in run(deployment, {"list": "\n".join(alive)})["message"]
    assert len(scheduled_ids(sql, ParquetVaultHook())) == 150
    assert deployment.server.simulator.quota.used(Bucket.GENERAL, deployment.server.simulator.clock.now()) == 3


def test_a_file_that_cannot_be_read_and_a_list_without_videos_fail_at_once(deployment: Deployment) -> None:
    with pytest.raises(AirflowFailException, match=r"list_file 'lists/nowhere\.csv' cannot be read"):
        hunter.plan("manual", NO_INTERVAL, {"list_file": "lists/nowhere.csv"})
    with pytest.raises(AirflowFailException, match="no video in it"):
        hunter.plan("manual", NO_INTERVAL, {"list": "a b\nc d"})


def test_a_full_database_imports_nothing_and_says_so(ghost_postgres: Connection, tmp_path: Path) -> None:
    vault = ParquetVaultHook(root=str(tmp_path / "vault"))
    vault.import_queue.submit(["dQw4w9WgXcQ"])
    with WatchlistHook(connection=ghost_postgres) as watchlist:
        report = ListImport(watchlist, vault, Settings(import_sql_megabytes=1), calling_youtube).run()
    assert "1 video waits in the import queue; the database occupies" in report["message"]
