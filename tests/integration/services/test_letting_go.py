"""Pause, stop, forget and resume, on a real PostgreSQL and a real vault: what goes, what stays, and what comes back."""

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from ghost_tracking.core.let_go import State
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.schedule import WatchlistEntry
from ghost_tracking.core.tiers import Queue, Tier
from ghost_tracking.core.videos import Reading, Video
from ghost_tracking.errors import BadInputError, PermanentError, TransientError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.postgres.watchlist import Watchlist
from ghost_tracking.services.letting_go import UNDER_WAY, LettingGo
from ghost_tracking.services.letting_go_form import from_form
from ghost_tracking.services.recovery import ScheduleReconciler
from ghost_tracking.services.roster_moves import RosterMoves
from ghost_tracking.vault import layout

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime.now(UTC).replace(minute=10, second=0, microsecond=0) - DAY
CHANNEL = "UC" + "c" * 22
YOUNG = ["young000000", "young000001"]
SETTLED = ["settled0000", "settled0004", "settled0008", "settled000A"]
EVERYBODY = [*YOUNG, *SETTLED]


@pytest.fixture
def vault(tmp_path: Path) -> ParquetVaultHook:
    return ParquetVaultHook(root=str(tmp_path / "vault"), lock_timeout=0.5)


def video(video_id: str, channel: str) -> Video:
    return Video(
        id=video_id,
        title=f"Title {video_id}",
        description="Long.",
        published_at=NOW - DAY,
        tags=(),
        channel_id=channel,
        channel_title="Ch",
        category_id="1",
        duration=None,
        default_language=None,
        reading=Reading(video_id, NOW, 1, 1, 1, NOW - DAY),
    )


def points(hour: int, ids: list[str] = EVERYBODY) -> list[MetricPoint]:
    return [MetricPoint(each, NOW + hour * HOUR, 5, None, None, NOW - DAY) for each in ids]


@pytest.fixture(autouse=True)
def schedule(watchlist: WatchlistHook, vault: ParquetVaultHook) -> None:
    """Two videos on the watchlist, four on the roster; points of three hours, two sealed; metadata of all of them."""
    young = [WatchlistEntry(each, Tier.DAILY, NOW, NOW + HOUR, anchor_at=NOW - DAY) for each in YOUNG]
    watchlist.add_to_watchlist(young)
    anchor = NOW - 30 * DAY
    settled = [WatchlistEntry(each, Tier.WEEKLY, NOW, NOW + 5 * DAY, anchor_at=anchor) for each in SETTLED]
    assert RosterMoves(watchlist, vault, NOW).move_found(settled) == len(SETTLED)
    watchlist.ingest_video_metadata([video(each, CHANNEL if each == YOUNG[0] else "UC2") for each in YOUNG])
    vault.stage_videos([video(each, CHANNEL if each == SETTLED[0] else "UC2") for each in SETTLED], NOW)
    for hour in (-3, -2, 0):
        vault.stage(points(hour))
    vault.publish()
    vault.seal(NOW)
    ScheduleReconciler(watchlist, vault, NOW).in_sync()


@pytest.fixture
def letting_go(watchlist: WatchlistHook, vault: ParquetVaultHook) -> LettingGo:
    return LettingGo(watchlist, vault)


def scheduled(watchlist: WatchlistHook, vault: ParquetVaultHook) -> list[str]:
    found = list(watchlist.entries.known(EVERYBODY))
    for chunk in watchlist.roster.all():
        ids = vault.roster.read(chunk.name)
        found += [video_id for place, video_id in enumerate(ids) if place not in chunk.removed_positions]
    return sorted(found)


def without(*ids: str) -> list[str]:
    return sorted(set(EVERYBODY) - set(ids))


def later(letting_go: LettingGo, by: timedelta = UNDER_WAY + HOUR) -> LettingGo:
    return LettingGo(letting_go.watchlist, letting_go.vault, now=datetime.now(UTC) + by)


