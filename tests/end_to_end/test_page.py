"""The page in Airflow's navigation, in a real Chromium: accessible, by keyboard, in light and dark, by a shared link.

With SCREENSHOTS=1 in the environment the pictures of the README are rebuilt.
"""

import os
import re
import shutil
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pandas as pd
import pytest

from connections import CANARY, connection_of, eventually
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from local_stack.ports import any_free_port
from local_stack.stack import LocalStack
from youtube_simulator.state import load
from youtube_simulator.world import World

if shutil.which("chromium") is None and shutil.which("google-chrome") is None:
    pytest.skip("no Chromium is here: apt-get install chromium", allow_module_level=True)

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Frame, Page, Request, Route, sync_playwright

from end_to_end import seeded_history

pytestmark = pytest.mark.browser

DAGS = ("ghost_hunter", "ghost_tracker", "ghost_janitor")
SCREENSHOTS = Path(__file__).parents[2] / "docs" / "screenshots"
MOST_BYTES = 200_000
PLUGIN = "/plugin/ghost_tracking/ghost/"
READY = "main[data-ready]"


@pytest.fixture(scope="module")
def stack(short_lived_folder: Path) -> Iterator[LocalStack]:
    """A stack of its own with three weeks behind it, whose DAGs run as they do anywhere."""
    with LocalStack(short_lived_folder / "page", seed=11) as stack:
        stack.wait_for_dags(DAGS)
        _run(stack, "ghost_hunter")  # which makes the tables
        universe = load(stack.state.root / "simulator" / "state.json")
        assert universe is not None
        world = World(
            universe.seed,
            origin=universe.origin_time,
            channels=universe.channels,
            videos_per_hour=universe.videos_per_hour,
            history_days=universe.history_days,
        )
        with WatchlistHook(connection=connection_of(stack.ghost_dsn)) as watchlist:
            seeded_history.write(world, ParquetVaultHook(root=str(stack.vault)), watchlist, seeded_history.present())
        for dag_id in ("ghost_tracker", "ghost_janitor"):
            _run(stack, dag_id)
        yield stack


def _run(stack: LocalStack, dag_id: str) -> None:
    """The run that the schedule owes, through the scheduler; the DAG stays as it is then: not paused."""
    run_id = stack.run_soon(dag_id)
    assert stack.wait_for_run(dag_id, run_id, timeout=240) == "success", stack.explain(dag_id, run_id)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium; playwright's own would have to be downloaded."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def sign_in(browser: Browser, stack: LocalStack) -> Iterator[Callable[..., Page]]:
    """Opens a page of somebody who has signed in; whatever the page complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def sign_in(theme: str = "light", url: str | None = None, height: int = 900) -> Page:
        base = url or stack.airflow_url
        context = browser.new_context(viewport={"width": 1280, "height": height}, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        page.on("request", lambda request: complaints.extend(_elsewhere(request, base)))
        page.goto(f"{base}/auth/login/?next={base}/")
        page.fill("input[name=username]", stack.user)
        page.fill("input[name=password]", stack.password)
        page.click("button[type=submit]")
        page.wait_for_selector("nav, #root nav, a[href*=dags]")
        page.evaluate("theme => localStorage.setItem('theme', theme)", theme)
        complaints.clear()  # Airflow's own, of its sign-in
        return page

    yield sign_in
    for context in contexts:
        context.close()
    assert [said for said in complaints if "/ghost/" in said or "ghost" in said.lower()] == []


def _elsewhere(request: Request, base: str) -> list[str]:
    """A request of the page's frame to another host than Airflow's."""
    host = base.split("/")[2]
    from_us = request.frame is not None and "/ghost/" in request.frame.url
    away = from_us and request.url.startswith("http") and request.url.split("/")[2] != host
    return [f"ghost asked {request.url}"] if away else []


def show(page: Page, query: str = "") -> Frame:
    """Our page inside Airflow's, when all of it is drawn."""
    page.goto("/".join(page.url.split("/")[:3]) + PLUGIN + query)
    return drawn(page)


def drawn(page: Page) -> Frame:
    page.frame_locator("iframe").locator(READY).wait_for()
    frame = next(each for each in page.frames if "/ghost/" in each.url and each != page.main_frame)
    frame.wait_for_load_state()
    page.wait_for_timeout(400)  # charts are drawn once their size is known
    return frame


