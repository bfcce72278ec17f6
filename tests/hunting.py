"""Whole hunter runs at any hour, over a YouTube whose listings a test writes; with the fixture `hunt`."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from airflow.sdk import Connection

from answering import Answering, Said, answering, items, refusal
from ghost_tracking.core.sources import parse_source
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.tasks import hunter
from shifted_clock import IN_POSTGRES, SharedShift, shifted

HOUR = timedelta(hours=1)
NOW = (datetime.now(UTC) - timedelta(hours=20)).replace(hour=20, minute=0, second=0, microsecond=0)
"""The last noon of the Pacific day (winter time). A `hunt` begins some minutes later, at whatever hour tests run."""


def iso(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def video(number: int, kind: str = "v") -> str:
    return f"{kind}{number:0{10 - len(kind)}d}A"


def hourly(hours: int, kind: str = "v", per_hour: int = 1) -> dict[str, datetime]:
    """Videos published up to `NOW`, the newest first."""
    step = HOUR / per_hour
    return {video(number, kind): NOW - number * step - timedelta(minutes=5) for number in range(hours * per_hour)}


@dataclass
class Tube:
    """A YouTube whose listings and searches a test writes; it knows the metadata of everything but `dead` videos.

    `spoiled`: answers in the place of the next ones of an endpoint.
    """

    uploads: dict[str, dict[str, datetime]] = field(default_factory=dict)
    playlists: dict[str, dict[str, datetime]] = field(default_factory=dict)
    searches: dict[str, dict[str, datetime]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    spoiled: dict[str, list[Said]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    server: Answering | None = None

    def answer(self, endpoint: str, ids: Sequence[str]) -> Said:
        if self.spoiled.get(endpoint):
            return self.spoiled[endpoint].pop(0)
        assert self.server is not None
        query = {name: values[0] for name, values in self.server.query.items()}
        if endpoint == "playlistItems":
            return self._playlist(query)
        if endpoint == "search":
            return self._search(query)
        self.asked.update(ids)
        every = {**{each: moment for one in self._all() for each, moment in one.items()}}
        found = [each for each in ids if each not in self.dead]
        body = items(found)[1]
        for item in body["items"]:
            item["snippet"] = {"publishedAt": iso(every.get(item["id"], NOW - 2 * HOUR)), "title": item["id"]}
        return 200, body

    def _all(self) -> Iterator[dict[str, datetime]]:
        yield from (*self.uploads.values(), *self.playlists.values(), *self.searches.values())

    def _playlist(self, query: dict[str, str]) -> Said:
        name = query["playlistId"]
        videos = self.uploads.get("UC" + name[2:]) if name.startswith("UU") else self.playlists.get(name)
        if videos is None:
            return refusal(404, "playlistNotFound")
        return self._page(
            list(videos.items()),
            query,
            lambda each, moment: {"contentDetails": {"videoId": each, "videoPublishedAt": iso(moment)}},
        )

    def _search(self, query: dict[str, str]) -> Said:
        after, before = (datetime.fromisoformat(query[name]) for name in ("publishedAfter", "publishedBefore"))
        here = sorted(self.searches[query["q"]].items(), key=lambda each: each[1], reverse=True)
        return self._page(
            [each for each in here if after <= each[1] < before],
            query,
            lambda each, moment: {"id": {"videoId": each}, "snippet": {"publishedAt": iso(moment)}},
        )

    def _page(self, videos: list[tuple[str, datetime]], query: dict[str, str], item: Any) -> Said:
        start = int(query.get("pageToken", 0))
        body: dict[str, Any] = {"items": [item(*each) for each in videos[start : start + 50]]}
        if start + 50 < len(videos):
            body["nextPageToken"] = str(start + 50)
        return 200, body | {"pageInfo": {"totalResults": len(videos)}}


@dataclass
class Hunt:
    """A deployment whose hunter can be run at any hour; `clock` is the one of its worker and its database."""

    tube: Tube
    server: Answering
    sql: psycopg.Connection
    vault: ParquetVaultHook
    clock: SharedShift
    monkeypatch: pytest.MonkeyPatch

    def turn(self, moment: datetime) -> None:
        """Let it be that time now; nothing else than this process and the database sees it."""
        self.clock.seconds += (moment - datetime.now(UTC)).total_seconds()
        self.sql.execute("UPDATE clock_shift SET seconds = %s", [self.clock.seconds])

    def sources(self, *sources: dict[str, Any]) -> None:
        self.monkeypatch.setenv("AIRFLOW_VAR_GHOST_SOURCES", json.dumps(list(sources)))

    def settings(self, **settings: Any) -> None:
        self.monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", json.dumps(settings))

    def run(self, end: datetime, run_type: str = "scheduled", **form: Any) -> dict[str, Any]:
        """A whole run for the hour before `end`; a scheduled one begins some minutes after it."""
        interval = (end - HOUR, end)
        if run_type == "scheduled":
            self.turn(end + timedelta(minutes=10))
        planned = hunter.plan(run_type, interval, form)
        reports = [hunter.hunt(batch, run_type, interval, form, lambda _: None) for batch in planned["batches"]]
        return hunter.summary(planned["why"], reports)

    def calls(self, endpoint: str) -> int:
        return self.server.count(endpoint)

    def scheduled(self) -> set[str]:
        """Every id on the schedule; each is there once."""
        ids = [video_id for (video_id,) in self.sql.execute("SELECT video_id FROM watchlist")]
        for name, removed in self.sql.execute("SELECT chunk, removed_positions FROM roster"):
            there = enumerate(self.vault.roster.read(name))
            ids += [video_id for place, video_id in there if place not in removed]
        assert len(ids) == len(set(ids))
        return set(ids)

    def watermark(self, source: dict[str, Any]) -> datetime:
        with WatchlistHook() as watchlist:
            key = parse_source(source).key
            return watchlist.watermarks.of([key])[key]

    def begin(self, source: dict[str, Any], at: datetime) -> None:
        """As if the source had been hunted up to there, by a Ghost Tracking that did not remember what it named."""
        with WatchlistHook() as watchlist:
            watchlist.migrate()
            watchlist.watermarks.begin([parse_source(source).key], at)
        self.sql.execute("UPDATE hunter_watermarks SET begun_at = NULL")


@pytest.fixture
def hunt(
    ghost_postgres: Connection, sql: psycopg.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hunt]:
    tube = Tube()
    with answering(tube.answer) as server:
        tube.server = server
        fields = ("conn_type", "host", "login", "password", "schema", "port")
        for name, connection in (("GHOST_POSTGRES", ghost_postgres), ("YOUTUBE_DEFAULT", server.connection)):
            given = {each: getattr(connection, each) for each in fields if getattr(connection, each) is not None}
            monkeypatch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(given))
        folder = tmp_path / "vault"
        monkeypatch.setenv("AIRFLOW_CONN_GHOST_VAULT", json.dumps({"conn_type": "fs", "extra": {"path": str(folder)}}))
        monkeypatch.setenv("AIRFLOW_VAR_GHOST_SETTINGS", "{}")
        sql.execute(IN_POSTGRES)
        clock = SharedShift(tmp_path / "clock")
        with shifted(lambda: clock.seconds):
            hunt = Hunt(tube, server, sql, ParquetVaultHook(root=folder), clock, monkeypatch)
            hunt.turn(NOW + timedelta(minutes=10))
            yield hunt
