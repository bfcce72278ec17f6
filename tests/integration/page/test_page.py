"""Airflow's page of Ghost Tracking: who may see it, what it says, and what it says when it cannot."""

import hashlib
import io
import json
import threading
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pyarrow.parquet as pq
import pytest
from airflow.sdk import Connection

from connections import CANARY
from ghost_tracking.core.absence import Absence, AvailabilityEvent
from ghost_tracking.core.coverage import count_first_readings
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.policies import Policy, ReadingPlan
from ghost_tracking.core.schedule import WatchlistEntry, after_reading, entry_of_discovery
from ghost_tracking.core.tiers import Tier, next_slot
from ghost_tracking.core.videos import Reading
from ghost_tracking.core.worth import Known, ReadingRule, Sums
from ghost_tracking.errors import DatabaseUnavailableError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.page import coverage, curves, movers, overview, runs, video
from ghost_tracking.page.context import PageContext, ttl_cached
from ghost_tracking.page.health import Standing, health
from ghost_tracking.page.messages import user_message
from ghost_tracking.postgres.database import Database
from ghost_tracking.services.movers import prepare
from ghost_tracking.services.quota_status import read_quota_status
from ghost_tracking.services.reading_policy import standing_plan
from ghost_tracking.settings import Settings
from page_client import PASSWORD, WELL, forget, healthy, plain, token

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with", "ignore::DeprecationWarning:(airflow|cadwyn).*")

ROOT = Path(__file__).parents[3]
STATIC = ROOT / "plugins" / "ghost_tracking" / "page" / "static"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(autouse=True)
def the_present() -> None:
    """The present is that of each test: the page looks at the clock, and a session lasts many minutes."""
    global NOW
    NOW = datetime.now(UTC).replace(microsecond=0)


# Airflow around the page


ROUTES = [
    *("", "static/page.js", "static/style.css", "static/vendor/uPlot.iife.min.js", "static/nothing.js"),
    *(
        "data/overview",
        "data/newest",
        "data/find?q=cat",
        "data/video?v=a",
        "data/series.csv?v=a",
        "data/history.parquet?v=a",
    ),
    *("data/movers", "data/coverage", "docs", "redoc", "openapi.json", "nowhere", "static/../app.py"),
]


@pytest.mark.parametrize("route", ROUTES)
def test_nobody_sees_anything_without_a_login(page: Any, connections: Path, route: str) -> None:
    assert page.get(route).status_code == 401
    assert page.get(route, headers={"Authorization": "Bearer nonsense"}).status_code == 403


def test_a_login_without_the_right_to_see_plugins_is_not_enough(page: Any) -> None:
    assert page.get("", headers={"Authorization": f"Bearer {token(None)}"}).status_code == 403
    assert page.get("", headers={"Authorization": f"Bearer {token('viewer')}"}).status_code == 200
    page.cookies.set("_token", token("admin"))
    assert page.get("").status_code == 200


def test_every_route_is_among_those_that_were_tried() -> None:
    from ghost_tracking.page.app import router

    paths = {getattr(route, "path", "") for route in router.routes}
    assert paths == {"/", "/static/{path:path}", "/{path:path}"} | {
        f"/{route.partition('?')[0]}" for route in ROUTES if route.startswith("data/")
    }


def test_its_files_are_served_and_no_others(signed_in: Any) -> None:
    for file in [*STATIC.iterdir(), *(STATIC / "vendor").iterdir()]:
        if file.is_file():
            found = signed_in.get(f"static/{file.relative_to(STATIC).as_posix()}")
            assert found.status_code == 200, file
            assert found.content == file.read_bytes()
            assert "default-src 'self'" in found.headers["content-security-policy"]
            again = signed_in.get(
                f"static/{file.relative_to(STATIC).as_posix()}", headers={"If-None-Match": found.headers["etag"]}
            )
            assert again.status_code == 304
    for path in (
        "../app.py",
        "%2e%2e/app.py",
        "vendor/../../app.py",
        "vendor",
        "",
        ".hidden.js",
        "vendor/%2e%2e/page.js",
    ):
        assert signed_in.get(f"static/{path}").status_code == 404, path


def test_nothing_is_fetched_from_elsewhere_and_every_address_is_relative() -> None:
    for file in [*STATIC.glob("*.js"), *STATIC.glob("*.html"), *STATIC.glob("*.css")]:
        text = file.read_text(encoding="utf-8")
        for word in ('src="/', 'href="/', 'fetch("/', "url(", "@import", "//cdn", "innerHTML", "style="):
            assert word not in text, (file.name, word)


def test_what_is_vendored_is_what_the_registry_has() -> None:
    vendored = json.loads((STATIC / "vendor" / "vendor.json").read_text(encoding="utf-8"))
    named = set()
    for package in vendored.values():
        assert package["license"] == "MIT"
        for name, digest in package["sha256"].items():
            named.add(name)
            assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest
    assert named == {file.name for file in (STATIC / "vendor").iterdir()} - {"vendor.json"}


def test_the_wheel_has_the_page() -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["hatch"]["build"]["targets"][
        "wheel"
    ]
    assert wheel == {"packages": ["plugins/ghost_tracking"]}


# What is said when something is missing