def some_video(stack: LocalStack) -> str:
    """A video with many views, a fall, and the gap of the outage."""

    def worth(rows: pd.DataFrame) -> tuple[int, int]:
        views = rows["views"].dropna().tolist()
        falls = any(other < one for one, other in pairwise(views))
        hours = rows["timestamp"].diff().dt.total_seconds() / 3600
        gap = bool(((hours > 3) & (hours < 12)).any())
        return 3 * gap + 2 * falls + (len(views) > 20), max(views, default=0)

    points = ParquetVaultHook(root=str(stack.vault)).read_metrics().sort_values("timestamp")
    return max((worth(rows), str(video_id)) for video_id, rows in points.groupby("video_id"))[1]


@pytest.fixture(scope="module")
def video_id(stack: LocalStack) -> str:
    return some_video(stack)


# What is drawn, of answers that are made up: the page's own files in a browser, and no Airflow around them


STATIC = Path(__file__).parents[2] / "plugins" / "ghost_tracking" / "page" / "static"
LONE = "http://page.test/ghost/"
HOURS = [1_790_000_000 // 3600 * 3600 + 3600 * number for number in range(336)]


@pytest.fixture
def lone(browser: Browser) -> Iterator[Callable[..., Page]]:
    """The page with these answers to what it asks, by the path's end: JSON, or a status."""
    contexts: list[BrowserContext] = []

    def lone(query: str, **answers: Any) -> Page:
        context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()

        def answer(route: Route) -> None:
            path = urlsplit(route.request.url).path
            name = path.removeprefix("/ghost/") or "static/index.html"
            told = [value for end, value in answers.items() if path.endswith(f"/{end}")]
            if told and isinstance(told[0], int):
                route.fulfill(status=told[0], body="no")
            elif told:
                route.fulfill(json=told[0])
            elif (STATIC / name.removeprefix("static/")).is_file():
                route.fulfill(path=STATIC / name.removeprefix("static/"))
            else:
                route.fulfill(status=404, body="no")

        page.route("**/*", answer)
        page.goto(LONE + query)
        page.locator(READY).wait_for()
        assert page.evaluate("document.querySelector('main').dataset.ready") == "yes"
        page.wait_for_timeout(400)
        return page

    yield lone
    for context in contexts:
        context.close()


def is_inked(page: Page, chart: int, at: str, value: str) -> bool:
    """Whether something is drawn there: a moment and a value of the chart, as JavaScript that knows `xs` and `ys`."""
    found: bool = page.evaluate(
        f"""() => {{
            const plot = document.querySelectorAll(".canvas")[{chart}].plot;
            const [xs, ys] = plot.data;
            const [x, y] = [plot.valToPos({at}, "x", true), plot.valToPos({value}, "y", true)];
            const {{ left, top, width, height }} = plot.bbox;
            if (x < left || x > left + width || y < top || y > top + height) return false;
            const pixels = plot.ctx.getImageData(Math.round(x) - 1, Math.round(y) - 1, 3, 3).data;
            return [...pixels].filter((_, place) => place % 4 === 3).some((alpha) => alpha > 0);
        }}"""
    )
    return found


def overview_of(**changes: Any) -> dict[str, Any]:
    queue = {"videos": 1, "due": 0, "overdue": 0, "next_at": HOURS[-1], "readings": 24, "calls": 0.5, "interval": 3600}
    tiers = {"HOURLY": "HOURLY", "DAILY": "DAILY", "WEEKLY": "WEEKLY", "ROSTER": "WEEKLY", "GONE": "WEEKLY"}
    day = {"demand": 1, "capacity": 10_000, "due": 0, "left": 10_000, "need": 1, "is_paced": False}
    day |= {"runs_out_at": None, "skipped": 0, "is_short": False}
    layers = dict.fromkeys(("hours", "history", "metadata", "roster", "availability", "import_queue", "staged"), 1000)
    health = {"level": "well", "sentence": "All is well.", "action": None, "path": None, "others": []}
    weight = {"bytes": layers, "total": 7000, "points": 168, "bytes_a_point": 9.5, "newest_point": HOURS[-1]}
    return {
        "now": HOURS[-1] + 600,
        "health": health,
        "queues": [{"queue": name, "tier": tier, **queue} for name, tier in tiers.items()],
        "states": dict.fromkeys(("missing", "gone", "promoted", "awaiting", "misplaced"), 0),
        "quota": day | {"day_starts": HOURS[-8], "day_ends": HOURS[-8] + 86400, "buckets": {}},
        "policy": policy_of(),
        "hours": {"starts": HOURS, "points": [0] * 335 + [168]},
        "disk_usage": {"limit": 500_000_000, "everything": 4_000, "watchlist": 1_000, "videos": 1_000, "roster": 1_000},
        "vault": weight | {"quarantined": 0, "root": "/home/ann/projects/youtube/ghost-tracking/.run/youtube/vault"},
        "gaps": [],
        "dags": [],
    } | changes


def policy_of(**changes: Any) -> dict[str, Any]:
    slots = {"hours": 168, "served": 500, "skipped": 480, "missed": 20, "planned": 3_600, "interval": 7_200}
    error = {"views": 12.3, "views_within": 2.0, "percent": 1.25, "percent_within": 0.31, "audits": 700}
    borders = [(0, 1), (1, 10), (10, 100), (100, 1_000), (1_000, None), (None, None)]
    waits = {"videos": 1_234_567, "planned": 604_800, "interval": 12_000_000, "age": None}
    return {
        "name": "thrifty",
        "text": "A video is read at the slots of its tier and at no other time.",
        "why": "To save quota, 50% of all slots are left out, where least is to be seen.",
        "tiers": [{"tier": tier, **slots} for tier in ("HOURLY", "DAILY", "WEEKLY")],
        "counted_at": HOURS[3],
        "liveliness": [{"least": least, "below": below, **waits} for least, below in borders],
        "last_count": error,
        "curve": error,
    } | changes


def coverage_of(hours: int = 48, **changes: Any) -> dict[str, Any]:
    served = [0] * (hours - 2) + [10, 11]
    tiers = [{"tier": "HOURLY", "expected": served, "served": served, "skipped": [0] * hours}]
    return {
        "now": HOURS[hours],
        "days": "2",
        "starts": HOURS[:hours],
        "tiers": tiers,
        "since": None,
        "worst": [],
    } | changes


def video_of(views: list[int | None], video_id: str = "abc", **changes: Any) -> dict[str, Any]:
    seconds = [HOURS[0] + 3600 * number for number in range(len(views))]
    curve = {"seconds": seconds, "views": views, "likes": views, "comments": views, "gaps": []}
    return {
        "video_id": video_id,
        "title": f"The story of {video_id}, told at some length",
        "channel_title": "Harbour",
        "published_at": HOURS[0] - 600,
        "duration": 100,
        "place": "watchlist",
        "tier": "HOURLY",
        "last_at": seconds[-1],
        "next_at": seconds[-1] + 3600,
        "interval": 7_200,
        "why": "To save quota: slots at which little is to be seen are left out.",
        "state": None,
        "since": None,
        "promoted_until": None,
        "curve": curve | {"falls": {"views": [], "likes": [], "comments": []}},
        "tiers": [],
        "meanings": [],
        "events": [],
    } | changes


def test_the_newest_bar_is_drawn(lone: Callable[..., Page]) -> None:
    page = lone("?page=coverage", coverage=coverage_of())
    middle = "xs.at(-1) + 1200"
    assert is_inked(page, 0, middle, "5")
    assert not is_inked(page, 0, "xs[3] + 1200", "4.3")
    page.locator(".canvas").first.focus()
    for key in ("+", "-", "0"):
        page.keyboard.press(key)
        page.wait_for_timeout(100)
    assert is_inked(page, 0, middle, "5")


def test_what_was_left_out_is_no_hole(lone: Callable[..., Page]) -> None:
    hours = [0] * 46
    tier = {"tier": "HOURLY", "expected": [*hours, 10, 12], "served": [*hours, 4, 5], "skipped": [*hours, 6, 4]}
    page = lone("?page=coverage", coverage=coverage_of(tiers=[tier]))
    assert "10 were left out on purpose" in page.inner_text("h1")
    assert "3 missing in 1 hour" in page.inner_text(".panel")
    colours = page.evaluate(
        """() => {
            const plot = document.querySelector(".canvas").plot;
            const [xs] = plot.data;
            return [2.5, 7, 10.5].map((value) => {
                const place = [plot.valToPos(xs.at(-1) + 1200, "x", true), plot.valToPos(value, "y", true)];
                return [...plot.ctx.getImageData(...place.map(Math.round), 1, 1).data].slice(0, 3).join(" ");
            });
        }"""
    )
    assert colours == ["143 184 230", "213 219 228", "196 36 27"]
    assert "skipped" in page.inner_text(".reading")


def test_the_policy_is_explained_with_who_waits_how_long(lone: Callable[..., Page]) -> None:
    page = lone("", overview=overview_of())
    said = page.inner_text("main")
    assert "Policy of reading: thrifty" in said
    assert "The newest count of a video is wrong by 1.3 ± 0.31 % on average, 12 ± 2.0 views (700 audits)" in said
    assert "100 to 1,000" in said
    assert "not known yet" in said
    page = lone("", overview=overview_of(policy=policy_of(liveliness=[], counted_at=None, last_count=None, curve=None)))
    assert "There are too few of them in the last week." in page.inner_text("main")
    video = {"now": HOURS[9], "videos": [video_of([100, 1183])]}
    assert "Own interval 2 h" in " ".join(lone("?page=video&v=abc", video=video).inner_text("main").split())


@pytest.mark.parametrize("views", [[100, 1183], [100, 1183, 1190, 1300, 1310]])
def test_the_first_gain_is_drawn(lone: Callable[..., Page], views: list[int | None]) -> None:
    page = lone("?page=video&v=abc", video={"now": HOURS[9], "videos": [video_of(views)]})
    assert is_inked(page, 1, "xs[0] + 1000", "1083")


def test_every_line_of_a_log_scale_has_its_number(lone: Callable[..., Page]) -> None:
    for views in ([100, 190, 340], [1, 100_000, 90_000_000]):
        page = lone("?page=video&v=abc&scale=log", video={"now": HOURS[9], "videos": [video_of([*views])]})
        axis = "document.querySelector('.canvas').plot.axes[1]"
        splits, labels = page.evaluate(f"[{axis}._splits, {axis}._values]")
        assert len(splits) >= 2
        assert [each for each in labels if each] == labels
        assert len(labels) == len(splits)


def failed_run(kind: str = "manual") -> dict[str, Any]:
    failure = {"task_id": "plan", "map_index": -1, "try_number": 1}
    run = {"run_id": f"{kind}__1", "state": "failed", "kind": kind, "at": HOURS[-1], "seconds": 2, "message": None}
    return {
        "dag_id": "ghost_hunter",
        "is_known": True,
        "is_paused": False,
        "runs": [run | {"failure": failure}],
    }


def test_a_failed_run_says_why_or_where_it_is_said(lone: Callable[..., Page]) -> None:
    said = "'catz' is no source. Did you mean 'cats'?"
    entry = {"event": "Task failed", "error_detail": [{"exc_type": "AirflowFailException", "exc_value": said}]}
    told = {"logs/1": {"content": [{"event": "begins"}, entry, {"event": "ends"}]}}
    page = lone("", overview=overview_of(dags=[failed_run()]), **told)
    row = page.get_by_role("row").filter(has_text="ghost_hunter")
    assert row.locator("td").last.inner_text() == f"plan: {said}"
    page = lone("", overview=overview_of(dags=[failed_run()]), **{"logs/1": 403})
    row = page.get_by_role("row").filter(has_text="ghost_hunter")
    assert row.locator("td").last.inner_text() == "plan: failed"
    link = row.locator("td").last.get_by_role("link").get_attribute("href")
    assert link == "http://page.test/dags/ghost_hunter/runs/manual__1/tasks/plan"


def test_what_is_shown_is_what_the_titles_say(lone: Callable[..., Page]) -> None:
    page = lone("", overview=overview_of())
    assert page.get_by_role("heading", name="Points an hour, the last 2 days").is_visible()
    assert "168 points since 2026-10-05 13:00" in page.locator("main").inner_text()
    assert "proven" not in page.locator("main").inner_text()
    found = overview_of()
    page = lone("", overview=found | {"vault": found["vault"] | {"proven_since": found["now"] - 3 * 86400}})
    assert page.get_by_text("points, metadata, events and discoveries were proven within the last 3 days").is_visible()
    page = lone("?page=coverage", coverage=coverage_of(since=HOURS[46]))
    since = "2026-09-23 12:00"
    assert page.locator("h1").inner_text() == f"Every slot since {since} UTC was served: 21 readings"
    nothing = [{"tier": "HOURLY", "expected": [0, 0], "served": [0, 0], "skipped": [0, 0]}]
    page = lone("?page=coverage", coverage=coverage_of(since=HOURS[46], tiers=nothing))
    assert page.locator("h1").inner_text() == f"No slot lay since {since} UTC"
    page = lone("?page=coverage", coverage=coverage_of(tiers=nothing))
    assert page.locator("h1").inner_text() == "No slot lay in the last two days"
    page = lone("?page=coverage", coverage=coverage_of())
    assert page.locator("h1").inner_text() == "Every slot of the last two days was served: 21 readings"
    tier = {"tier": "HOURLY", "expected": [0, 2], "served": [0, 1], "skipped": [0, 0]}
    page = lone("?page=coverage", coverage=coverage_of(starts=HOURS[:2], tiers=[tier]))
    assert page.locator("h1").inner_text().endswith("1 of 2 is missing")
    assert "1 missing in 1 hour" in page.locator("section").first.inner_text().splitlines()[1]


def test_the_newest_videos_lead_to_their_pages(lone: Callable[..., Page]) -> None:
    found = [{**video_of([1], f"abc{number}"), "title": None} for number in range(20)]
    page = lone("?page=video", newest={"videos": found})
    assert page.get_by_role("heading", name="The newest 20 videos on the watchlist").is_visible()
    links = page.locator("main .hits a").evaluate_all("links => links.map(link => link.getAttribute('href'))")
    assert links == [f"?page=video&v=abc{number}" for number in range(20)]
    assert lone("?page=video", newest={"videos": []}).get_by_text("No video is on the watchlist yet").is_visible()


def test_what_sources_could_not_give_is_named(lone: Callable[..., Page]) -> None:
    assert lone("", overview=overview_of()).get_by_text("Incomplete sources").count() == 0
    gap = {"source": "search cats", "start": HOURS[0], "end": HOURS[2], "reason": "searches do not go back that far"}
    page = lone("", overview=overview_of() | {"gaps": [gap]})
    assert page.get_by_role("heading", name="Incomplete sources").is_visible()
    row = page.get_by_role("row").filter(has_text="search cats").inner_text()
    assert "searches do not go back that far" in row


def test_nothing_runs_over_its_panel(lone: Callable[..., Page]) -> None:
    over = "[...document.querySelectorAll('.panel')].filter((each) => each.scrollWidth > each.clientWidth).length"
    assert lone("", overview=overview_of()).evaluate(over) == 0
    videos = [video_of([100, 1183, 1190], f"abc{number}") for number in range(6)]
    page = lone("?page=video&v=" + ",".join(each["video_id"] for each in videos), video={"now": 0, "videos": videos})
    assert page.evaluate(over) == 0
    for foot in page.locator(".foot").all():  # the button stands at the right of the first line
        box, button = foot.bounding_box(), foot.get_by_role("button").bounding_box()
        assert box is not None
        assert button is not None
        assert button["y"] - box["y"] < 8
        assert box["x"] + box["width"] - button["x"] - button["width"] < 2


def movers_of(*movers: dict[str, Any], **changes: Any) -> dict[str, Any]:
    found = {"now": HOURS[9], "window": "day", "seconds": 86_400, "promoted": [], "vanished": [], "movers": [*movers]}
    return found | {"as_of": HOURS[9], "is_late": False, "since": None, "readings": 1, "missed": 0} | changes


def test_times_can_be_told_from_what_is_shown(lone: Callable[..., Page]) -> None:
    mover = {
        "video_id": "abc",
        "title": "Cats",
        "gain": 9_419,
        "first_count": 0,
        "last_count": 9_419,
        "since": 0,
        "until": 80_000,
    }
    mover |= {"since": 0, "until": 80_000, "published_at": HOURS[0]}
    mover |= {"own": 31_824, "median": 2_448, "ages": [82_800, 169_200], "siblings": 12}
    page = lone("?page=movers", movers=movers_of(mover | {"times": 13.0}))
    row = page.get_by_role("row").filter(has_text="Cats").inner_text()
    assert "13 ×" in row
    assert "+31,824 ÷ +2,448" in row
    assert "23 h to 47 h old" in row
    assert page.get_by_role("heading", name="The fastest among 1 reading").is_visible()


LOST = "The gains of some hours were lost"
SINCE = "Gains are known since 2026-09-21 15:00 UTC only"
MISSED = "Videos that gained up to 12 views may be missing"


@pytest.mark.parametrize(
    ("changes", "notes"),
    [
        ({}, []),
        ({"as_of": None, "missed": None}, []),  # never prepared
        ({"missed": None}, [LOST]),
        ({"since": HOURS[1], "missed": None}, [SINCE]),
        ({"missed": 12}, [MISSED]),
    ],
)
def test_below_movers_stands_what_may_be_missing_and_nothing_else(
    lone: Callable[..., Page], changes: dict[str, Any], notes: list[str]
) -> None:
    page = lone("?page=movers", movers=movers_of(**changes))
    told = page.locator("main > p.note").all_inner_texts()[1:]
    assert [text.startswith(note) for text, note in zip(told, notes, strict=True)] == [True] * len(notes)
    # what is not there is not written out either
    assert page.evaluate("[...document.querySelector('main').childNodes].filter((each) => each.nodeType === 3)") == []


PAGES = {
    "overview": ("", 1180),
    "video": ("?page=video&v={video}", 1240),
    "movers": ("?page=movers", 1000),
    "coverage": ("?page=coverage&days=7", 1000),
}
OTHERS = {
    "several videos": "?page=video&v={video},{other}&x=age&scale=log&rate=hour&counts=gained",
    "hits": "?page=video&q=the",
    "no video": "?page=video",
    "movers against their channels": "?page=movers&by=times&window=week",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_is_accessible_and_none_asks_anybody_else(
    stack: LocalStack, sign_in: Callable[..., Page], video_id: str, theme: str
) -> None:
    page = sign_in(theme)
    other = ParquetVaultHook(root=str(stack.vault)).read_latest()["video_id"].iloc[0]
    queries = [query for query, _ in PAGES.values()] + list(OTHERS.values())
    for query in queries:
        frame = show(page, query.format(video=video_id, other=other))
        assert frame.evaluate("document.querySelector('main').dataset.ready") == "yes", query
        assert frame.evaluate("document.documentElement.dataset.theme") == theme
        frame.evaluate("document.querySelectorAll('button[aria-expanded=false]').forEach(button => button.click())")
        violations = Axe().run(frame).response["violations"]  # type: ignore[arg-type]
        assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == [], query


@pytest.mark.parametrize("name", PAGES)
def test_screenshots(sign_in: Callable[..., Page], video_id: str, name: str, tmp_path: Path) -> None:
    query, height = PAGES[name]
    page = sign_in("light", height=height)
    frame = show(page, query.format(video=video_id))
    assert frame.evaluate("document.querySelector('main').dataset.ready") == "yes"
    if name == "overview":
        assert "health well" in frame.locator(".health").get_attribute("class")
    folder = SCREENSHOTS if os.environ.get("SCREENSHOTS") else tmp_path
    folder.mkdir(exist_ok=True)
    file = folder / f"{name}.png"
    page.screenshot(path=file)
    _with_fewer_colours(file)
    assert file.stat().st_size < MOST_BYTES
    assert struct.unpack(">II", file.read_bytes()[16:24]) == (1280, height)


def _with_fewer_colours(file: Path) -> None:
    """A page has few colours: 255 of them make a picture of half the size."""
    from PIL import Image

    with Image.open(file) as picture:
        picture.convert("RGB").quantize(255, dither=Image.Dither.NONE).save(file, optimize=True)


def test_a_chart_is_read_by_keyboard(sign_in: Callable[..., Page], video_id: str) -> None:
    page = sign_in()
    frame = show(page, f"?page=video&v={video_id}")
    chart = frame.get_by_role("slider").first
    chart.focus()
    last = chart.get_attribute("aria-valuetext")
    page.keyboard.press("Home")
    first = chart.get_attribute("aria-valuetext")
    assert first != last
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC: views [\d,]+$", first or "")
    page.keyboard.press("ArrowRight")
    assert chart.get_attribute("aria-valuetext") not in {first, last}
    page.keyboard.press("End")
    assert chart.get_attribute("aria-valuetext") == last
    scale = "document.querySelector('.canvas').plot.scales.x"
    before = frame.evaluate(f"{scale}.max - {scale}.min")
    page.keyboard.press("+")
    assert frame.evaluate(f"{scale}.max - {scale}.min") < before
    twin = "document.querySelectorAll('.canvas')[1].plot.scales.x"
    assert frame.evaluate(f"{twin}.max - {twin}.min") < before  # charts of one group are zoomed together
    page.keyboard.press("0")
    assert frame.evaluate(f"{scale}.max - {scale}.min") == pytest.approx(before)
    page.keyboard.press("Tab")
    assert frame.evaluate("document.activeElement.textContent") == "Table of Views"
    page.keyboard.press("Enter")
    assert frame.get_by_role("region", name="Views, as a table").is_visible()
    rows = frame.get_by_role("region", name="Views, as a table").locator("tbody tr").count()
    assert rows > 20
    assert frame.get_by_text("gap", exact=True).count() >= 1
    assert frame.get_by_text("(fall)").count() >= 1


def test_everything_is_reached_by_tab_and_the_focus_is_seen(sign_in: Callable[..., Page]) -> None:
    page = sign_in()
    frame = show(page)
    frame.evaluate("document.body.focus()")
    frame.locator("a.skip").focus()
    assert frame.locator("a.skip").bounding_box()["y"] >= 0  # type: ignore[index]
    seen = []
    for _ in range(12):
        page.keyboard.press("Tab")
        seen.append(frame.evaluate("document.activeElement.textContent || document.activeElement.id"))
        width = frame.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert width == "2px", seen
    assert seen[:6] == ["Overview", "Videos", "Movers", "Coverage", "q", "Find"]


def test_a_shared_link_shows_the_same_to_somebody_else(sign_in: Callable[..., Page], video_id: str) -> None:
    page = sign_in()
    frame = show(page, f"?page=video&v={video_id}")
    title = frame.locator("h1").inner_text()
    frame.get_by_role("link", name="by age", exact=True).click()
    page.wait_for_url("**x=age**")
    shared = page.url
    frame = drawn(page)
    page.reload()
    assert drawn(page).locator("h1").inner_text() == title
    other = sign_in()
    other.goto(shared)
    frame = drawn(other)
    assert frame.locator("h1").inner_text() == title
    assert frame.locator("a[aria-current=true]").first.inner_text() == "by age"


def test_a_video_is_found_by_words_by_id_and_by_url(
    stack: LocalStack, sign_in: Callable[..., Page], video_id: str
) -> None:
    found = ParquetVaultHook(root=str(stack.vault)).read_videos(video_id)
    title = found["title"].iloc[0]
    page = sign_in()
    for query in (video_id, f"https://www.youtube.com/watch?v={video_id}"):
        frame = show(page)
        frame.locator("#q").fill(query)
        page.keyboard.press("Enter")
        page.wait_for_url(f"**v={video_id}**")
        assert title in drawn(page).locator("h1").inner_text()
    frame = show(page)
    frame.locator("#q").fill(title)
    frame.get_by_role("button", name="Find").click()
    page.wait_for_url("**q=**")
    frame = drawn(page)
    frame.locator(".hits a").first.click()
    page.wait_for_url("**v=**")
    assert drawn(page).locator("h1").inner_text() == title


def test_the_theme_follows_airflow_while_the_page_is_open(sign_in: Callable[..., Page]) -> None:
    page = sign_in("light")
    frame = show(page)
    ground = frame.evaluate("getComputedStyle(document.body).backgroundColor")
    page.evaluate("document.documentElement.className = 'dark'")
    frame.wait_for_function("document.documentElement.dataset.theme === 'dark'")
    assert frame.evaluate("getComputedStyle(document.body).backgroundColor") != ground


def test_links_lead_out_of_the_frame_into_airflow(sign_in: Callable[..., Page]) -> None:
    page = sign_in()
    frame = show(page)
    frame.get_by_role("link", name="ghost_tracker").first.click()
    page.wait_for_url("**/dags/ghost_tracker**")


def test_a_slip_in_a_form_is_told_and_tracking_stays_well(stack: LocalStack, sign_in: Callable[..., Page]) -> None:
    run_id = stack.trigger("ghost_hunter", {"sources": [{"chanel": "UC1"}]})
    assert stack.wait_for_run("ghost_hunter", run_id) == "failed"
    page = sign_in()
    time.sleep(10)  # the page remembers for so long
    frame = show(page)
    said = frame.get_by_role("row").filter(has=frame.get_by_text("failed", exact=True)).locator("td").last
    (reason, *_) = stack.reasons("ghost_hunter", run_id)
    said.get_by_text(reason.split(": ", 2)[2].splitlines()[0]).wait_for()
    assert said.inner_text().startswith("plan: ")
    assert "health well" in frame.locator(".health").get_attribute("class")
    said.get_by_role("link").click()
    page.wait_for_url(f"**/runs/{quote(run_id, safe='')}/tasks/plan**")


def test_series_and_history_are_downloaded(sign_in: Callable[..., Page], video_id: str) -> None:
    page = sign_in()
    frame = show(page, f"?page=video&v={video_id}")
    for name, beginning in (("CSV", b"video_id,timestamp"), ("Parquet", b"PAR1")):
        with page.expect_download() as waiting:
            frame.get_by_role("link", name=name, exact=True).click()
        assert Path(waiting.value.path()).read_bytes().startswith(beginning)
        assert video_id in waiting.value.suggested_filename


def test_what_is_broken_is_a_sentence_without_a_secret(stack: LocalStack, sign_in: Callable[..., Page]) -> None:
    page = sign_in()
    before = stack.api("GET", "connections/ghost_postgres")
    broken = before | {"host": "127.0.0.1", "port": 1, "password": CANARY}
    stack.api("PATCH", "connections/ghost_postgres", broken)
    try:
        frame = show(page, "?page=movers&window=hour")
        assert frame.get_by_role("alert").is_visible()
        said = frame.locator("main").inner_text()
        assert "connection 'ghost_postgres' does not lead to a database" in said
        assert CANARY not in frame.content()
    finally:
        stack.api("PATCH", "connections/ghost_postgres", before | {"password": stack.state.secret("postgres_password")})
    assert show(page, "?page=movers&window=hour").evaluate("document.querySelector('main').dataset.ready") == "yes"


def test_without_a_login_there_is_nothing_but_401(stack: LocalStack) -> None:
    for path in ("", "static/page.js", "static/vendor/uPlot.iife.min.js", "data/overview", "openapi.json", "docs", "x"):
        answer = httpx.get(f"{stack.airflow_url}/ghost/{path}", trust_env=False)
        assert answer.status_code == 401, path
        assert "ghost" not in answer.text.lower()


def test_under_a_base_url_with_a_path(stack: LocalStack, sign_in: Callable[..., Page], tmp_path: Path) -> None:
    """Another API server beside the stack's, on the same database, as behind a proxy that keeps the path."""
    port = any_free_port()
    base = f"http://127.0.0.1:{port}/behind/a/proxy"
    environment = stack.environment | {"AIRFLOW__API__BASE_URL": base}
    command = [sys.executable, "-m", "airflow", "api-server", "--port", str(port), "--host", "127.0.0.1"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            eventually(lambda: _answers(base), within=120)
            page = sign_in("light", base)
            page.goto(f"{base}/plugin/ghost_tracking")
            frame = drawn(page)
            assert frame.url.startswith(f"{base}/ghost/")
            frame.get_by_role("link", name="Movers").click()
            page.wait_for_url("**page=movers**")
            drawn(page)
            page.reload()  # a shared link
            frame = drawn(page)
            assert frame.url == f"{base}/ghost/?page=movers"
            assert frame.evaluate("document.querySelector('main').dataset.ready") == "yes"
            frame.locator("tbody a").first.click()
            page.wait_for_url("**page=video**")
            assert drawn(page).get_by_role("slider").count() == 6
            drawn(page).get_by_role("link", name="Overview").click()
            page.wait_for_url("**page=overview**")
            frame = drawn(page)
            frame.get_by_role("link", name="ghost_tracker").first.click()
            page.wait_for_url(f"{base}/dags/ghost_tracker**")
        finally:
            os.killpg(server.pid, 15)
            try:
                server.wait(timeout=timedelta(seconds=15).total_seconds())
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, 9)
                server.wait()


def _answers(base: str) -> bool:
    try:
        return httpx.get(f"{base}/api/v2/version", trust_env=False, timeout=5).is_success
    except httpx.TransportError:
        time.sleep(0.5)
        return False