def assert_no_trace(vault: ParquetVaultHook, watchlist: WatchlistHook, *ids: str) -> None:
    assert not any(watchlist.let_go.traces(ids).values())
    report = vault.forget(ids)
    assert (report.rows, report.problems) == (0, ())
    for key, _ in vault._storage.walk(""):
        if key != layout.LET_GO:
            data = vault._storage.read(key).data
            assert not any(each.encode() in data for each in ids), key


# Pause, stop, resume


@pytest.mark.parametrize("state", [State.PAUSED, State.STOPPED])
def test_a_video_leaves_the_schedule_and_keeps_what_is_known_of_it(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook, state: State
) -> None:
    gone = [YOUNG[0], SETTLED[1]]
    before = vault.forget(gone)
    letting_go.decide(state, gone, confirm=True)
    assert scheduled(watchlist, vault) == without(*gone)
    assert vault.forget(gone).rows == before.rows
    assert watchlist.let_go.changes(gone).keys() == vault.let_go.all().keys() == set(gone)
    assert {each.change.state for each in vault.let_go.all().values()} == {state}
    # whatever comes along
    watchlist.add_to_watchlist(gone)
    RosterMoves(watchlist, vault, NOW + 40 * DAY).move_settled()
    assert scheduled(watchlist, vault) == without(*gone)

    letting_go.decide(State.RESUMED, gone, confirm=True)
    assert scheduled(watchlist, vault) == sorted(EVERYBODY)
    with watchlist.claim(Tier.HOURLY, 10) as claim:
        assert {entry.video_id for entry in claim.entries} == set(gone)


