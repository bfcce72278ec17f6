"""Whatever a source names is in the vault with its place, once a source and day; what is scheduled came from somewhere.

Whole hunter runs over HTTP: against the simulator, and against listings that a test writes, day after day.
"""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
import pytest

from ghost_tracking.core.let_go import State
from ghost_tracking.core.sources import parse_source
from ghost_tracking.errors import GhostTrackingError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.letting_go import LettingGo
from ghost_tracking.tasks import hunter, janitor, publishing
from ghost_tracking.vault import layout
from hunting import NOW, Hunt, hourly, video
from task_runs import NO_INTERVAL, Deployment
from youtube_simulator import SimulatorServer

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHANNEL = "UC" + "a" * 22
PLAYLIST = "PLE7DDD91010BC51F8"


def discovered(vault: ParquetVaultHook | Path, kind: str | None = None) -> pd.DataFrame:
    """What is published, as an analyst reads it; of one kind of sources."""
    root = vault if isinstance(vault, Path) else Path(str(vault.get_conn().path))
    frame = ParquetVaultHook(root=root).read_discoveries()
    return frame if kind is None else frame[frame["source_kind"] == kind].reset_index(drop=True)


def assert_in_order(frame: pd.DataFrame, ids: list[str]) -> None:
    """These videos, and no others, in these places, fifty a page."""
    assert frame["video_id"].to_list() == ids
    assert frame["rank"].to_list() == list(range(1, len(ids) + 1))
    assert frame["page"].to_list() == [(rank + 49) // 50 for rank in range(1, len(ids) + 1)]


# Every kind of source


def test_every_kind_of_source_writes_what_it_names_in_its_places(
    deployment: Deployment, server: SimulatorServer, sql: psycopg.Connection
) -> None:
    world = server.simulator.world
    channel = max(world.channels(), key=lambda each: world.uploads_count(each, server.simulator.clock.now())).id
    playlist, ours = world.playlists()[0], deployment.alive(2)
    deployment.sources.write_text(
        f"""
        - channel: {channel}
        - search: the
          region: GB
          language: en
          pages: 2
        - playlist: {playlist.id}
          every: true
        - chart: mostPopular
          region: DE
        - chart: mostPopular
          region: DE
          category: 10
          pages: 1
        - videos: [{", ".join(ours)}]
        """,
        encoding="utf-8",
    )
    began_at = server.simulator.clock.now().replace(minute=0, second=0, microsecond=0)
    deployment.hunt({}, "scheduled", (began_at - HOUR, began_at), run_id="scheduled__x")
    now, vault = server.simulator.clock.now(), ParquetVaultHook(root=deployment.vault)

    frame = discovered(vault)
    assert set(frame["run_id"]) == {"scheduled__x"}
    assert frame["named_at"].nunique() <= 2  # one for each task
    assert abs(now - frame["named_at"].max()) < timedelta(minutes=5)

    named = discovered(vault, "channel")
    uploads = [each.id for each in world.uploads(channel, now)]
    assert len(named) >= 50
    assert_in_order(named[named["video_id"].isin(uploads[: len(named)])], uploads[: len(named)])
    assert set(named["source_key"]) == {channel}

    listed = [each.id for each in world.curated(playlist, now)]
    assert_in_order(
        discovered(vault, "playlist"), [each for each in listed if each in set(named_by(vault, "playlist"))]
    )

    charts = discovered(vault, "chart")
    assert charts["category_id"].isna().sum() + (charts["category_id"] == "10").sum() == len(charts)
    best, music = charts[charts["category_id"].isna()], charts[charts["category_id"] == "10"]
    assert_in_order(best, [each.id for each in world.popular("DE", None, now)][: len(best)])
    assert len(best) > 100
    assert_in_order(music, [each.id for each in world.popular("DE", "10", now)][: len(music)])
    assert 0 < len(music) <= 50

    searched = discovered(vault, "search")
    assert searched[["source_key", "region", "language"]].drop_duplicates().to_numpy().tolist() == [["the", "GB", "en"]]
    published = [world.published_at(world.find(each)) for each in searched["video_id"]]
    assert published == sorted(published, reverse=True)
    assert searched["rank"].is_monotonic_increasing

    by_hand = discovered(vault, "videos")
    assert sorted(by_hand["video_id"]) == sorted(ours)
    assert by_hand[["rank", "page"]].isna().all(axis=None)
    key = parse_source({"videos": ours}).key
    assert set(by_hand["source_key"]) == {key.rpartition(":")[2]}

    assert on_schedule(sql, vault) <= set(frame["video_id"])


def named_by(vault: ParquetVaultHook, kind: str) -> set[str]:
    return set(discovered(vault, kind)["video_id"])


def on_schedule(sql: psycopg.Connection, vault: ParquetVaultHook) -> set[str]:
    rows = {video_id for (video_id,) in sql.execute("SELECT video_id FROM watchlist")}
    return rows.union(*(vault.roster.read(name) for (name,) in sql.execute("SELECT chunk FROM roster")))


def test_a_form_a_list_and_an_old_tracker_are_sources_too(deployment: Deployment, sql: psycopg.Connection) -> None:
    vault, ids = ParquetVaultHook(root=deployment.vault), deployment.alive(130)
    deployment.hunt({"videos": ids[:2]}, run_id="manual__form")
    form = discovered(vault)
    assert sorted(form["video_id"]) == sorted(ids[:2])
    assert form[["source_kind", "source_key", "run_id"]].drop_duplicates().to_numpy().tolist() == [
        ["form", "videos", "manual__form"]
    ]
    assert form["rank"].isna().all()

    planned = hunter.plan("manual", NO_INTERVAL, {"list": "\n".join(ids), "list_name": "mine"}, "manual__list")
    assert len(discovered(vault)) == 2  # it waits in the queue
    deployment.set_settings(import_videos_a_run=100)
    for run_id in ("one", "two"):
        hunter.import_lists("scheduled", planned["vault"], run_id)
    publishing.publish(discoveries=True)
    listed = discovered(vault, "list").sort_values("rank")
    assert listed["video_id"].to_list() == ids
    assert listed["rank"].to_list() == list(range(1, 131))
    assert listed["page"].isna().all()
    assert listed["run_id"].to_list() == ["one"] * 100 + ["two"] * 30
    assert set(listed["source_key"]) == {"mine"}

    sql.execute("ALTER TABLE videos ADD COLUMN last_updated_at TIMESTAMP")
    sql.execute("INSERT INTO videos (id, last_updated_at) VALUES ('old_one', now()), (' old_two ', NULL), ('!', NULL)")
    deployment.hunt({"adopt_old_videos": True}, run_id="manual__adopt")
    adopted = discovered(vault, "adoption")
    assert {"old_one", "old_two"} <= set(adopted["video_id"])
    assert "!" not in set(adopted["video_id"])
    assert set(adopted["run_id"]) == {"manual__adopt"}
    assert on_schedule(sql, vault) <= set(discovered(vault)["video_id"])


# Day after day


def test_a_source_names_a_video_once_a_day_and_again_the_next(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(3)}
    hunt.tube.playlists = {PLAYLIST: hourly(2)}
    hunt.sources({"channel": CHANNEL}, {"playlist": PLAYLIST})
    for hours in (0, 1, 2, 3):  # until 23:10
        hunt.run(NOW + hours * HOUR)
    assert len(discovered(hunt.vault)) == 5
    hunt.vault.publish_discoveries()
    assert len(discovered(hunt.vault)) == 5
    hunt.tube.uploads[CHANNEL] = {video(9, "n"): NOW + 4 * HOUR, **hunt.tube.uploads[CHANNEL]}
    hunt.run(NOW + 5 * HOUR)
    hunt.vault.publish_discoveries()
    frame = discovered(hunt.vault)
    assert frame["named_at"].dt.date.value_counts().to_list() == [6, 5]
    first, second = (day for _, day in frame[frame["source_kind"] == "channel"].groupby(frame["named_at"].dt.date))
    assert_in_order(first, [video(0), video(1), video(2)])
    assert_in_order(second, [video(9, "n"), video(0), video(1), video(2)])
    assert first["named_at"].to_list() == [NOW + timedelta(minutes=10)] * 3


def test_ranks_count_over_all_pages(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(120)}
    hunt.tube.searches = {"x": hourly(120, "s")}
    hunt.sources({"channel": CHANNEL}, {"search": "x"})
    hunt.begin({"channel": CHANNEL}, NOW - 110 * HOUR)
    hunt.begin({"search": "x"}, NOW - 110 * HOUR)
    hunt.run(NOW)
    assert_in_order(discovered(hunt.vault, "channel"), list(hunt.tube.uploads[CHANNEL]))
    searched = discovered(hunt.vault, "search")
    assert_in_order(searched, list(hunt.tube.searches["x"])[: len(searched)])
    assert len(searched) > 100


def test_a_page_that_is_asked_for_again_gives_each_video_one_place(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(60)}
    hunt.sources({"channel": CHANNEL})
    hunt.tube.spoiled["playlistItems"] = [
        (200, {"items": [{"contentDetails": {"videoId": video(7)}}], "nextPageToken": "50"})
    ]
    hunt.run(NOW)
    frame = discovered(hunt.vault)
    assert frame["rank"].to_list() == list(range(1, len(frame) + 1))
    assert frame["video_id"].to_list()[:3] == [video(7), video(0), video(1)]


def test_a_backfill_names_what_it_schedules_whoever_read_the_listing(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(24 * 30, per_hour=2)}
    hunt.sources({"channel": CHANNEL})
    day = NOW - 9 * DAY
    hunt.run(day + HOUR, "backfill")
    kept = discovered(hunt.vault)
    assert kept["rank"].to_list() == list(range(1, len(kept) + 1))
    staged = hunt.vault._storage.walk(layout.STAGED_DISCOVERIES)
    hunt.vault._storage.delete([key for key, _ in staged])  # as if the first run had been killed before
    hunt.run(day - 4 * DAY, "backfill")  # goes on with the page that was read last
    hunt.run(day + 2 * HOUR, "backfill")  # reads nothing
    frame = discovered(hunt.vault)
    assert frame["rank"].isna().all()
    assert hunt.calls("playlistItems") < 30
    window = {each for each, moment in hunt.tube.uploads[CHANNEL].items() if day + HOUR <= moment < day + 2 * HOUR}
    assert window <= set(frame["video_id"])


def test_the_past_of_a_channel_is_named_by_the_channel_and_by_its_list(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(24 * 4)}
    hunt.sources({"channel": CHANNEL, "every": True})
    planned = hunter.plan("scheduled", (NOW - HOUR, NOW), {})
    for batch in planned["batches"]:
        hunter.hunt(batch, "scheduled", (NOW - HOUR, NOW), {}, lambda _: None)
    hunter.import_lists("scheduled", planned["vault"])
    assert_in_order(discovered(hunt.vault, "channel"), list(hunt.tube.uploads[CHANNEL]))
    past = discovered(hunt.vault, "list")
    assert set(past["source_key"]) == {f"past-of-{CHANNEL}"}
    assert hunt.scheduled() == set(discovered(hunt.vault)["video_id"])


# What must hold


@pytest.mark.parametrize("form", [{}, {"videos": [video(0), video(1)]}, {"list": f"{video(0)}\n{video(1)}"}])
def test_nothing_is_scheduled_that_came_from_nowhere(hunt: Hunt, form: dict[str, Any]) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(2)}
    hunt.sources({"channel": CHANNEL})
    hunt.begin({"channel": CHANNEL}, NOW - 9 * HOUR)
    staging = Path(str(hunt.vault.get_conn().path)) / layout.STAGED_DISCOVERIES
    staging.parent.mkdir(parents=True, exist_ok=True)
    staging.write_text("in the way of the folder")

    def run() -> None:
        planned = hunter.plan("scheduled", (NOW - HOUR, NOW), form)
        for batch in planned["batches"]:
            hunter.hunt(batch, "scheduled", (NOW - HOUR, NOW), form, lambda _: None)
        hunter.import_lists("scheduled", planned["vault"])

    with pytest.raises((GhostTrackingError, OSError)):
        run()
    assert hunt.scheduled() == set()
    assert hunt.watermark({"channel": CHANNEL}) == NOW - 9 * HOUR
    staging.unlink()
    run()
    assert hunt.scheduled() == set(discovered(hunt.vault)["video_id"]) == {video(0), video(1)}


