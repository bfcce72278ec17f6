"""What sources name is never lost, whenever they name it and whatever YouTube answers: whole hunter runs over HTTP."""

from collections import Counter
from datetime import timedelta

import pytest

from answering import Said
from ghost_tracking.core.discovery import Gap
from ghost_tracking.core.sources import parse_source
from ghost_tracking.core.windows import Window
from ghost_tracking.errors import PermanentError, TransientError, YouTubeFaultError
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.tasks import hunter
from hunting import NOW, Hunt, hourly, iso, video

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
CHANNEL, OTHER = "UC" + "a" * 22, "UC" + "b" * 22
PLAYLIST = "PLE7DDD91010BC51F8"
# Metadata that does not come back


def test_an_answer_without_items_puts_what_was_named_on_the_schedule_as_missed(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(30, per_hour=2)}
    hunt.sources({"channel": CHANNEL})
    hunt.run(NOW - 20 * HOUR)
    hunt.tube.spoiled["videos"] = [(200, {"kind": "youtube#videoListResponse"})]
    with pytest.raises(YouTubeFaultError, match="the metadata of 38 videos was missing at once"):
        hunt.run(NOW - HOUR)
    published = {each for each, moment in hunt.tube.uploads[CHANNEL].items() if NOW - 21 * HOUR <= moment < NOW - HOUR}
    assert hunt.scheduled() == published
    missed = hunt.sql.execute("SELECT count(*), max(missed_count) FROM watchlist WHERE first_missed_at IS NOT NULL")
    assert missed.fetchone() == (38, 0)  # none is a step nearer to being called gone
    assert hunt.run(NOW)["new"] == 2


def test_one_video_that_is_gone_already_is_a_miss_that_counts(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(30)}
    hunt.tube.dead = {video(0)}
    hunt.sources({"channel": CHANNEL})
    summary = hunt.run(NOW)
    assert (summary["new"], summary["missing"]) == (1, 1)
    assert "1 new one is missing, to be read again" in summary["message"]
    assert hunt.sql.execute("SELECT video_id, missed_count FROM watchlist").fetchall() == [(video(0), 1)]


def test_a_list_is_not_imported_by_an_answer_without_items(hunt: Hunt) -> None:
    ids = [video(number) for number in range(300)]
    planned = hunter.plan("manual", (None, None), {"list": "\n".join(ids)})
    hunt.tube.spoiled["videos"] = [(200, {"items": []})] * 6
    hunter.import_lists("scheduled", planned["vault"])
    assert hunt.scheduled() == set(ids)


# Listings that name late


def test_what_is_listed_late_or_made_public_late_is_found(hunt: Hunt) -> None:
    first, late, unlisted = video(1, "f"), video(2, "l"), video(3, "u")
    uploads = {first: NOW - 3 * HOUR - timedelta(minutes=30)}
    hunt.tube.uploads = {CHANNEL: uploads}
    hunt.sources({"channel": CHANNEL})
    hunt.run(NOW - 3 * HOUR)
    uploads |= {late: NOW - 3 * HOUR - timedelta(minutes=2), unlisted: NOW - 5 * DAY}
    summary = hunt.run(NOW - 2 * HOUR)
    assert summary["new"] == 2
    assert hunt.scheduled() == {first, late, unlisted}


def test_a_busy_channels_late_video_stands_where_others_are_known(hunt: Hunt) -> None:
    """It was published five days ago, lies on the second page, and what is behind it nobody has ever looked at."""
    videos = hourly(24 * 30, per_hour=2)
    late = NOW - 30 * HOUR
    hunt.tube.uploads = {CHANNEL: {each: moment for each, moment in videos.items() if moment < NOW - DAY}}
    hunt.sources({"channel": CHANNEL})
    hunt.run(NOW - DAY)
    hunt.tube.uploads[CHANNEL] = {
        **{each: moment for each, moment in videos.items() if moment >= late},
        video(1, "l"): late - timedelta(minutes=1),
        **{each: moment for each, moment in videos.items() if moment < late},
    }
    hunt.run(NOW)
    expected = {each for each, moment in videos.items() if NOW - DAY - HOUR <= moment < NOW}
    assert hunt.scheduled() == {*expected, video(1, "l")}