def test_nothing_is_done_before_it_is_confirmed(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    files = {key: vault._storage.version(key) for key, _ in vault._storage.walk("")}
    outcome = letting_go.decide(State.FORGOTTEN, [YOUNG[0], SETTLED[0]], confirm=False)
    assert outcome.message == "Dry run: would forget 2 videos. Confirm to carry it out"
    assert outcome.lines[:3] == ["watchlist: 1 rows", "roster: 1 places", "videos: 1 rows"]
    assert "hours: 6 in 3 of 3 files" in outcome.lines
    assert scheduled(watchlist, vault) == sorted(EVERYBODY)
    assert watchlist.let_go.all() == {}
    assert {key: vault._storage.version(key) for key, _ in vault._storage.walk("")} == files


def test_what_was_not_let_go_cannot_be_resumed(letting_go: LettingGo) -> None:
    with pytest.raises(BadInputError, match="1 was not let go"):
        letting_go.decide(State.RESUMED, [YOUNG[0]], confirm=True)
    with pytest.raises(BadInputError, match="no video is named"):
        letting_go.decide(State.PAUSED, [], confirm=True)


# Forget


def test_a_forgotten_video_leaves_no_trace_and_nothing_brings_it_back(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    gone = [YOUNG[0], SETTLED[1]]
    told: list[tuple[str, int, int]] = []
    outcome = LettingGo(watchlist, vault, progress=lambda *each: told.append(each)).decide(
        State.FORGOTTEN, gone, confirm=True
    )
    assert outcome.message == "Forgotten 2 videos"
    assert "hours: 0 in 3 files looked at" in outcome.lines
    assert "watchlist: 0 rows" in outcome.lines
    assert {name for name, _, _ in told} >= {"chunks", "hours", "roster"}
    assert_no_trace(vault, watchlist, *gone)
    assert scheduled(watchlist, vault) == without(*gone)
    assert set(vault.read_metrics()["video_id"]) == set(without(*gone))
    assert len(vault.read_metrics()) == 3 * (len(EVERYBODY) - 2)
    # sources, rebuilds, the janitor's nights
    watchlist.add_to_watchlist(gone)
    watchlist.ingest_video_metadata([video(each, CHANNEL) for each in gone])
    vault.archive_videos()
    ScheduleReconciler(watchlist, vault, NOW).reconcile()
    moves = RosterMoves(watchlist, vault, NOW + 40 * DAY)
    moves.move_settled()
    moves.sweep(timedelta(0))
    assert vault.seal(datetime.now(UTC)).complete
    assert vault.compact(datetime.now(UTC)).problems == ()
    assert vault.verify().problems == ()
    assert_no_trace(vault, watchlist, *gone)
    assert sorted(set(scheduled(watchlist, vault))) == without(*gone)


def test_it_is_undone_only_when_that_is_said(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    letting_go.decide(State.FORGOTTEN, [YOUNG[0]], confirm=True)
    letting_go.decide(State.PAUSED, [YOUNG[1]], confirm=True)
    for state in (State.PAUSED, State.STOPPED, State.RESUMED):
        with pytest.raises(BadInputError, match="1 is forgotten and stays so"):
            letting_go.decide(state, [YOUNG[0]], confirm=True)
    # the others of a list are not held up
    outcome = letting_go.decide(State.RESUMED, YOUNG, confirm=True)
    assert outcome.message.startswith("Resumed 1 video (1 is forgotten and stays so")
    assert scheduled(watchlist, vault) == without(YOUNG[0])
    letting_go.decide(State.RESUMED, [YOUNG[0]], confirm=True, also_forgotten=True)
    assert scheduled(watchlist, vault) == sorted(EVERYBODY)
    assert set(vault.read_history(YOUNG[0])["video_id"]) == set()


def test_a_channel_is_all_its_videos_in_the_database_and_in_the_vault(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    assert letting_go.ids_of_channels([CHANNEL]) == sorted([YOUNG[0], SETTLED[0]])
    vault.archive_videos()
    assert letting_go.ids_of_channels([CHANNEL]) == sorted([YOUNG[0], SETTLED[0]])
    said = from_form(
        {"let_go": "forget", "channel": f"https://www.youtube.com/channel/{CHANNEL}/"}, letting_go, vault.open_list
    )
    assert said.startswith("Dry run: would forget 2 videos")
    said = from_form({"let_go": "forget", "channel": CHANNEL, "confirm": True}, letting_go, vault.open_list)
    assert said.startswith("Forgotten 2 videos")
    assert_no_trace(vault, watchlist, YOUNG[0], SETTLED[0])
    assert scheduled(watchlist, vault) == without(YOUNG[0], SETTLED[0])


def test_a_form_names_videos_and_lists_and_refuses_what_it_does_not_understand(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    form = {
        "let_go": "pause",
        "videos": [f"https://youtu.be/{YOUNG[0]}", ""],
        "list": f"{SETTLED[0]}\n",
        "confirm": True,
    }
    assert from_form(form, letting_go, vault.open_list) == "Paused 2 videos"
    assert scheduled(watchlist, vault) == without(YOUNG[0], SETTLED[0])
    with pytest.raises(BadInputError, match="1 line names no video, so none is let go"):
        from_form({"let_go": "pause", "list": f"{YOUNG[1]}\nwhat?\n", "confirm": True}, letting_go, vault.open_list)
    with pytest.raises(BadInputError, match='write "@somebody" if somebody is a handle'):
        from_form({"let_go": "pause", "channel": "somebody", "confirm": True}, letting_go, vault.open_list)
    with pytest.raises(BadInputError, match="@somebody is a handle, and metadata has ids only"):
        from_form(
            {"let_go": "pause", "channel": "https://www.youtube.com/@somebody", "confirm": True},
            letting_go,
            vault.open_list,
        )
    assert scheduled(watchlist, vault) == without(YOUNG[0], SETTLED[0])


def test_a_whole_chunk_can_be_forgotten(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    letting_go.decide(State.FORGOTTEN, SETTLED, confirm=True)
    assert_no_trace(vault, watchlist, *SETTLED)
    with watchlist.roster.claim(Queue.ROSTER, 100, now=NOW + 30 * DAY) as claim:
        assert [vault.roster.read(chunk.name) for chunk in claim.chunks] == [[]]
    assert RosterMoves(watchlist, vault, NOW).move_settled().problems == []
    assert scheduled(watchlist, vault) == sorted(YOUNG)


@pytest.mark.parametrize("order", [[0, 2], [1, 3], [3, 0], [2, 1]])
def test_letting_go_again_leaves_the_others_of_a_chunk_alone(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook, order: list[int]
) -> None:
    """A neighbour stands in the place of a forgotten one: it must not be taken for its double."""
    first, second = (SETTLED[place] for place in order)
    letting_go.decide(State.FORGOTTEN, [first], confirm=True)
    letting_go.decide(State.PAUSED, [second], confirm=True)
    assert scheduled(watchlist, vault) == without(first, second)
    letting_go.decide(State.FORGOTTEN, [second], confirm=True)
    assert scheduled(watchlist, vault) == without(first, second)
    assert later(letting_go).look_after().message == "Nothing is left to pause, stop or forget"
    assert scheduled(watchlist, vault) == without(first, second)
    RosterMoves(watchlist, vault, NOW).move_settled()
    assert scheduled(watchlist, vault) == without(first, second)


# Tasks under way


def test_points_of_a_task_that_was_under_way_go_with_the_janitors_next_run(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    letting_go.decide(State.FORGOTTEN, [YOUNG[0]], confirm=True)
    # it had lost its row with its connection, and stages what YouTube had answered; so does a hunter its metadata
    vault.stage(points(23, [YOUNG[0], YOUNG[1]]))
    vault.publish()
    vault.stage(points(23, [SETTLED[0]]))
    vault.stage_videos([video(YOUNG[0], CHANNEL)], NOW)
    assert len(vault.read_history(YOUNG[0])) == 1
    outcome = later(letting_go).look_after()
    assert "of forgotten videos removed" in outcome.message
    assert_no_trace(vault, watchlist, YOUNG[0])
    assert len(vault.read_history(YOUNG[1])) == 4
    assert later(letting_go).look_after().message == "Nothing is left to pause, stop or forget"


def test_a_row_of_a_transaction_under_way_goes_within_the_hour(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook, sql: psycopg.Connection
) -> None:
    letting_go.decide(State.STOPPED, [YOUNG[0]], confirm=True)
    sql.execute("INSERT INTO watchlist (video_id, next_track_at) VALUES (%s, now())", [YOUNG[0]])
    assert watchlist.let_go.enforce() == 1
    assert scheduled(watchlist, vault) == without(YOUNG[0])


def test_what_was_killed_in_the_middle_is_finished_by_the_janitor(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step in ("_carry_out", "_leave_roster", "_forget"):
        gone = EVERYBODY[::-1][["_carry_out", "_leave_roster", "_forget"].index(step)]

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(LettingGo, step, killed)
            with pytest.raises(KeyboardInterrupt):
                letting_go.decide(State.FORGOTTEN, [gone], confirm=True)
        assert letting_go.look_after().message == "1 decision was carried out"
        assert_no_trace(vault, watchlist, gone)


def test_a_resumption_that_was_killed_in_the_middle_loses_no_video(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook, monkeypatch: pytest.MonkeyPatch
) -> None:
    letting_go.decide(State.PAUSED, [YOUNG[0], SETTLED[0]], confirm=True)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Watchlist, "add", killed)
        with pytest.raises(KeyboardInterrupt):
            letting_go.decide(State.RESUMED, [YOUNG[0], SETTLED[0]], confirm=True)
    assert scheduled(watchlist, vault) == without(YOUNG[0], SETTLED[0])
    assert letting_go.look_after().message == "2 decisions were carried out"
    assert scheduled(watchlist, vault) == sorted(EVERYBODY)
    assert letting_go.look_after().message == "Nothing is left to pause, stop or forget"


# Backups


@pytest.mark.parametrize("first", ["the hunter", "the janitor"])
def test_a_restored_database_forgets_nothing(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook, sql: psycopg.Connection, first: str
) -> None:
    saved = {table: sql.execute(f"SELECT * FROM {table}").fetchall() for table in ("watchlist", "videos", "let_go")}
    removed_positions = sql.execute("SELECT chunk, removed_positions FROM roster").fetchall()
    letting_go.decide(State.FORGOTTEN, [YOUNG[0], SETTLED[1]], confirm=True)
    letting_go.decide(State.STOPPED, [SETTLED[2]], confirm=True)
    for table, rows in saved.items():
        sql.execute(f"TRUNCATE {table}")
        columns = [
            name
            for (name,) in sql.execute(
                "SELECT column_name FROM information_schema.columns WHERE table_name = %s ORDER BY ordinal_position",
                [table],
            )
        ]
        for row in rows:
            marks = ", ".join(["%s"] * len(columns))
            sql.execute(f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({marks})", row)
    for chunk, places in removed_positions:
        sql.execute("UPDATE roster SET removed_positions = %s WHERE chunk = %s", [places, chunk])
    assert YOUNG[0] in scheduled(watchlist, vault)

    if first == "the hunter":
        assert letting_go.unite() == 3
        assert watchlist.let_go.enforce() == 1
        assert letting_go.look_after().message == "3 decisions were carried out"
    else:
        assert "3 entries were in one list only" in letting_go.look_after().message
    assert scheduled(watchlist, vault) == without(YOUNG[0], SETTLED[1], SETTLED[2])
    assert_no_trace(vault, watchlist, YOUNG[0], SETTLED[1])
    assert {each.change for each in vault.let_go.all().values()} == set(watchlist.let_go.all().values())


def test_a_restored_vault_forgets_again(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook, tmp_path: Path
) -> None:
    root = Path(vault.get_conn().path)
    shutil.copytree(root, tmp_path / "backup")
    letting_go.decide(State.FORGOTTEN, [YOUNG[0], SETTLED[1]], confirm=True)
    shutil.rmtree(root)
    shutil.copytree(tmp_path / "backup", root)
    assert len(vault.read_history(YOUNG[0])) == 3

    letting_go.look_after()
    assert_no_trace(vault, watchlist, YOUNG[0], SETTLED[1])
    assert scheduled(watchlist, vault) == without(YOUNG[0], SETTLED[1])


def test_a_resumed_video_is_not_let_go_again_by_a_backup(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook, sql: psycopg.Connection
) -> None:
    letting_go.decide(State.PAUSED, [YOUNG[0]], confirm=True)
    rows = sql.execute("SELECT video_id, state, changed_at FROM let_go").fetchall()
    letting_go.decide(State.RESUMED, [YOUNG[0]], confirm=True)
    sql.execute("TRUNCATE let_go")
    sql.execute("DELETE FROM watchlist WHERE video_id = %s", [YOUNG[0]])
    for row in rows:
        sql.execute("INSERT INTO let_go (video_id, state, changed_at) VALUES (%s, %s, %s)", row)
    letting_go.look_after()
    assert scheduled(watchlist, vault) == sorted(EVERYBODY)
    assert watchlist.let_go.among(EVERYBODY) == set()


# Trouble


def test_a_layer_that_cannot_be_looked_into_is_told_and_tried_again(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    key = f"{layout.QUARANTINE}/date=2026-01-30/hour=22/x.part.broken"
    vault._storage.put(key, b"PAR1 and no more")
    with pytest.raises(PermanentError, match=f"{key} .*mend it or delete it") as raised:
        letting_go.decide(State.FORGOTTEN, [YOUNG[0]], confirm=True)
    assert "The janitor tries again every day" in raised.value.message
    assert scheduled(watchlist, vault) == without(YOUNG[0])
    assert len(vault.read_history(YOUNG[0])) == 0
    with pytest.raises(PermanentError, match=key):
        letting_go.look_after()
    vault._storage.delete([key])
    assert letting_go.look_after().message == "1 decision was carried out"
    assert_no_trace(vault, watchlist, YOUNG[0])


def test_while_somebody_seals_it_waits_for_the_janitor(
    letting_go: LettingGo, watchlist: WatchlistHook, vault: ParquetVaultHook
) -> None:
    with (
        vault._storage.lock(layout.HISTORY_LOCK, 1),
        pytest.raises(TransientError, match="the janitor's next run removes"),
    ):
        letting_go.decide(State.FORGOTTEN, [YOUNG[0]], confirm=True)
    assert scheduled(watchlist, vault) == without(YOUNG[0])
    letting_go.look_after()
    assert_no_trace(vault, watchlist, YOUNG[0])