def test_without_connections_a_sentence_says_which(signed_in: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    forget()
    monkeypatch.delenv("AIRFLOW_CONN_GHOST_POSTGRES", raising=False)
    found = signed_in.get("data/overview")
    assert found.status_code == 503
    assert "connection 'ghost_postgres' is not defined" in found.json()["error"]


def test_a_database_without_tables_is_no_riddle(
    signed_in: Any, connections: Path, empty_database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_POSTGRES", empty_database.as_json())
    found = signed_in.get("data/overview")
    assert found.status_code == 503
    assert "has no tables of Ghost Tracking yet" in found.json()["error"]


def test_a_vault_that_is_not_there_is_named(signed_in: Any, connections: Path) -> None:
    assert signed_in.get("data/coverage").status_code == 200  # it needs none
    for path in ("overview", "movers", "video?v=abc", "find?q=cat", "series.csv?v=abc"):
        found = signed_in.get(f"data/{path}")
        assert found.status_code == 503
        assert f"The vault's root {connections} (connection 'ghost_vault') is not there" in found.json()["error"]


@pytest.mark.parametrize("route", ["overview", "movers", "coverage", "video?v=abc", "find?q=cat"])
def test_no_error_shows_a_password(
    signed_in: Any, connections: Path, route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "ghost", "password": PASSWORD}
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_POSTGRES", json.dumps(known | {"schema": f"x{PASSWORD}"}))
    found = signed_in.get(f"data/{route}")
    assert found.status_code == 503
    assert "does not lead to a database" in found.json()["error"]
    assert CANARY not in found.text + str(found.headers)
    assert "Traceback" not in found.text


def test_what_nobody_foresaw_is_a_sentence_too(
    signed_in: Any, connections: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> dict[str, Any]:
        raise ZeroDivisionError(PASSWORD)

    connections.mkdir()
    monkeypatch.setattr(runs, "dags", broken)
    found = signed_in.get("data/overview")
    assert found.status_code == 503
    assert found.json()["error"].startswith("Unexpected error. See the log of Airflow's API server.")
    assert CANARY not in found.text
    assert "ZeroDivision" not in found.text


def test_sentences_come_without_secrets() -> None:
    from airflow.sdk.log import mask_secret

    mask_secret(PASSWORD)
    # its beginning is a secret of other tests'
    told = user_message(DatabaseUnavailableError(f"no way in with {PASSWORD}"))
    assert told.startswith("no way in with ***")
    assert CANARY not in told
    assert CANARY not in user_message(OSError(5, PASSWORD))
    assert "lacks the package 'pyarrow'" in user_message(ModuleNotFoundError("No module", name="pyarrow"))


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ("video?v=", "Name one to 6 videos, not 0."),
        ("video?v=a,b,c,d,e,f,g", "Name one to 6 videos, not 7."),
        ("video?v=no%20id", "'no id' cannot be the id of a video."),
        ("movers?window=year", "'year' is none of hour, day, week."),
        ("coverage?days=99", "'99' is none of 1, 2, 7 days."),
    ],
)
def test_bad_questions_are_told_so(signed_in: Any, connections: Path, route: str, words: str) -> None:
    found = signed_in.get(f"data/{route}")
    assert (found.status_code, found.json()) == (400, {"error": words})


# What is there


@pytest.fixture
def context(watchlist: WatchlistHook, vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch) -> PageContext:
    """A vault that is there, an empty schedule, and DAGs that are well."""
    vault.identity(create=True)
    monkeypatch.setattr(runs, "dags", lambda _: {dag_id: healthy(dag_id) for dag_id in runs.DAGS})
    forget()
    return PageContext(watchlist, vault, Settings())


def follow(
    context: PageContext, video_id: str, published: datetime, count: int | Callable[[float], int], **row: Any
) -> None:
    """Readings at every slot until now, a row of the watchlist, and metadata in the vault.

    `count`: views, or views by age in hours.
    """
    moments, slot = [published + timedelta(minutes=20)], published
    while (slot := next_slot(published, slot)[1]) < NOW:
        moments.append(slot + timedelta(minutes=2))
    points = [
        MetricPoint(
            video_id, at, count if isinstance(count, int) else count((at - published) / HOUR), 5, None, published
        )
        for at in moments
        if at < NOW
    ]
    context.vault.stage(points)
    context.vault.publish()
    tier, due = next_slot(published, NOW)
    context.watchlist.add_to_watchlist(WatchlistEntry(video_id, tier, points[-1].timestamp, due, anchor_at=published))
    context.vault.archive_videos(
        [{"video_id": video_id, "published_at": published, "discovered_at": published, "duration_seconds": 100} | row]
    )


def test_the_overview_counts_what_is_there(context: PageContext, sql: psycopg.Connection) -> None:
    follow(context, "young", NOW - 5 * HOUR, lambda hours: int(100 * hours))
    follow(context, "older", NOW - 3 * DAY, lambda hours: int(10 * hours))
    sql.execute("UPDATE watchlist SET next_track_at = now() - INTERVAL '2 hours' WHERE video_id = 'young'")
    found = plain(overview.overview(context, runs.DAGS, True))
    queues = {row["queue"]: row for row in found["queues"]}
    assert (queues["HOURLY"]["videos"], queues["HOURLY"]["due"], queues["HOURLY"]["overdue"]) == (1, 1, 1)
    assert (queues["DAILY"]["videos"], queues["DAILY"]["due"], queues["DAILY"]["readings"]) == (1, 0, 1)
    assert queues["HOURLY"]["readings"] == 24
    assert found["health"]["level"] == "well"
    assert (found["quota"]["skipped"], found["quota"]["is_short"]) == (0, False)
    assert (found["policy"]["name"], found["policy"]["why"]) == ("tiers", None)
    assert [each["tier"] for each in found["policy"]["tiers"]] == ["HOURLY", "DAILY", "WEEKLY"]
    assert (found["policy"]["liveliness"], found["policy"]["curve"]) == ([], None)
    assert sum(found["hours"]["points"]) == found["vault"]["points"] == len(context.vault.read_metrics())
    assert found["vault"]["bytes_a_point"] > 0
    assert found["disk_usage"]["everything"] > found["disk_usage"]["watchlist"] > 0
    assert found["quota"]["buckets"]["statistics"] == {
        "budget": 10_000,
        "spent": 0,
        "left": 10_000,
        "set_aside": found["quota"]["buckets"]["statistics"]["set_aside"],
        "is_exhausted": False,
    }
    assert found["dags"][0]["runs"][0]["message"] == "Tracked 3."
    json.dumps(found, allow_nan=False)


def test_points_an_hour_are_those_of_the_vault_whatever_their_layer(context: PageContext) -> None:
    follow(context, "young", NOW - 5 * DAY, lambda hours: int(100 * hours))
    before = plain(overview.points_by_hour(context.vault.stats, NOW, 14))
    context.vault.seal(NOW)
    context.vault.compact(NOW, months=False, keep_hours=False)
    context.vault.append_metrics(
        [{"video_id": "late", "timestamp": (NOW - 3 * DAY).isoformat(), "views": 1}]  # into an hour that was dropped
    )
    after = plain(overview.points_by_hour(context.vault.stats, NOW, 14))
    hour = int((NOW - 3 * DAY).timestamp()) // 3600 * 3600
    place = after["starts"].index(hour)
    assert after["points"][place] == before["points"][place] + 1
    assert sum(after["points"]) == sum(before["points"]) + 1 == context.vault.stats.size().points
    assert context.vault.stats.newest_point(NOW) is not None


def test_a_video_has_its_curve_its_place_and_its_story(context: PageContext) -> None:
    published = NOW - 9 * DAY
    follow(context, "-abc_12345X", published, lambda hours: int(1000 * hours), title="A cat on a night train")
    context.vault.stage_availability([AvailabilityEvent("-abc_12345X", NOW - 3 * DAY, NOW - 2 * DAY)])
    (found,) = plain(video.videos(context, ["-abc_12345X"], NOW))["videos"]
    assert (found["title"], found["place"], found["tier"]) == ("A cat on a night train", "watchlist", "WEEKLY")
    assert found["next_at"] == int((published + 14 * DAY).timestamp())
    assert len(found["curve"]["seconds"]) == 31  # the hunter's, 24 hourly, 6 daily
    assert found["curve"]["gaps"] == []
    assert found["curve"]["falls"] == {"views": [], "likes": [], "comments": []}
    assert found["curve"]["comments"] == [None] * 31
    assert [each["tier"] for each in found["tiers"]] == ["HOURLY", "DAILY", "WEEKLY"]
    assert found["events"][0]["state"] == "gone"
    json.dumps(found, allow_nan=False)


def test_a_video_is_found_long_after_its_row_is_gone(context: PageContext) -> None:
    follow(context, "-abc_12345X", NOW - 9 * DAY, 1, title="Ein Kätzchen im Nachtzug")
    follow(context, "older", NOW - 30 * DAY, 1, title="The cat's other train")
    for query in ("-abc_12345X", "https://youtu.be/-abc_12345X", "https://www.youtube.com/watch?v=-abc_12345X"):
        assert plain(video.find(context, query)) == {"video_id": "-abc_12345X", "hits": []}
    assert [hit["video_id"] for hit in plain(video.find(context, "katzchen NACHTZUG"))["hits"]] == ["-abc_12345X"]
    assert [hit["title"] for hit in plain(video.find(context, "cat"))["hits"]] == ["The cat's other train"]
    assert plain(video.find(context, "older"))["video_id"] == "older"
    assert plain(video.find(context, "no such words")) == {"video_id": None, "hits": []}
    assert plain(video.find(context, "!?")) == {"video_id": None, "hits": []}


def test_a_video_that_was_found_today_is_found_by_its_title(context: PageContext) -> None:
    context.watchlist.ingest_video_metadata({"id": "fresh", "title": "100%_new", "channel_title": "Harbour"})
    assert [hit["video_id"] for hit in plain(video.find(context, "100%"))["hits"]] == ["fresh"]
    assert plain(video.find(context, "100_"))["hits"] == []


def test_the_newest_are_listed_whether_their_titles_are_known_or_not(context: PageContext) -> None:
    assert plain(video.newest(context)) == {"videos": []}
    forget()
    follow(context, "older", NOW - 3 * DAY, 1, title="Three days old")
    follow(context, "young", NOW - 5 * HOUR, 1, title="Five hours old")
    context.watchlist.add_to_watchlist(
        [
            WatchlistEntry("nameless", Tier.HOURLY, None, NOW, anchor_at=NOW - HOUR),
            WatchlistEntry("premiere", Tier.HOURLY, None, NOW, anchor_at=NOW + HOUR, awaits_start=True),
        ]
    )
    found = plain(video.newest(context))["videos"]
    assert [row["video_id"] for row in found] == ["nameless", "young", "older"]
    assert [row["title"] for row in found] == [None, "Five hours old", "Three days old"]
    assert found[0]["published_at"] == int((NOW - HOUR).timestamp())


def test_a_settled_video_is_found_on_the_roster(context: PageContext) -> None:
    from ghost_tracking.services.roster_moves import RosterMoves

    published = NOW - 30 * DAY - 20 * timedelta(minutes=1)
    follow(context, "settled", published, 1)
    RosterMoves(context.watchlist, context.vault, NOW).move_settled()
    (found,) = plain(video.videos(context, ["settled"], NOW))["videos"]
    assert (found["place"], found["tier"], found["state"]) == ("roster", "WEEKLY", None)
    assert timedelta(0) <= datetime.fromtimestamp(found["next_at"], UTC) - (published + 35 * DAY) < HOUR
    assert (found["interval"], found["why"]) == (7 * 86_400, "Every slot of its tier is read.")
    (unknown,) = plain(video.videos(context, ["neverseen"], NOW))["videos"]
    assert (unknown["place"], unknown["curve"]["seconds"], unknown["why"]) == (None, [], None)


def test_a_settled_video_that_stands_still_says_when_it_is_read_next(context: PageContext) -> None:
    from ghost_tracking.services.planning import plan_batches
    from ghost_tracking.services.roster_moves import RosterMoves

    published = NOW - 30 * DAY - 20 * timedelta(minutes=1)
    follow(context, "settled", published, 1)
    follow(context, "young", NOW - 5 * HOUR, lambda hours: int(100 * hours))
    last = NOW - 2 * DAY - 20 * timedelta(minutes=1)
    row = WatchlistEntry("settled", Tier.WEEKLY, last, views=1, gain_per_hour=0.0)
    mover = WatchlistEntry("", Tier.DAILY, last, NOW - HOUR, anchor_at=last, views=9_000, gain_per_hour=500.0)
    context.watchlist.add_to_watchlist(replace(mover, video_id=f"mover_{number}") for number in range(300))
    RosterMoves(context.watchlist, context.vault, NOW).move_settled()
    (chunk,) = context.watchlist.roster.all()
    context.vault.roster.carry(chunk.name, ["settled"], [], {"settled": row})
    thrifty = Settings(policy=Policy.THRIFTY, thrifty_saves=0.95)
    plan_batches(context.watchlist, thrifty, context.vault, now=NOW)
    plan = standing_plan(context.watchlist, thrifty, read_quota_status(context.watchlist, thrifty))
    context = replace(context, settings=thrifty)
    settled, young = plain(video.videos(context, ["settled", "young"], NOW))["videos"]
    assert settled["interval"] == round(plan.rule.own_interval(row.known).total_seconds()) > 7 * 86_400
    assert settled["last_at"] == int(last.timestamp())
    first = int(chunk.next_track_at.timestamp())
    assert (settled["next_at"] - first) % (7 * 86_400) == 0
    assert -600 <= settled["next_at"] - settled["last_at"] - settled["interval"] < 7 * 86_400
    assert settled["why"] == young["why"]
    assert settled["why"].startswith("To save quota: ")
    assert young["interval"] >= 3_600


def test_a_video_that_somebody_has_let_go_says_so(context: PageContext) -> None:
    from ghost_tracking.core.let_go import State
    from ghost_tracking.services.letting_go import LettingGo
    from ghost_tracking.services.roster_moves import RosterMoves

    published, ids = NOW - 30 * DAY, ["aaaaaaaaaa0", "bbbbbbbbbb0", "cccccccccc0"]
    for each in ids:
        follow(context, each, published, 1)
    RosterMoves(context.watchlist, context.vault, NOW).move_settled()
    letting_go = LettingGo(context.watchlist, context.vault, NOW)
    letting_go.decide(State.FORGOTTEN, ids[:1], confirm=True)
    letting_go.decide(State.PAUSED, ids[2:], confirm=True)
    forgotten, there, paused = plain(video.videos(context, ids, NOW))["videos"]
    assert (there["place"], there["state"]) == ("roster", None)
    assert (paused["place"], paused["state"], paused["since"]) == (None, "paused", int(NOW.timestamp()))
    assert (forgotten["place"], forgotten["state"], forgotten["curve"]["seconds"]) == (None, "forgotten", [])
    assert paused["curve"]["seconds"]


def test_series_and_history_are_what_the_vault_has(context: PageContext) -> None:
    follow(context, "one", NOW - 3 * DAY, int)
    follow(context, "two", NOW - 2 * DAY, int)
    wanted = context.vault.read_metrics(video_ids=["one", "two"]).sort_values(["video_id", "timestamp"])
    frame = pd.read_csv(io.StringIO(video.series(context, ["two", "one"])))
    assert list(frame.columns) == ["video_id", "timestamp", "age_seconds", "views", "likes", "comments"]
    assert frame["views"].tolist() == wanted["views"].tolist()
    assert frame["age_seconds"][0] == 20 * 60
    assert frame["comments"].isna().all()
    table = pq.read_table(io.BytesIO(video.history(context, ["one"])))
    assert table["views"].to_pylist() == context.vault.read_history("one")["views"].tolist()


def test_an_answer_of_every_route(signed_in: Any, connections: Path) -> None:
    vault = ParquetVaultHook(root=connections)
    published = NOW - 3 * HOUR
    vault.append_metrics(
        [{"video_id": "abc", "timestamp": published + n * HOUR, "views": n, "published_at": published} for n in (1, 2)]
    )
    for path in ("overview", "newest", "find?q=abc", "video?v=abc", "movers?window=hour", "coverage?days=1"):
        found = signed_in.get(f"data/{path}")
        assert found.status_code == 200, found.text
        assert found.headers["cache-control"] == "no-store"
        assert CANARY not in found.text
    text = signed_in.get("data/series.csv?v=abc")
    assert text.headers["content-disposition"] == 'attachment; filename="ghost-abc.csv"'
    assert text.text.splitlines()[1].startswith("abc,")
    assert signed_in.get("data/history.parquet?v=abc").content[:4] == b"PAR1"


# Curves


def test_slots_are_those_of_the_schedule() -> None:
    published = datetime(2026, 1, 1, 10, 30, tzinfo=UTC)
    slots, at = [], published
    while at < published + 60 * DAY:
        at = next_slot(published, at)[1]
        slots.append(int((at - published).total_seconds()))
    numbers = np.arange(1, len(slots) + 1)
    assert curves.slots_by(np.array(slots)).tolist() == numbers.tolist()
    assert curves.slots_by(np.array(slots) - 1).tolist() == (numbers - 1).tolist()


def drawn(context: PageContext, ages_and_views: list[tuple[timedelta, int | None]]) -> dict[str, Any]:
    published = NOW - 40 * DAY
    context.vault.append_metrics(
        [
            {"video_id": "abc", "timestamp": published + age, "views": views, "published_at": published}
            for age, views in ages_and_views
        ]
    )
    found: dict[str, Any] = plain(video.videos(context, ["abc"], NOW))["videos"][0]["curve"]
    return found


def test_a_missed_slot_is_a_gap_and_a_slower_tier_is_none(context: PageContext) -> None:
    hours = [*range(1, 10), *range(14, 25)]
    days = [2, 3, 4, 5, 7, 14, 21, 35]
    ages = [
        *(hour * HOUR + timedelta(minutes=3) for hour in hours),
        *(day * DAY + timedelta(minutes=3) for day in days),
    ]
    found = drawn(context, [(age, 1) for age in ages])
    assert found["gaps"] == [hours.index(14), len(hours) + days.index(7), len(hours) + days.index(35)]


def test_waits_that_are_all_longer_are_no_gaps(context: PageContext) -> None:
    found = drawn(context, [(hour * HOUR, 1) for hour in range(2, 24, 3)])
    assert found["gaps"] == []


def test_a_wait_that_the_policy_explains_is_no_gap(context: PageContext) -> None:
    published = NOW - 40 * DAY
    hours = [*range(1, 8), 20, *range(21, 25)]
    points = [
        {"video_id": "abc", "timestamp": published + hour * HOUR, "views": 10, "published_at": published}
        for hour in hours
    ]
    context.vault.append_metrics(points)
    table = context.vault.read_table(video_ids=["abc"]).sort_by("timestamp")
    rule = ReadingRule(Sums(500, 2_000.0, 30.0), 30.0)
    assert rule.own_interval(Known(10, 0.0, Tier.HOURLY)) > 9 * HOUR
    assert curves.curve(table, published).gaps == [7]
    assert curves.curve(table, published, ReadingPlan(Policy.TIERS, rule)).gaps == [7]  # without a lack of quota
    for plan in (ReadingPlan(Policy.TIERS, rule, cut=1.0), ReadingPlan(Policy.ADAPTIVE, rule)):
        assert curves.curve(table, published, plan).gaps == []
    hasty = ReadingPlan(Policy.THRIFTY, replace(rule, readings_an_hour=3_000.0))
    assert curves.curve(table, published, hasty).gaps == [7]


def test_falls_are_explained(context: PageContext) -> None:
    counts = [(1, 100), (2, 90), (3, 120), (4, None), (5, 110), (24 * 8, 111), (24 * 10, 112)]
    found = drawn(context, [(hours * HOUR, views) for hours, views in counts])["falls"]["views"]
    assert [(fall["place"], fall["before"], fall["after"]) for fall in found] == [(1, 100, 90), (4, 120, 110)]
    assert found[0]["because"].startswith("It recovered 1.0 h later")
    assert "considers invalid" in found[1]["because"]


def test_the_days_on_which_a_view_changed_are_marked() -> None:
    shorts, all_formats = (day for day, *_ in video.MEANINGS)
    assert (shorts.date().isoformat(), all_formats.date().isoformat()) == ("2025-03-31", "2026-08-24")
    now = datetime(2026, 11, 1, tzinfo=UTC)
    first = datetime(2025, 1, 1, tzinfo=UTC)
    assert len(video._meanings(first, now, 60)) == len(video._meanings(first, now, None)) == 2
    assert [each.at for each in video._meanings(first, now, 600)] == [int(all_formats.timestamp())]
    assert video._meanings(datetime(2026, 9, 1, tzinfo=UTC), now, 60) == []


# Movers


def prepared(context: PageContext, window: str) -> dict[str, Any]:
    """What the page shows of a window once a run of the tracker has prepared it."""
    report = prepare(context.watchlist, context.vault)
    assert report.problems == []
    shown: dict[str, Any] = plain(movers.movers(context, window))
    return shown


def test_before_anything_is_prepared_the_page_says_so(context: PageContext) -> None:
    found = plain(movers.movers(context, "day"))
    assert (found["as_of"], found["is_late"], found["movers"], found["missed"]) == (None, False, [], None)


def test_figures_say_of_which_moment_they_are(context: PageContext) -> None:
    follow(context, "steady", NOW - 6 * DAY, lambda hours: int(1000 * hours))
    found = prepared(context, "day")
    assert NOW.timestamp() - 1 <= found["as_of"] <= found["now"]
    assert (found["is_late"], found["since"], found["missed"]) == (False, None, 0)
    old = context.vault.prepared.movers("day")
    context.vault.prepared.put_movers("day", old.model_copy(update={"as_of": NOW - 3 * HOUR, "since": NOW - 5 * HOUR}))
    forget()
    late = plain(movers.movers(context, "day"))
    assert (late["is_late"], late["since"]) == (True, int((NOW - 5 * HOUR).timestamp()))
    assert late["movers"] == found["movers"]


def test_the_fastest_stand_first_and_are_never_scaled_up(context: PageContext) -> None:
    follow(context, "steady", NOW - 6 * DAY, lambda hours: int(1000 * hours))
    follow(context, "newborn", NOW - 3 * HOUR, lambda hours: int(90_000 * hours))
    follow(context, "still", NOW - 2 * DAY, 7)
    found = prepared(context, "day")
    assert [row["video_id"] for row in found["movers"]] == ["newborn", "steady"]
    newborn, steady = found["movers"]
    assert newborn["gain"] == newborn["last_count"] - newborn["first_count"]
    assert steady["gain"] == pytest.approx(24_000, rel=0.02)
    assert found["seconds"] == 86_400
    assert found["readings"] in {4, 5}  # three of the newborn, or two, and one each of the others


def test_a_weekly_video_counts_for_what_it_gains_in_the_window(context: PageContext) -> None:
    follow(context, "weekly", NOW - 20 * DAY, lambda hours: int(7 * hours))
    (row,) = prepared(context, "week")["movers"]
    assert row["gain"] == pytest.approx(7 * 24 * 7, rel=0.02)
    assert plain(movers.movers(context, "hour"))["movers"] == []


def test_a_mover_is_compared_with_its_channel_at_the_same_age(context: PageContext) -> None:
    for number in range(4):
        follow(
            context,
            f"old{number}",
            NOW - (6 + number) * DAY,
            lambda hours, n=number: int((n + 1) * 10 * hours),
            channel_id="UC1",
            title="t",
        )
    follow(context, "hit", NOW - 2 * DAY, lambda hours: int(500 * hours), channel_id="UC1", title="A hit")
    follow(context, "alone", NOW - 2 * DAY, lambda hours: int(900 * hours), channel_id="UC2")
    rows = {row["video_id"]: row for row in prepared(context, "day")["movers"]}
    assert rows["hit"]["siblings"] == 4
    assert rows["hit"]["times"] == pytest.approx(500 / 25, rel=0.05)
    assert rows["hit"]["times"] == round(rows["hit"]["own"] / rows["hit"]["median"], 2)  # a reader can tell
    assert rows["hit"]["ages"] == [120, 86_520]
    assert rows["hit"]["title"] == "A hit"
    assert rows["alone"]["times"] is None


def test_who_came_back_and_who_vanished(context: PageContext, sql: psycopg.Connection) -> None:
    follow(context, "hot", NOW - 30 * DAY, 5, title="Hot again")
    sql.execute("UPDATE watchlist SET promoted_until = now() + INTERVAL '5 days'")
    context.vault.stage_availability(
        [
            AvailabilityEvent("hot", NOW - 4 * DAY, NOW - 3 * DAY),
            AvailabilityEvent("hot", NOW - 4 * DAY, NOW - 3 * DAY, NOW - 1 * DAY),
            AvailabilityEvent("long", NOW - 60 * DAY, NOW - 59 * DAY),
        ]
    )
    found = prepared(context, "day")
    assert [row["title"] for row in found["promoted"]] == ["Hot again"]
    assert [(row["video_id"], row["state"], row["views"]) for row in found["vanished"]] == [
        ("hot", "returned", 5),
        ("hot", "gone", 5),
    ]
    json.dumps(found, allow_nan=False)


# Coverage


def read_by_claims(context: PageContext, published: datetime, ages: Iterable[timedelta]) -> None:
    """One video, found at the first of these ages and claimed when it has each of the others."""
    first, *later = ages

    def at(age: timedelta) -> Reading:
        return Reading("abc", published + age, 1, None, None, published)

    entry = entry_of_discovery(at(first))
    context.watchlist.coverage.add(count_first_readings([entry]))
    context.watchlist.entries.add(entry)
    for age in later:
        with context.watchlist.entries.claim_videos(["abc"]) as claim:
            claim.reschedule([after_reading(claim.entries[0], at(age))])


def test_every_slot_that_was_served_is_counted_in_its_hour(context: PageContext) -> None:
    published = NOW - 30 * HOUR
    read_by_claims(context, published, [timedelta(minutes=20), *(hour * HOUR for hour in range(1, 25))])
    found = plain(coverage.coverage(context, "2"))
    tiers = {each["tier"]: each for each in found["tiers"]}
    assert sum(tiers["HOURLY"]["served"]) == sum(tiers["HOURLY"]["expected"]) == 24
    assert sum(tiers["DAILY"]["expected"]) == 0
    first = int((published + HOUR).timestamp()) // 3600 * 3600
    assert tiers["HOURLY"]["served"][found["starts"].index(first)] == 1
    assert found["worst"] == []
    assert found["since"] == first  # nothing was promised before
    assert plain(coverage.coverage(context, "1"))["since"] is None


def test_a_hole_is_seen_by_hour_and_tier(context: PageContext) -> None:
    published = NOW - 30 * HOUR
    read_by_claims(context, published, (hour * HOUR for hour in (*range(1, 8), *range(12, 25))))
    found = plain(coverage.coverage(context, "2"))
    hourly = found["tiers"][0]
    missing = [expected - got for expected, got in zip(hourly["expected"], hourly["served"], strict=True)]
    assert sum(missing) == 4
    assert sum(hourly["expected"]) == 24
    assert {row["start"] for row in found["worst"]} == {
        int((published + hour * HOUR).timestamp()) // 3600 * 3600 for hour in (8, 9, 10, 11)
    }


def test_what_is_overdue_is_missing_too(context: PageContext) -> None:
    anchor = NOW - 10 * HOUR - timedelta(minutes=20)
    context.watchlist.add_to_watchlist(
        [
            WatchlistEntry("late", Tier.HOURLY, NOW - 3.5 * HOUR, anchor + 7 * HOUR, anchor_at=anchor),
            WatchlistEntry("fresh", Tier.HOURLY, NOW - HOUR, NOW - timedelta(minutes=14), anchor_at=NOW - 2.2 * HOUR),
            WatchlistEntry("never", Tier.HOURLY, None, NOW - 5 * HOUR),
            WatchlistEntry("gone", Tier.HOURLY, None, NOW - 3 * HOUR, absence=Absence(1, NOW, None)),
        ]
    )
    found = plain(coverage.coverage(context, "1"))
    hourly = found["tiers"][0]
    assert hourly["served"] == [0] * 24
    starts = [int((anchor + age * HOUR).timestamp()) // 3600 * 3600 for age in (7, 8, 9, 10)]
    starts.append(int((NOW - 5 * HOUR).timestamp()) // 3600 * 3600)
    missed = {start: count for start, count in zip(found["starts"], hourly["expected"], strict=True) if count}
    assert missed == Counter(starts)
    assert found["since"] is None


def test_coverage_reads_no_point(context: PageContext, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor anything else of the vault, however old it is."""
    read_by_claims(context, NOW - 30 * HOUR, (hour * HOUR for hour in range(1, 25)))
    asked = []
    run = Database.run

    def counting(self: Database, query: str, **parameters: Any) -> Any:
        asked.append(query)
        return run(self, query, **parameters)

    monkeypatch.setattr(Database, "run", counting)
    without_vault = replace(context, vault=SimpleNamespace(get_conn=lambda: "none"))  # type: ignore[arg-type]
    assert sum(plain(coverage.coverage(without_vault, "7"))["tiers"][0]["served"]) == 24
    assert sorted(asked) == [
        *("coverage_begins", "coverage_hours", "coverage_overdue_chunks", "coverage_overdue_rows", "database_now"),
        *("database_now", "due", "policy_state", "queues", "quota_today"),
    ]


# What Airflow knows of the runs


def test_a_scheduled_run_is_seen_behind_many_slips_and_what_failed_is_named(airflow_tables: None) -> None:
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.dagrun import DagRun
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session
    from sqlalchemy import delete, insert

    def ran(number: int, kind: str) -> dict[str, Any]:
        at = NOW - number * HOUR
        return {"dag_id": "ghost_hunter", "run_id": f"r{number}", "run_type": kind, "run_after": at, "state": "failed"}

    def task(name: str, ended_at: datetime) -> dict[str, Any]:
        of = {"dag_id": "ghost_hunter", "run_id": "r1", "task_id": name, "map_index": 2, "state": "failed"}
        return of | {"try_number": 3, "end_date": ended_at, "pool": "p", "pool_slots": 1}

    with create_session() as session:
        session.execute(insert(DagBundleModel.__table__).values(name="b"))
        most = dict.fromkeys(("max_active_tasks", "max_active_runs", "max_consecutive_failed_dag_runs"), 1)
        known = {"dag_id": "ghost_hunter", "bundle_name": "b", "is_paused": False, "is_stale": False}
        session.execute(insert(DagModel.__table__).values(**known, **most, has_task_concurrency_limits=False))
        kinds = {**dict.fromkeys(range(1, 9), "manual"), 9: "scheduled", 10: "scheduled"}
        session.execute(insert(DagRun.__table__), [ran(number, kind) for number, kind in kinds.items()])
        session.execute(insert(TaskInstance.__table__), [task("publish", NOW), task("hunt", NOW - HOUR)])
    try:
        hunter = runs.dags(runs.DAGS)["ghost_hunter"]
        hidden = runs.dags([])["ghost_hunter"]
    finally:
        with create_session() as session:
            for model in (TaskInstance, DagRun, DagModel, DagBundleModel):
                session.execute(delete(model))
    assert [each.run_id for each in hunter.runs] == ["r1", "r2", "r3", "r4", "r5", "r6", "r9"]
    assert hunter.failed is hunter.runs[-1]
    assert hunter.runs[0].failure == runs.Failure("hunt", 2, 3)
    assert hunter.runs[1].failure is None
    assert (hidden.runs, hidden.is_shown) == ((), False)


# The sentence


def dags(dag_id: str, **changes: Any) -> dict[str, runs.Dag]:
    return dict(WELL.dags) | {dag_id: replace(WELL.dags[dag_id], **changes)}


def run(state: str, at: datetime = NOW, kind: str = "scheduled") -> runs.Run:
    return runs.Run("r2", state, kind, at, at, at)


def test_a_policy_that_uses_all_the_quota_is_no_warning() -> None:
    at = replace(WELL, is_paced=True, spends_all=True, overdue=9_000)
    assert plain(health(at))["level"] == "well"


def test_all_is_well_says_so() -> None:
    found = plain(health(WELL))
    assert (found["level"], found["action"], found["others"]) == ("well", None, [])
    assert found["sentence"].startswith("All is well: 100,000 videos are tracked")
    assert plain(health(replace(WELL, videos=1)))["sentence"].startswith("All is well: 1 video is tracked")


@pytest.mark.parametrize(
    ("at", "level", "words", "action"),
    [
        (replace(WELL, dags=dags("ghost_tracker", is_paused=True)), "broken", "ghost_tracker is paused", "Unpause it."),
        (
            replace(WELL, dags=dags("ghost_hunter", is_known=False)),
            "broken",
            "does not know ghost_hunter",
            "DAGs folder",
        ),
        (
            replace(WELL, dags=dags("ghost_janitor", runs=(run("failed"),))),
            "broken",
            "ghost_janitor failed",
            "red task",
        ),
        (
            replace(WELL, dags=dags("ghost_tracker", runs=(run("success", NOW - HOUR),))),
            "broken",
            "no run since",
            "scheduler",
        ),
        (replace(WELL, videos=0, due=0), "broken", "The watchlist does not grow", "summary"),
        (replace(WELL, points=0), "broken", "Nothing appears in the vault", "same folder"),
        (replace(WELL, misplaced=7), "watch", "Videos are read too often: 7 videos are HOURLY", "Another program"),
        (replace(WELL, overdue=9_000), "watch", "9,000 videos are overdue", "tracker_parallel_tasks"),
        (
            replace(WELL, is_paced=True, is_short=True, skipped=0.6, overdue=9_000),
            "watch",
            "Quota is short: 60% of all slots are left out",
            "more quota",
        ),
        (replace(WELL, overdue=9_000, spends_all=True), "watch", "9,000 videos are overdue", "tracker_parallel_tasks"),
        (replace(WELL, refused=("search",)), "watch", "bucket search is empty", "midnight"),
        (replace(WELL, disk_usage=480_000_000), "watch", "near half a gigabyte", "ghost_janitor"),
        (replace(WELL, disk_usage=600_000_000), "broken", "above half a gigabyte", "ghost_janitor"),
        (replace(WELL, quarantined=2), "watch", "2 broken files", "verify"),
        (replace(WELL, in_sync=False), "watch", "restored from a backup", "Trigger ghost_janitor"),
    ],
)
def test_what_is_not_well_comes_with_what_to_do(at: Standing, level: str, words: str, action: str) -> None:
    found = plain(health(at))
    assert found["level"] == level
    assert words in found["sentence"]
    assert action in found["action"]


@pytest.mark.parametrize(
    ("states", "level"),
    [
        ("manual failed, scheduled success", "well"),
        ("backfill failed, manual failed", "well"),
        ("manual failed, scheduled failed", "broken"),
        ("scheduled running, scheduled failed, scheduled success", "broken"),
        ("manual success, scheduled failed", "well"),  # somebody mended it, and tried
    ],
)
def test_a_slip_in_a_form_is_no_failure_of_tracking(states: str, level: str) -> None:
    told = [each.split() for each in states.split(", ")]
    ended = tuple(run(state, kind=kind) for kind, state in told)
    assert plain(health(replace(WELL, dags=dags("ghost_hunter", runs=ended))))["level"] == level


def test_the_gravest_stands_first() -> None:
    found = plain(health(replace(WELL, quarantined=2, dags=dags("ghost_tracker", is_paused=True))))
    assert found["sentence"].startswith("ghost_tracker is paused")
    assert [each["level"] for each in found["others"]] == ["watch"]


def test_answers_are_kept_for_a_while(context: PageContext) -> None:
    asked: list[str] = []

    @ttl_cached(60, most=2)
    def find(_: PageContext, question: str) -> int:
        asked.append(question)
        if question == "bad":
            raise ZeroDivisionError
        return len(asked)

    assert [find(context, each) for each in ("a", "a", "b")] == [1, 1, 2]
    assert [find(context, each) for each in ("c", "a")] == [3, 4]
    find.cache_clear()
    assert find(context, "a") == 5
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            find(context, "bad")
    assert asked[-2:] == ["bad", "bad"]


def test_who_asks_what_is_being_found_waits_for_it(context: PageContext) -> None:
    asked: list[int] = []
    together = threading.Barrier(8)

    @ttl_cached(60)
    def find(_: PageContext) -> int:
        asked.append(1)
        time.sleep(0.2)
        return len(asked)

    def ask(_: int) -> int:
        together.wait(30)
        return find(context)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(8))) == [1] * 8


def test_what_one_vault_answers_is_kept_for_no_other(context: PageContext, tmp_path: Path) -> None:
    @ttl_cached(60)
    def root(asked: PageContext) -> str:
        return str(asked.vault.get_conn())

    other = replace(context, vault=ParquetVaultHook(root=tmp_path / "other"))
    assert root(context) == root(replace(context)) != root(other)