def test_the_past_of_a_new_source_is_not_brought_in(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(200)}
    hunt.tube.playlists = {PLAYLIST: hourly(200, "p")}
    hunt.sources({"channel": CHANNEL}, {"playlist": PLAYLIST})
    for hours in (3, 2, 1, 0):
        hunt.run(NOW - hours * HOUR)
    assert hunt.scheduled() == {video(number, kind) for number in range(4) for kind in "vp"}


def test_an_old_video_that_is_put_onto_a_playlist_is_found_wherever_it_stands(hunt: Hunt) -> None:
    hunt.tube.playlists = {PLAYLIST: hourly(120)}
    hunt.sources({"playlist": PLAYLIST})
    hunt.run(NOW - HOUR)
    listed = list(hunt.tube.playlists[PLAYLIST].items())
    listed[60:60] = [(video(7, "o"), NOW - 900 * DAY)]
    hunt.tube.playlists[PLAYLIST] = {**dict(listed), video(8, "o"): NOW - 800 * DAY}
    hunt.run(NOW)
    assert {video(7, "o"), video(8, "o")} <= hunt.scheduled()
    assert video(100) not in hunt.scheduled()


def test_an_empty_page_is_no_answer(hunt: Hunt) -> None:
    first, second, third = video(1), video(2), video(3)
    hunt.tube.uploads = {CHANNEL: {first: NOW - 3 * HOUR}}
    hunt.sources({"channel": CHANNEL})
    hunt.run(NOW - 2 * HOUR)
    hunt.tube.uploads[CHANNEL][second] = NOW - 90 * timedelta(minutes=1)
    empty = (200, {"pageInfo": {"totalResults": 0}})
    hunt.tube.spoiled["playlistItems"] = [empty]
    assert hunt.run(NOW - HOUR)["new"] == 1  # asked once more in the same run
    hunt.tube.uploads[CHANNEL][third] = NOW - 50 * timedelta(minutes=1)
    hunt.tube.spoiled["playlistItems"] = [empty] * 2
    with pytest.raises(TransientError, match="its listing came back empty, but had 2 videos before"):
        hunt.run(NOW)
    assert hunt.watermark({"channel": CHANNEL}) == NOW - HOUR
    assert hunt.run(NOW)["known"] == 2
    assert hunt.scheduled() == {first, second, third}


def test_an_empty_page_with_another_to_follow_loses_nothing(hunt: Hunt) -> None:
    """After a downtime the first page has what is new; what follows it is the source's past."""
    hunt.tube.uploads = {CHANNEL: hourly(24 * 6)}
    hunt.sources({"channel": CHANNEL})
    hunt.begin({"channel": CHANNEL}, NOW - DAY)
    hunt.tube.spoiled["playlistItems"] = [(200, {"nextPageToken": "50"})] * 4
    with pytest.raises(TransientError, match="a page of its listing stays empty, although another follows"):
        hunt.run(NOW)
    assert hunt.watermark({"channel": CHANNEL}) == NOW - DAY
    hunt.run(NOW)
    assert hunt.scheduled() >= {each for each, moment in hunt.tube.uploads[CHANNEL].items() if moment >= NOW - DAY}


@pytest.mark.parametrize("more", [{}, {"nextPageToken": "50"}])
@pytest.mark.parametrize("times", [1, 3])
def test_a_search_without_an_answer_is_made_again_however_long_it_lasts(
    hunt: Hunt, more: dict[str, str], times: int
) -> None:
    source = {"search": "cats"}
    hunt.tube.searches = {"cats": hourly(24 * 3)}
    hunt.sources(source)
    hunt.begin(source, NOW - 3 * DAY)
    hunt.tube.spoiled["search"] = [(200, {"items": []} | more)] * times
    for number in range(times):
        hunt.run(NOW - (times - number) * HOUR)
        assert hunt.watermark(source) == NOW - 3 * DAY
    with WatchlistHook() as watchlist:
        key = parse_source(source).key
        assert watchlist.watermarks.asked_until([key]) == {key: NOW - HOUR}, (
            "nobody is alerted of a search that finds nothing"
        )
    hunt.run(NOW)
    hunt.run(NOW, "manual")  # what the first one's pages did not hold
    assert len(hunt.scheduled()) == 72
    assert hunt.watermark(source) >= NOW


