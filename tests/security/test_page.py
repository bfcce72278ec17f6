"""Whoever may see the page: they stall nobody, however much they ask, and see of Airflow what Airflow lets them see."""

import asyncio
import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from airflow.sdk import Connection
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ghost_tracking.core.titles import MOST_WORDS, searchable, words_of
from ghost_tracking.errors import DatabaseUnavailableError
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.page import context, messages, movers, overview, runs, video
from ghost_tracking.page.health import health
from ghost_tracking.page.lanes import SEARCHES, SPANS, BusyError, Lane
from ghost_tracking.page.responses import to_json
from page_client import WELL, token

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx` with", "ignore::DeprecationWarning:(airflow|cadwyn).*")

CLIENTS = 60
TOO_MANY = 429


# Lanes


@contextmanager
def lane(at_once: int, waiting: int = 0) -> Iterator[tuple[Lane, threading.Event, Callable[[], str]]]:
    """A lane, a question that takes until the event is set, and the names of the threads that it was answered in."""
    go_on = threading.Event()

    def find() -> str:
        assert go_on.wait(60)
        return threading.current_thread().name

    try:
        yield Lane("test", at_once, waiting), go_on, find
    finally:
        go_on.set()


def test_a_full_lane_refuses_at_once_and_answers_again_when_it_is_not() -> None:
    async def ask() -> None:
        with lane(at_once=2, waiting=3) as (answers, go_on, find):
            asked = [asyncio.create_task(answers.ask(number, find)) for number in range(5)]
            await asyncio.sleep(0)
            for number in range(5, 100):
                with pytest.raises(BusyError, match="Try again in some seconds"):
                    await answers.ask(number, find)
            go_on.set()
            assert set(await asyncio.gather(*asked)) <= {"ghost-test_0", "ghost-test_1"}
            assert await answers.ask(5, lambda: 7) == 7

    asyncio.run(ask())


def test_who_asks_the_same_gets_the_same_and_who_leaves_takes_it_from_nobody() -> None:
    found: list[int] = []

    async def ask() -> None:
        with lane(at_once=1) as (answers, go_on, find):

            def counted() -> str:
                found.append(1)
                return find()

            first, *others = [asyncio.create_task(answers.ask("x", counted)) for _ in range(CLIENTS)]
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
            go_on.set()
            assert set(await asyncio.gather(*others)) == {"ghost-test_0"}

    asyncio.run(ask())
    assert found == [1]


def test_an_answer_that_fails_fails_for_all_who_waited_and_frees_its_place() -> None:
    def broken() -> None:
        raise ZeroDivisionError

    async def ask() -> None:
        answers = Lane("test", 1)
        for _ in range(3):
            with pytest.raises(ZeroDivisionError):
                await answers.ask("x", broken)
        assert await answers.ask("x", lambda: 7) == 7

    asyncio.run(ask())


# Sixty clients


@pytest.fixture
def quiet(signed_in: Any, connections: Path) -> Any:
    """The page of a deployment with an empty vault."""
    connections.mkdir()
    (connections / "metrics").mkdir()
    return signed_in


def asked_at_once(client: Any, routes: list[str]) -> Counter[int]:
    with ThreadPoolExecutor(len(routes)) as pool:
        answers = list(pool.map(client.get, routes))
    for each in answers:
        if each.status_code == TOO_MANY:
            assert int(each.headers["retry-after"]) >= 1
            assert "some at a time" in each.json()["error"]
    return Counter(each.status_code for each in answers)


@pytest.mark.parametrize(
    ("kind", "lane", "module", "name"),
    [("find?q=word", SEARCHES, video, "find"), ("movers?window=day&x=", SPANS, movers, "movers")],
)
def test_of_sixty_expensive_questions_few_are_answered_at_once(
    quiet: Any, monkeypatch: pytest.MonkeyPatch, kind: str, lane: Lane, module: Any, name: str
) -> None:
    under_way, most, lock = 0, 0, threading.Lock()

    def slowly(*_: Any) -> dict[str, Any]:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.5)
        with lock:
            under_way -= 1
        return {}

    monkeypatch.setattr(module, name, slowly)
    answers = asked_at_once(quiet, [f"data/{kind}{number}" for number in range(CLIENTS)])
    assert set(answers) == {200, TOO_MANY}
    assert most == lane._threads._max_workers < 3
    assert answers[200] < CLIENTS / 2


def test_who_shares_an_answer_gets_all_of_it_also_packed(quiet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Airflow packs what it sends, and writes so into the headers of the very answer that it was given."""
    from starlette.middleware.gzip import GZipMiddleware

    together = threading.Barrier(2)

    def slowly(*_: Any) -> dict[str, Any]:
        time.sleep(0.5)
        return {"text": "a" * 5_000}

    monkeypatch.setattr(video, "find", slowly)
    monkeypatch.setattr(quiet._transport, "app", GZipMiddleware(quiet._transport.app, minimum_size=1024))

    def ask() -> Any:
        together.wait(30)
        return quiet.get("data/find?q=same")

    with ThreadPoolExecutor(2) as pool:
        answers = [asked.result() for asked in [pool.submit(ask) for _ in range(2)]]
    for each in answers:
        assert (each.status_code, each.headers["content-encoding"]) == (200, "gzip")
        assert each.json() == {"text": "a" * 5_000}


def test_airflows_threads_stay_free_while_every_lane_is_full(quiet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A route of Airflow's that runs in its pool of threads answers while the page's questions take for ever."""
    go_on = threading.Event()
    monkeypatch.setattr(video, "find", lambda *_: go_on.wait(60) and {})
    monkeypatch.setattr(video, "videos", lambda *_: go_on.wait(60) and {})
    routes = [*(f"data/find?q={n}" for n in range(CLIENTS)), *(f"data/video?v={n}" for n in range(CLIENTS))]
    with ThreadPoolExecutor(len(routes)) as pool:
        asked = [pool.submit(quiet.get, route) for route in routes]
        try:
            time.sleep(1)
            for _ in range(50):
                assert quiet.get("static/page.js").status_code == 200
            assert not all(each.done() for each in asked)
        finally:
            go_on.set()
        assert {each.result().status_code for each in asked} <= {200, TOO_MANY}


def test_a_statement_that_takes_too_long_is_ended(ghost_postgres: Connection, sql: psycopg.Connection) -> None:
    limit = context.STATEMENT_LIMIT / 100
    with WatchlistHook(connection=ghost_postgres, statement_limit=limit) as watchlist:
        sql.execute("BEGIN")
        sql.execute("LOCK TABLE videos")
        with pytest.raises(DatabaseUnavailableError, match="gave no answer in time: canceling statement"):
            watchlist.page.found_lately(["%a%"], limit=1)
        sql.execute("ROLLBACK")
        assert watchlist.page.found_lately(["%a%"], limit=1) == []


# Words


@given(st.text(max_size=400))
def test_no_query_has_more_than_eight_words_or_short_ones(query: str) -> None:
    words = words_of(query)
    assert len(words) <= MOST_WORDS
    assert all(word.anywhere or len(word.text) > 1 for word in words)
    given_words = searchable(query).split()
    assert {word.text for word in words} <= set(given_words)
    if len(words) == MOST_WORDS:
        shortest = min(len(word.text) for word in words)
        assert all(len(text) <= shortest for text in set(given_words) - {word.text for word in words})


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("a c of", ["of"]),
        ("猫", ["猫"]),
        ("one two three four five six seven eight nine ten eleven", "one three four five seven eight nine eleven"),
    ],
)
def test_the_longest_words_count(query: str, words: Any) -> None:
    told = [word.text for word in words_of(query)]
    assert len(told) == len(words if isinstance(words, list) else words.split())
    assert "eleven" in told or told == words


ROUTES = ["find?q=", "video?v=", "series.csv?v=", "history.parquet?v=", "movers?window=", "coverage?days=", "x/../"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(route=st.sampled_from(ROUTES), value=st.text(max_size=60) | st.integers().map(str))
@example(route="find?q=", value="\0\u1000")
def test_whatever_is_asked_the_answer_is_a_sentence_or_data(quiet: Any, route: str, value: str) -> None:
    from urllib.parse import quote

    found = quiet.get(f"data/{route}{quote(value, safe='')}")
    assert found.status_code in {200, 400, 404}, found.text
    assert "Unexpected error" not in found.text
    if found.headers["content-type"] == "application/json":
        json.loads(found.text)


# Airflow's own


def reading_the_tracker_only() -> Any:
    """Airflow's auth manager, which lets everybody read the runs of the tracker, and those of no other DAG."""
    from airflow.api_fastapi.app import create_auth_manager

    manager = create_auth_manager()
    manager.is_authorized_dag = lambda *, method, details, **_: (method, details.id) == ("GET", "ghost_tracker")
    return manager


@pytest.fixture
def restricted(quiet: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    from ghost_tracking.page import viewer

    quiet.headers["Authorization"] = f"Bearer {token('viewer')}"
    monkeypatch.setattr(viewer, "get_auth_manager", reading_the_tracker_only)
    monkeypatch.setattr(
        runs,
        "dags",
        lambda shown: {
            dag_id: runs.Dag(dag_id, is_known=True, is_paused=True, is_shown=dag_id in shown) for dag_id in runs.DAGS
        },
    )
    return quiet


def test_runs_of_dags_that_somebody_may_not_see_are_not_shown(restricted: Any, connections: Path) -> None:
    overview.overview.cache_clear()
    found = restricted.get("data/overview")
    assert found.status_code == 200, found.text
    assert [dag["dag_id"] for dag in found.json()["dags"]] == ["ghost_tracker"]
    assert str(connections) not in found.text
    assert found.json()["vault"]["root"] is None


def test_an_error_shows_no_place_to_those_who_may_not_see_connections(
    restricted: Any,
    connections: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    known = {"conn_type": "postgres", "host": "db.internal", "port": 1, "login": "ghost", "schema": "secret_name"}
    monkeypatch.setenv("AIRFLOW_CONN_GHOST_POSTGRES", json.dumps(known | {"host": "127.0.0.1"}))
    for route in ("overview", "movers", "coverage", "video?v=abc", "find?q=cat", "series.csv?v=abc"):
        found = restricted.get(f"data/{route}")
        assert (found.status_code, found.json()["error"]) == (503, messages.NOT_FOR_YOU)
    restricted.headers["Authorization"] = f"Bearer {token('admin')}"
    assert "secret_name" in restricted.get("data/overview").json()["error"]


def test_what_one_viewer_may_see_is_remembered_for_no_other(restricted: Any, connections: Path) -> None:
    overview.overview.cache_clear()
    first = restricted.get("data/overview").json()
    restricted.headers["Authorization"] = f"Bearer {token('admin')}"
    second = restricted.get("data/overview").json()
    assert (first["vault"]["root"], second["vault"]["root"]) == (None, str(connections))


def test_the_sentence_says_nothing_of_dags_that_are_not_shown() -> None:
    from dataclasses import replace

    hidden = {dag_id: runs.Dag(dag_id, is_known=True, is_paused=False, is_shown=False) for dag_id in runs.DAGS}
    for standing in (replace(WELL, dags=hidden), replace(WELL, dags=hidden, videos=0, points=0)):
        told = to_json(health(standing))
        assert "runs/" not in told
        assert "paused" not in told
