"""The analysts' recipes: the same answers in DuckDB, polars and pandas, over every layer of a vault."""

import itertools
import random
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pytest

from ghost_tracking.core.origins import Discovered, Origin, Place
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.hooks.vault import ParquetVaultHook
from queries import recipes_pandas, recipes_polars

PROJECT = Path(__file__).parents[3]
DUCKDB = PROJECT / "include" / "queries" / "duckdb"
GHOST = (DUCKDB / "ghost.sql").read_text(encoding="utf-8")

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 1, 30, 20, tzinfo=UTC)
MIDDLE = datetime(2026, 2, 1, 0, 30, tzinfo=UTC)
LATER = datetime(2026, 3, 20, tzinfo=UTC)

Row = tuple[Any, ...]
Points = list[MetricPoint]


def schedule(published: datetime, until: datetime) -> Iterator[datetime]:
    """The slots of a video, from START on."""
    ages = [*(HOUR * hour for hour in range(1, 25)), *(DAY * day for day in range(2, 8))]
    ages += [DAY * 7 * week for week in range(2, 9)]
    return (published + age for age in ages if START <= published + age < until)


def known_points() -> Points:
    """Curves with falling counts, nulls, fractions of seconds, publish times that change, and slots left out."""
    dice = random.Random(11)
    births = {"-young": START, "_day": START - 20 * HOUR, "WEEK": START - 6 * DAY, "old": START - 20 * DAY}
    births |= {f"v{number}": START + timedelta(minutes=37 * number) for number in range(4)}
    points = []
    for video, published in births.items():
        views = dice.randrange(1000)
        for number, slot in enumerate(schedule(published, START + 40 * DAY)):
            views += dice.randrange(-3, 500)
            seen = slot + timedelta(seconds=dice.randrange(240), microseconds=dice.choice([0, 0, 250_001]))
            told: datetime | None = published + timedelta(seconds=number // 6, microseconds=number % 2)
            counts = [None if dice.random() < 0.15 else count for count in (max(views, 0), 10 + number, number)]
            if dice.random() < 0.75:
                points.append(MetricPoint(video, seen, *counts, None if number in {3, 9} else told))
    points.append(MetricPoint("never-counted", START + HOUR, None, None, None, None))
    points.append(MetricPoint("large", START + HOUR, 2**63 - 1, 2**53 + 1, 0, START))
    points.append(MetricPoint("large", START + 2 * HOUR, 0, 2**53 + 3, None, START))
    return points


EARLY = known_points()
LATE = [
    MetricPoint("late", START + HOUR, 5, None, 0, START),
    MetricPoint("-young", START + 5 * HOUR + timedelta(seconds=999), 77, 7, None, START),
    MetricPoint("v1", datetime(2026, 1, 31, 3, 59, 59, 999_999, tzinfo=UTC), 12, 1, 1, None),
    MetricPoint("v1", datetime(2026, 2, 1, 5, tzinfo=UTC), 13, None, 1, None),
    MetricPoint("elsewhere", datetime(2026, 1, 3, 4, tzinfo=UTC), 1, 1, 1, START),
]
AGAIN = [MetricPoint(each.video_id, each.timestamp, 1, 1, 1, None) for each in (EARLY[0], EARLY[7], EARLY[-1])]
"""Known keys with other counts, which change nothing."""


@dataclass(frozen=True)
class Scenario:
    """How a vault comes about: first points, compacted up to `compacted`; then late points and what is done to them."""

    name: str
    compacted: datetime | None = None
    months: bool = True
    keep_hours: bool = True
    late: str = ""

    def build(self, root: Path) -> Points:
        vault = ParquetVaultHook(root=root)
        vault.stage(EARLY)
        vault.publish()
        if self.compacted is not None:
            vault.seal(self.compacted)
            self._compact(vault, self.compacted)
        if not self.late:
            return EARLY
        vault.stage([*LATE, *AGAIN])
        if self.late == "staged":
            return EARLY
        vault.publish()
        if self.late == "sealed":
            vault.seal(LATER)
        return [*EARLY, *LATE]

    def _compact(self, vault: ParquetVaultHook, now: datetime) -> None:
        report = vault.compact(now, months=self.months, keep_hours=self.keep_hours)
        assert report.compacted
        assert not report.problems


SCENARIOS = [
    Scenario("nothing compacted"),
    Scenario("some days", MIDDLE, months=False),
    Scenario("months", LATER),
    Scenario("a month and open hours", MIDDLE),
    Scenario("days, hours dropped", LATER, months=False, keep_hours=False),
    Scenario("months, hours dropped", LATER, keep_hours=False),
    Scenario("months, late and staged", LATER, late="staged"),
    Scenario("months, late and published", LATER, late="published"),
    Scenario("months, late and sealed", LATER, late="sealed"),
    Scenario("hours dropped, late and published", LATER, keep_hours=False, late="published"),
    Scenario("hours dropped, late and sealed", LATER, keep_hours=False, late="sealed"),
    Scenario("some days, hours dropped, late and sealed", MIDDLE, keep_hours=False, late="sealed"),
]


@pytest.fixture(scope="module", params=SCENARIOS, ids=lambda scenario: scenario.name)
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Points]:
    root = tmp_path_factory.mktemp("queries") / "the analysts' vault"
    return root, request.param.build(root)