@pytest.mark.parametrize("taken_out", [range(50), range(10, 40), range(49, 50)])
def test_a_page_that_lacks_videos_is_asked_for_again(hunt: Hunt, taken_out: range) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(24 * 9)}
    hunt.sources({"channel": CHANNEL})
    hunt.begin({"channel": CHANNEL}, NOW - 9 * DAY)
    whole = list(hunt.tube.uploads[CHANNEL].items())
    page = [
        {"contentDetails": {"videoId": each, "videoPublishedAt": iso(moment)}}
        for place, (each, moment) in enumerate(whole[:50])
        if place not in taken_out
    ]
    hunt.tube.spoiled["playlistItems"] = [(200, {"items": page, "nextPageToken": "50"})]
    hunt.run(NOW)
    assert hunt.scheduled() == set(hunt.tube.uploads[CHANNEL])


# Catching up


def test_a_channel_is_read_back_to_its_watermark_whatever_it_takes(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(24 * 40), OTHER: hourly(24 * 30, "o", per_hour=6)}
    hunt.sources({"channel": CHANNEL}, {"channel": OTHER, "pages": 1})
    hunt.begin({"channel": CHANNEL}, NOW - 30 * DAY)
    hunt.begin({"channel": OTHER}, NOW - 20 * DAY)
    hunt.run(NOW)
    published = {each for each, moment in hunt.tube.uploads[CHANNEL].items() if moment >= NOW - 30 * DAY}
    published |= {each for each, moment in hunt.tube.uploads[OTHER].items() if moment >= NOW - 20 * DAY}
    assert hunt.scheduled() >= published
    assert hunt.watermark({"channel": CHANNEL}) == hunt.watermark({"channel": OTHER}) == NOW


def test_quota_that_ends_in_the_middle_keeps_the_watermark_and_what_was_found(hunt: Hunt) -> None:
    hunt.settings(quota_general=4)
    hunt.tube.uploads = {CHANNEL: hourly(24 * 20)}
    hunt.sources({"channel": CHANNEL})
    hunt.begin({"channel": CHANNEL}, NOW - 10 * DAY)
    summary = hunt.run(NOW)
    assert "quota is used up" in summary["failed"][0]
    assert hunt.watermark({"channel": CHANNEL}) == NOW - 10 * DAY
    hunt.settings()
    hunt.run(NOW)
    published = {each for each, moment in hunt.tube.uploads[CHANNEL].items() if moment >= NOW - 10 * DAY}
    assert hunt.scheduled() >= published


def test_a_search_catches_up_run_by_run_and_loses_nothing(hunt: Hunt) -> None:
    hunt.settings(quota_search=100)
    hunt.tube.searches = {"x": hourly(24 * 12, per_hour=6)}
    hunt.sources({"search": "x"})
    hunt.begin({"search": "x"}, NOW - 9 * DAY - HOUR)
    for _ in range(12):
        summary = hunt.run(NOW)
        hunt.sql.execute("DELETE FROM quota_ledger")  # Pacific midnight
    published = {each for each, moment in hunt.tube.searches["x"].items() if moment >= NOW - 9 * DAY}
    assert hunt.scheduled() >= published
    assert hunt.watermark({"search": "x"}) == NOW
    assert summary["gaps"] == []
    assert hunt.calls("search") < 40  # 1,296 videos are 26 pages


def test_the_newest_of_a_search_come_first_and_what_is_older_later(hunt: Hunt) -> None:
    hunt.tube.searches = {"x": hourly(100, per_hour=10)}
    hunt.sources({"search": "x", "pages": 2})
    hunt.begin({"search": "x"}, NOW - 50 * HOUR)
    hunt.settings(quota_search=2)
    hunt.run(NOW, "manual", window_start=None)  # somebody's: half of what is left
    assert hunt.scheduled() >= {video(0), video(1)}
    assert hunt.watermark({"search": "x"}) == NOW - 50 * HOUR