def test_what_cannot_be_an_id_is_no_discovery(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: {"no id at all!": NOW - HOUR / 2, video(1): NOW - HOUR / 2}}
    hunt.sources({"channel": CHANNEL})
    assert hunt.run(NOW)["refused"] == 1
    frame = discovered(hunt.vault)
    assert (frame["video_id"].to_list(), frame["rank"].to_list()) == ([video(1)], [2])


def test_a_forgotten_video_is_named_by_its_source_and_not_by_us(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(4)}
    hunt.sources({"channel": CHANNEL})
    hunt.run(NOW)
    assert len(discovered(hunt.vault)) == 4
    with WatchlistHook() as watchlist:
        LettingGo(watchlist, hunt.vault).decide(State.FORGOTTEN, [video(1)], confirm=True)
        LettingGo(watchlist, hunt.vault).decide(State.STOPPED, [video(2)], confirm=True)
    assert video(1) not in set(discovered(hunt.vault)["video_id"])
    hunt.run(NOW + 5 * HOUR)
    frame = discovered(hunt.vault)
    assert frame["video_id"].value_counts().to_dict() == {video(0): 2, video(2): 2, video(3): 2}
    assert frame["rank"].to_list() == [1, 3, 4] * 2  # the others keep their places


# Publications


def published(vault: ParquetVaultHook) -> list[str]:
    return sorted(key for key, _ in vault._storage.walk(layout.DISCOVERIES))