# The three tools, with one face: each answer is a list of tuples.


class InDuckDB:
    """The recipes of `duckdb/`."""

    def __init__(self, root: Path, hours_since: datetime | None = None) -> None:
        self._session = loaded(root, hours_since)
        self._session.execute("SET TimeZone = 'America/Los_Angeles'")  # which is nothing to the recipes

    def __getattr__(self, recipe: str) -> Callable[..., list[Row]]:
        return lambda **parameters: self.ask((DUCKDB / f"{recipe}.sql").read_text(encoding="utf-8"), **parameters)

    def points(self, since: datetime | None = None, until: datetime | None = None) -> list[Row]:
        found = self.ask("SELECT * EXCLUDE date FROM points_between($since, $until)", {"since": since, "until": until})
        if since is None and until is None:
            assert sorted(map(str, found)) == sorted(map(str, self.ask("SELECT * EXCLUDE date FROM points")))
        return found

    def history(self, video: str) -> list[Row]:
        return self.ask("FROM history($video)", {"video": video})

    def history_points(self) -> list[Row]:
        return self.ask("FROM history_points")

    def ask(self, query: str, bound: dict[str, Any] | None = None, **variables: Any) -> list[Row]:
        for name, value in variables.items():
            self._session.execute(f"SET VARIABLE {name} = {literal(value)}")
        found = self._session.execute(query, bound).fetchall()
        for name in variables:
            self._session.execute(f"RESET VARIABLE {name}")
        return [tuple(plain(value) for value in row) for row in found]


def literal(value: Any) -> str:
    return "NULL" if value is None else str(value) if isinstance(value, int) else f"'{value}'"


def loaded(root: Path, hours_since: datetime | None = None) -> duckdb.DuckDBPyConnection:
    session = duckdb.connect()
    session.execute("SET VARIABLE vault = $root", {"root": str(root)})
    session.execute("SET VARIABLE hours_since = $day", {"day": None if hours_since is None else hours_since.date()})
    session.execute(GHOST)
    return session


class InPython:
    """The recipes of a module."""

    def __init__(self, module: ModuleType, root: Path) -> None:
        self._module = module
        self._root = root

    def __getattr__(self, recipe: str) -> Callable[..., list[Row]]:
        return lambda *given, **named: listed(getattr(self._module, recipe)(self._root, *given, **named))


def listed(frame: pd.DataFrame | pl.DataFrame | pl.LazyFrame) -> list[Row]:
    if isinstance(frame, pl.LazyFrame):
        frame = frame.collect()
    if isinstance(frame, pl.DataFrame):
        return [tuple(plain(value) for value in row) for row in frame.rows()]
    return [tuple(plain(value) for value in row) for row in frame.itertuples(index=False)]


def plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    if isinstance(value, float):
        return rounded(value)
    return value.to_pydatetime() if isinstance(value, pd.Timestamp) else value


def rounded(value: float) -> float:
    """Without the last bits: polars divides by a number as it multiplies by its inverse."""
    return float(f"{value:.13g}")


@pytest.fixture(params=["duckdb", "polars", "pandas"])
def tool(request: pytest.FixtureRequest) -> Callable[[Path], Any]:
    return {
        "duckdb": InDuckDB,
        "polars": lambda root: InPython(recipes_polars, root),
        "pandas": lambda root: InPython(recipes_pandas, root),
    }[request.param]


# What the answers are, computed in the plainest way.


def row(point: MetricPoint) -> Row:
    return (point.video_id, point.timestamp, point.views, point.likes, point.comments, point.published_at)