def test_what_a_search_cannot_have_any_more_is_said_by_name_and_hour(hunt: Hunt) -> None:
    hunt.settings(hunter_catch_up_days=2)
    hunt.tube.searches = {"x": hourly(100)}
    hunt.sources({"search": "x"})
    hunt.begin({"search": "x"}, NOW - 4 * DAY)
    summary = hunt.run(NOW)
    gone = f"search x, {NOW - 4 * DAY:%Y-%m-%d %H:%M} to {NOW - 2 * DAY:%Y-%m-%d %H:%M} UTC: searches do not go back"
    assert gone in summary["gaps"][0]
    assert "1 window was not read completely: search x, " in summary["message"]
    with WatchlistHook() as watchlist:
        (gap,) = watchlist.watermarks.gaps()
    reason = "searches do not go back that far"
    assert gap == Gap(parse_source({"search": "x"}).key, "search x", Window(NOW - 4 * DAY, NOW - 2 * DAY), reason)
    assert hunt.run(NOW)["gaps"] == []


def test_a_playlist_that_is_longer_than_its_pages_is_said(hunt: Hunt) -> None:
    hunt.tube.playlists = {PLAYLIST: hourly(120)}
    hunt.sources({"playlist": PLAYLIST, "pages": 1})
    assert "it has more than the 1 page that the source allows" in hunt.run(NOW)["gaps"][0]


def test_every_search_has_its_turn(hunt: Hunt) -> None:
    names = [f"topic{number:02d}" for number in range(40)]
    hunt.tube.searches = {name: hourly(24 * 5, f"t{number:02d}", per_hour=8) for number, name in enumerate(names)}
    hunt.sources(*({"search": name} for name in names))
    hunt.settings(quota_search=14)
    asked: Counter[str] = Counter()
    search = hunt.tube._search

    def counting(query: dict[str, str]) -> Said:
        asked[query["q"]] += 1
        return search(query)

    hunt.monkeypatch.setattr(hunt.tube, "_search", counting)
    assert "33 searches wait for later runs" in hunt.run(NOW, "manual")["message"]  # it may send half of the calls
    for _ in range(11):
        hunt.sql.execute("DELETE FROM quota_ledger")
        hunt.run(NOW, "manual")
    assert sorted(asked) == names
    assert max(asked.values()) - min(asked.values()) <= 2


# What costs too much


def test_settled_videos_of_a_standing_source_are_asked_for_once(hunt: Hunt) -> None:
    ids = [video(number, "s") for number in range(200)]
    hunt.tube.playlists = {PLAYLIST: dict.fromkeys([video(n, "q") for n in range(100)], NOW - 900 * DAY)}
    hunt.tube.uploads = {"old": dict.fromkeys(ids, NOW - 900 * DAY)}
    hunt.sources({"videos": ids}, {"playlist": PLAYLIST, "every": True})
    for hours in (3, 2, 1):
        hunt.run(NOW - hours * HOUR)
    assert len(hunt.scheduled()) == 300
    assert set(hunt.tube.asked.values()) == {1}
    assert hunt.calls("videos") == 6


def test_a_restored_databases_sources_bring_their_videos_again(hunt: Hunt) -> None:
    """What the vault remembers of a source says nothing of another database."""
    ids = [video(number, "s") for number in range(20)]
    hunt.tube.uploads = {"old": dict.fromkeys(ids, NOW - 900 * DAY)}
    hunt.sources({"videos": ids})
    hunt.run(NOW - HOUR)
    hunt.sql.execute("TRUNCATE watchlist, roster, sync_token")
    hunt.run(NOW)
    assert hunt.scheduled() == set(ids)


def test_the_runs_of_a_backfill_share_one_reading(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(24 * 60, per_hour=2)}
    hunt.sources({"channel": CHANNEL})
    day = NOW - 20 * DAY
    for hour in range(1, 25):
        hunt.run(day + hour * HOUR, "backfill")
    published = {each for each, moment in hunt.tube.uploads[CHANNEL].items() if day <= moment < day + DAY}
    assert hunt.scheduled() == published
    assert hunt.calls("playlistItems") <= 22  # twenty days are twenty pages


