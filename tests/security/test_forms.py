"""Whoever may trigger a DAG fills in a form: numbers have bounds, and a day's searches are not his alone."""

import json
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import ParamValidationError
from hypothesis import given
from hypothesis import strategies as st

from ghost_tracking.core.budgets import Bucket
from ghost_tracking.core.sources import parse_sources
from ghost_tracking.errors import BadSourcesError
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.settings import Settings
from hunting import HOUR, NOW, Hunt, hourly, video

ROOT = Path(__file__).parents[2]
HUGE = 1 << 64
BUDGET = 16

Anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=10,
)
NAMES = ["channel", "search", "playlist", "chart", "videos", "pages", "every", "region", "category", "language"]


@pytest.mark.parametrize(
    ("dag_id", "name", "value"),
    [
        ("ghost_tracker", "limit", HUGE),
        ("ghost_tracker", "limit", -HUGE),
        ("ghost_tracker", "limit", 0),
        ("ghost_tracker", "queues", [HUGE]),
        ("ghost_tracker", "videos", [HUGE]),
        ("ghost_janitor", "retention_days", HUGE),
        ("ghost_janitor", "retention_days", 0),
        ("ghost_janitor", "check", HUGE),
        ("ghost_hunter", "sources", [{"search": "x", "pages": HUGE}]),
        ("ghost_hunter", "sources", [{"channel": "@mitocw", "pages": 401}]),
        ("ghost_hunter", "sources", [HUGE]),
        ("ghost_hunter", "list_file", "x" * 100_000),
        ("ghost_hunter", "list_column", "9" * 5_000),
        ("ghost_hunter", "adopt_old_videos", HUGE),
    ],
)
def test_the_form_itself_refuses_what_is_out_of_bounds(
    dag_id: str, name: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "dags")
    dag = getattr(import_module(dag_id), dag_id)()
    with pytest.raises(ParamValidationError):
        dag.params.get_param(name).resolve(value)


@given(
    document=st.lists(st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=10), Anything, max_size=4), max_size=3)
    | Anything
)
def test_whatever_stands_under_sources_is_a_source_or_a_sentence(document: Any) -> None:
    with suppress(BadSourcesError):
        for each in parse_sources(document, "the run's form"):
            assert 1 <= getattr(each, "pages", 1) <= (20 if hasattr(each, "search") else 400)


@pytest.mark.parametrize("pages", [21, 400, 10**30, -1, "1e9", float("inf"), [1]])
@pytest.mark.parametrize("kind", [{"search": "x"}, {"chart": "mostPopular"}])
def test_a_search_or_chart_is_read_for_twenty_pages_at_most(kind: dict[str, str], pages: Any) -> None:
    with pytest.raises(BadSourcesError, match="pages"):
        parse_sources([kind | {"pages": pages}], "the run's form")


def searched(hunt: Hunt) -> int:
    with WatchlistHook(budgets=Settings(quota_search=BUDGET).quota) as watchlist:
        return watchlist.quota.balances()[Bucket.SEARCH].spent


@pytest.mark.parametrize("run_type", ["manual", "backfill"])
def test_however_many_forms_are_sent_half_of_the_days_searches_are_left(
    hunt: Hunt,
    run_type: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hunt.settings(quota_search=BUDGET)
    with WatchlistHook() as watchlist:
        day = watchlist.quota.today()
    holdback = BUDGET / 2 * (day.remaining / day.length)
    greedy = [f"topic{number}" for number in range(4)]
    hunt.tube.searches = {name: hourly(300, f"{number:x}") for number, name in enumerate(greedy)}
    form = {"sources": [{"search": name, "pages": 20} for name in greedy], "window_start": "2020-01-01T00:00:00Z"}
    for _ in range(4):
        hunt.run(NOW, run_type, **form)
    before = searched(hunt)
    assert 0 < before <= BUDGET - holdback
    monkeypatch.setenv("AIRFLOW_VAR_GHOST_SOURCES", json.dumps([{"search": "usual"}]))
    hours = [NOW + number * HOUR for number in range(day.remaining // HOUR + 1)]
    hunt.tube.searches["usual"] = {video(number, "u"): hour - HOUR / 2 for number, hour in enumerate(hours)}
    for hour in hours:
        hunt.turn(hour + timedelta(minutes=10))
        hunt.run(hour)
    assert searched(hunt) - before >= holdback - 1, "what was left to the scheduled runs, they used"
    assert len(hunt.scheduled() & hunt.tube.searches["usual"].keys()) > len(hours) / 2