def test_the_hunter_publishes_and_the_janitor_takes_what_was_left(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(2)}
    hunt.sources({"channel": CHANNEL})
    hunt.run(NOW)
    publishing.publish()  # the tracker's
    assert published(hunt.vault) == []
    assert publishing.publish(discoveries=True)["discoveries"]["rows_added"] == 2
    day = f"discoveries/date={NOW.date()}/discoveries.parquet"
    assert published(hunt.vault) == [day]
    hunt.run(NOW + 5 * HOUR)
    assert janitor.archive(dry_run=False)["message"].endswith("2 discoveries that hunters had left")
    assert published(hunt.vault) == [day, f"discoveries/date={(NOW + 5 * HOUR).date()}/discoveries.parquet"]
    staged = [key for key, _ in hunt.vault._storage.walk(layout.STAGED_DISCOVERIES)]
    assert staged == []


def test_broken_parts_make_the_run_red_when_all_others_are_published(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(2)}
    hunt.sources({"channel": CHANNEL})
    hunt.run(NOW)
    hunt.vault._storage.put(f"{layout.STAGED_DISCOVERIES}/20260101T000000000000-0123456789ab.part", b"?")
    with pytest.raises(Exception, match="the vault has broken discoveries, set aside"):
        publishing.publish(discoveries=True)
    assert len(discovered(hunt.vault)) == 2
    assert len(published(hunt.vault)) == 1
    assert publishing.publish(discoveries=True)["discoveries"]["problems"] == []