def by_video(points: Iterable[MetricPoint]) -> dict[str, Points]:
    ordered = sorted(points, key=lambda each: (each.video_id, each.timestamp))
    return {video: list(group) for video, group in itertools.groupby(ordered, key=lambda each: each.video_id)}


def hours_between(start: datetime, end: datetime) -> float:
    return rounded(((end - start) // timedelta(microseconds=1)) / 3.6e9)


def curve(points: Points, video: str) -> list[Row]:
    return [
        (
            each.timestamp,
            None if each.published_at is None else hours_between(each.published_at, each.timestamp),
            *(each.views, each.likes, each.comments),
        )
        for each in by_video(points).get(video, [])
    ]


def growth(points: Points, first: date | None, last: date | None, look_back: int) -> list[Row]:
    found = []
    for video, own in by_video(points).items():
        days: dict[date, int] = {}
        for each in own:
            day = each.timestamp.date()
            in_time = (first is None or day >= first - look_back * DAY) and (last is None or day <= last)
            if each.views is not None and in_time:
                days[day] = each.views
        before: date | None = None
        for day, views in sorted(days.items()):
            if first is None or day >= first:
                gained = (None, None) if before is None else (views - days[before], (day - before).days)
                found.append((video, day, views, *gained))
            before = day
    return found


def movers(points: Points, until: datetime, window: int, top: int, look_back: int) -> list[Row]:
    lower = until - window * HOUR
    found: list[Row] = []
    for video, own in by_video(points).items():
        counts = [
            (each.timestamp, each.views)
            for each in own
            if each.views is not None and lower - look_back * DAY <= each.timestamp <= until
        ]
        if not counts:
            continue
        (start, before), (end, views) = ([each for each in counts if each[0] <= lower] or counts[:1])[-1], counts[-1]
        if start < end:
            per_hour = (views - before) * 3.6e9 / ((end - start) // timedelta(microseconds=1))
            found.append((video, start, end, views, views - before, per_hour))
    found.sort(key=lambda each: (-each[-1], each[0]))
    return [(*each[:-1], rounded(each[-1])) for each in found[:top]]


def counted(points: Points, since: datetime | None, until: datetime | None) -> list[Row]:
    hours: dict[datetime, list[str]] = {}
    for each in points:
        if (since is None or each.timestamp >= since) and (until is None or each.timestamp < until):
            hours.setdefault(each.timestamp.replace(minute=0, second=0, microsecond=0), []).append(each.video_id)
    return [(hour, len(videos), len(set(videos))) for hour, videos in sorted(hours.items())]


def holes(points: Points) -> list[Row]:
    found = []
    for video, own in by_video(points).items():
        for before, after in itertools.pairwise(own):
            if after.published_at is None:
                continue
            anchor = after.published_at.replace(microsecond=0)
            ages = [*(HOUR * hour for hour in range(1, 25)), *(DAY * day for day in range(2, 8))]
            ages += [DAY * 7 * week for week in range(2, 500)]
            missed = sum(before.timestamp < anchor + age <= after.timestamp for age in ages) - 1
            if missed > 0:
                hours = hours_between(before.timestamp, after.timestamp)
                found.append((video, before.timestamp, after.timestamp, hours, missed))
    return sorted(found, key=lambda each: (-each[-1], each[0], each[1]))


# Every tool, over every layer


def test_every_point_is_met_once(built: tuple[Path, Points], tool: Callable[[Path], Any]) -> None:
    root, points = built
    ghost = tool(root)
    assert sorted(ghost.points(), key=lambda each: each[:2]) == sorted(map(row, points), key=lambda each: each[:2])
    since, until = START + timedelta(hours=3, minutes=30), MIDDLE + 3 * HOUR
    inside = sorted((row(each) for each in points if since <= each.timestamp < until), key=lambda each: each[:2])
    assert sorted(ghost.points(since=since, until=until), key=lambda each: each[:2]) == inside
    for video, own in list(by_video(points).items())[::3]:
        assert ghost.history(video) == [row(each) for each in own]
    assert ghost.history("unknown") == []


def test_duckdb_looks_up_the_latest_hours_alone_and_finds_the_others_in_the_history(built: tuple[Path, Points]) -> None:
    root, points = built
    ghost = InDuckDB(root, hours_since=MIDDLE)
    oldest = min(ghost.ask("SELECT day::DATE FROM ghost_days"), default=(date.min,))[0]
    found = ghost.points()
    assert len(set(found)) == len(found)
    assert {row(each) for each in points if each.timestamp.date() >= oldest} <= set(found) <= set(map(row, points))
    for video in ("-young", "old", "v1"):
        assert ghost.history(video) == [row(each) for each in by_video(points)[video]]
    held = {day for (day,) in ghost.ask("SELECT day FROM ghost_days")}
    changed = {day for (day,) in ghost.ask("SELECT name[6:15] FROM ghost_changed_hours")}
    for (day,) in ghost.ask("SELECT DISTINCT name[6:15] FROM ghost_known WHERE file IS NOT NULL"):
        assert day >= MIDDLE.date().isoformat() or day not in held or day in changed


def test_duckdb_has_the_history_alone(built: tuple[Path, Points]) -> None:
    root, points = built
    in_history = set(InDuckDB(root).history_points())
    assert in_history <= {row(each) for each in points}
    assert bool(in_history) == (root / "history" / "manifest.json").exists()


def test_curve_and_latest(built: tuple[Path, Points], tool: Callable[[Path], Any]) -> None:
    root, points = built
    ghost = tool(root)
    for video in ("-young", "old", "never-counted", "large", "late", "v1", "unknown"):
        assert ghost.video_curve(video=video) == curve(points, video)
    assert ghost.latest() == [row(own[-1]) for own in by_video(points).values()]


def test_growth_per_day(built: tuple[Path, Points], tool: Callable[[Path], Any]) -> None:
    root, points = built
    ghost = tool(root)
    assert ghost.growth_per_day() == growth(points, None, None, 30)
    for first, last, look_back in [(date(2026, 2, 1), date(2026, 2, 3), 30), (date(2026, 2, 6), date(2026, 2, 21), 2)]:
        expected = growth(points, first, last, look_back)
        assert expected
        assert ghost.growth_per_day(first_day=first, last_day=last, look_back_days=look_back) == expected


def test_top_movers(built: tuple[Path, Points], tool: Callable[[Path], Any]) -> None:
    root, points = built
    ghost = tool(root)
    exact = next(each.timestamp for each in points if each.views is not None and each.timestamp > START + 8 * HOUR)
    for until, window, top, look_back in [(exact, 3, 20, 30), (MIDDLE, 24, 2, 30), (START + 30 * DAY, 24 * 7, 20, 1)]:
        expected = movers(points, until, window, top, look_back)
        assert expected
        given = {"until": until, "window_hours": window, "top": top, "look_back_days": look_back}
        assert ghost.top_movers(**given) == expected


def test_points_per_hour_and_gaps(built: tuple[Path, Points], tool: Callable[[Path], Any]) -> None:
    root, points = built
    ghost = tool(root)
    assert ghost.points_per_hour() == counted(points, None, None)
    since, until = START + 90 * timedelta(minutes=1), MIDDLE
    assert ghost.points_per_hour(since=since, until=until) == counted(points, since, until)
    assert len(holes(points)) > 10
    assert ghost.gaps() == holes(points)
    assert ghost.gaps(since=since, until=until) == holes([each for each in points if since <= each.timestamp < until])


def test_an_empty_vault_has_no_answers_and_no_errors(tmp_path: Path, tool: Callable[[Path], Any]) -> None:
    made = tmp_path / "made"
    ParquetVaultHook(root=made).identity(create=True)
    ghost = tool(made)
    for recipe in ("points", "latest", "growth_per_day", "points_per_hour", "gaps"):
        assert getattr(ghost, recipe)() == []
    assert ghost.history("x") == ghost.video_curve(video="x") == ghost.top_movers(until=MIDDLE) == []


def test_duckdb_finds_nothing_where_no_vault_is_and_python_says_so(tmp_path: Path) -> None:
    nowhere = tmp_path / "not there"
    duck = InDuckDB(nowhere)
    assert duck.points() == duck.history_points() == duck.history("x") == []
    for module in (recipes_pandas, recipes_polars):
        with pytest.raises(Exception, match=f"{nowhere} is not there"):
            InPython(module, nowhere).points()


def test_the_recipes_of_all_tools_are_the_same() -> None:
    names = {path.stem for path in DUCKDB.glob("*.sql")} - {"ghost"}
    assert len(names) == 6
    for module in (recipes_polars, recipes_pandas):
        assert all(callable(getattr(module, name)) for name in names)


# What is particular to one


def test_duckdb_reads_a_sharded_month_and_names_its_files(tmp_path: Path) -> None:
    vault = ParquetVaultHook(root=tmp_path)
    points = [
        MetricPoint(f"v{number:05}", START + hour * HOUR, number, None, None, None)
        for number in range(3000)
        for hour in range(12)
    ]
    vault.stage(points)
    vault.seal(LATER)
    vault.compact(LATER, most_points_a_file=10_000)
    ghost = InDuckDB(tmp_path)
    files = ghost.ask("SELECT file, points FROM history_files")
    assert sorted(file for file, _ in files) == sorted(vault.history_files())
    assert sum(count for _, count in files) == len(points)
    for video in ("v00000", "v01499", "v02999"):
        assert ghost.history(video) == [row(each) for each in points if each.video_id == video]


def test_history_files_that_are_not_in_force_are_not_read(tmp_path: Path, tool: Callable[[Path], Any]) -> None:
    root = tmp_path / "vault"
    Scenario("days", LATER, months=False, keep_hours=False).build(root)
    old = {path: path.read_bytes() for path in root.glob("history/day=*/*.parquet")}
    ParquetVaultHook(root=root).compact(LATER, keep_hours=False)
    for path, data in old.items():
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    assert sorted(tool(root).points(), key=lambda each: each[:2]) == sorted(map(row, EARLY), key=lambda each: each[:2])


def test_hours_that_should_be_gone_are_not_taken_for_whole(tmp_path: Path, tool: Callable[[Path], Any]) -> None:
    root = tmp_path / "vault"
    Scenario("dropped", LATER, keep_hours=False).build(root)
    hook = ParquetVaultHook(root=root)
    hook.stage(LATE[:1])
    hook.seal(LATER)
    left = next(root.glob("metrics/date=*/hour=*/stats.parquet"))
    data = left.read_bytes()
    hook.compact(LATER, keep_hours=False)
    assert not left.exists()
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(data)
    expected = sorted(map(row, [*EARLY, LATE[0]]), key=lambda each: each[:2])
    assert sorted(tool(root).points(), key=lambda each: each[:2]) == expected


def test_a_question_in_polars_takes_no_more_columns_and_rows_than_it_needs(tmp_path: Path) -> None:
    Scenario("months", LATER).build(tmp_path)
    views = recipes_polars.points(tmp_path).select("video_id", "views")
    assert views.collect().height == len(EARLY)
    assert views.head(3).collect().shape == (3, 2)
    large = recipes_polars.points(tmp_path).filter(pl.col("video_id") == "large").sort("timestamp").collect()
    assert listed(large) == [row(each) for each in by_video(EARLY)["large"]]


def test_recipes_import_the_library_and_no_airflow() -> None:
    for path in (PROJECT / "include" / "queries").glob("recipes_*.py"):
        imported = re.findall(
            r"^\s*(?:import|from) ((?:ghost_tracking|airflow)\S*)", path.read_text("utf-8"), re.MULTILINE
        )
        assert imported == ["ghost_tracking.vault"], path


def test_duckdb_has_what_sources_named(tmp_path: Path) -> None:
    vault = ParquetVaultHook(root=tmp_path / "vault")
    vault.identity(create=True)
    assert loaded(tmp_path / "vault").execute("SELECT count(*), count(date) FROM discoveries").fetchall() == [(0, 0)]
    noon = datetime(2026, 1, 30, 12, tzinfo=UTC)
    chart, channel = Origin("chart", "mostPopular", "US"), Origin("channel", "UC1")
    for day in range(2):
        at = noon + timedelta(days=day)
        vault.stage_discoveries([Discovered(each, chart, at, Place(rank, 1)) for rank, each in enumerate("ab", 1)])
        vault.stage_discoveries([Discovered("b", channel, at)])
    vault.publish_discoveries()
    session = loaded(tmp_path / "vault")
    query = "SELECT date, video_id, rank, named_at FROM discoveries WHERE source_kind = 'chart' ORDER BY date, rank"
    assert session.execute(query).fetchall() == [
        (date(2026, 1, 30 + day), each, rank, noon + timedelta(days=day))
        for day in range(2)
        for rank, each in enumerate("ab", 1)
    ]
    alone = "SELECT video_id FROM discoveries GROUP BY 1 HAVING count(DISTINCT (source_kind, source_key)) = 1"
    assert session.execute(alone).fetchall() == [("a",)]