def test_a_backfill_that_runs_backwards_goes_on_where_it_was(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(24 * 60, per_hour=2)}
    hunt.sources({"channel": CHANNEL})
    day = NOW - 20 * DAY
    for hour in range(24, 0, -1):
        hunt.run(day + hour * HOUR, "backfill")
    published = {each for each, moment in hunt.tube.uploads[CHANNEL].items() if day <= moment < day + DAY}
    assert hunt.scheduled() == published
    assert hunt.calls("playlistItems") <= 50


# A channel's past


def test_every_video_of_a_channel_comes_in_at_the_pace_of_the_quota(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(24 * 30)}
    hunt.sources({"channel": CHANNEL, "every": True})
    hunt.settings(quota_general=12, quota_statistics=0, quota_hunter_holdback=0, import_videos_a_run=200)
    seen, waiting = [], []
    for hours in range(8, 0, -1):
        interval = (NOW - (hours + 1) * HOUR, NOW - hours * HOUR)
        planned = hunter.plan("scheduled", interval, {})
        for batch in planned["batches"]:
            hunter.hunt(batch, "scheduled", interval, {}, lambda _: None)
        hunt.sql.execute("DELETE FROM quota_ledger")
        hunter.import_lists("scheduled", planned["vault"])
        hunt.sql.execute("DELETE FROM quota_ledger")
        seen.append(len(hunt.scheduled()))
        waiting.append(sum(status.ids for status in hunt.vault.import_queue.lists()))
    assert hunt.scheduled() == set(hunt.tube.uploads[CHANNEL])
    assert waiting[0] < waiting[-1]  # its pages took more than one run, with twelve calls each
    assert seen == sorted(seen)
    assert seen[0] < seen[1] < seen[2] < seen[3]
    (status,) = hunt.vault.import_queue.lists()
    assert (status.name, status.imported) == (f"past-of-{CHANNEL}", status.ids)
    before = hunt.calls("playlistItems")
    hunt.run(NOW)
    assert hunt.calls("playlistItems") - before <= 2  # the past is read once


def test_a_channels_past_can_be_wished_for_later(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(40)}
    hunt.sources({"channel": CHANNEL})
    hunt.run(NOW - HOUR)
    assert len(hunt.scheduled()) == 1
    hunt.sources({"channel": CHANNEL, "every": True})
    planned = hunter.plan("scheduled", (NOW - HOUR, NOW), {})
    hunter.hunt(planned["batches"][0], "scheduled", (NOW - HOUR, NOW), {}, lambda _: None)
    hunter.import_lists("scheduled", planned["vault"])
    assert hunt.scheduled() == set(hunt.tube.uploads[CHANNEL])


# Runs


def test_a_run_all_of_whose_sources_fail_is_red(hunt: Hunt) -> None:
    hunt.sources({"channel": CHANNEL}, {"channel": OTHER})
    hunt.tube.uploads = {}
    with pytest.raises(PermanentError, match="every source of the run failed"):
        hunt.run(NOW)


def test_every_failed_source_is_counted_though_only_some_are_named(hunt: Hunt) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(2)}
    gone = [{"channel": f"UC{number:022}"} for number in range(12)]
    hunt.settings(hunter_parallel_tasks=1)
    hunt.sources({"channel": CHANNEL}, *gone)
    summary = hunt.run(NOW)
    assert summary["lost_sources"] == len(gone)
    assert "12 sources failed." in summary["message"]
    assert len(summary["failed"]) == 10


def test_an_alert_is_sent_where_a_watermark_is_a_day_old(hunt: Hunt, caplog: pytest.LogCaptureFixture) -> None:
    hunt.tube.uploads = {CHANNEL: hourly(40)}
    hunt.sources({"channel": CHANNEL}, {"channel": OTHER})
    hunt.run(NOW - 30 * HOUR)
    caplog.clear()
    hunt.run(NOW)
    told = [each for each in caplog.messages if each.startswith("Alert (watermark)")]
    assert len(told) == 1
    assert f"channel {OTHER} since" in told[0]
