"""The YouTube hook: the real Google client against a real HTTP server, with everything that can go wrong."""

import logging
import socketserver
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta

import pytest
from airflow.sdk import Connection

from answering import Said, answering, items, refusal
from connections import CANARY, youtube_at
from ghost_tracking.core.budgets import Bucket, CallBudget
from ghost_tracking.core.videos import Page, Reading
from ghost_tracking.errors import (
    CallRejectedError,
    ConfigurationError,
    GhostTrackingError,
    NotFoundError,
    ProjectRefusedError,
    QuotaExhaustedError,
    RateLimitedError,
    TransientError,
    YouTubeFaultError,
    YouTubeKeyError,
)
from ghost_tracking.hooks.youtube import YouTubeHook
from ghost_tracking.youtube import ApiCalls, BatchResult, Endpoint
from ghost_tracking.youtube.batching import Batching
from ghost_tracking.youtube.rounds import Round
from ghost_tracking.youtube.transport import Transport
from youtube_simulator import SimulatorServer

STATS, LIST = "videos.batchGetStats", "videos.list"


def some_ids(server: SimulatorServer, number: int, *, alive: bool = True) -> list[str]:
    world, now = server.simulator.world, server.simulator.clock.now()
    videos = [v for v in world.newest(now, now - timedelta(days=9)) if world.available(v, now) or not alive]
    return [video.id for video in videos[:number]]


@pytest.fixture
def ids(server: SimulatorServer) -> list[str]:
    return some_ids(server, 120)


def calls(server: SimulatorServer) -> dict[str, int]:
    return server.simulator.journal.counts()["endpoint"]


def test_counts_are_what_was_served_stamped_with_the_whole_second(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str]
) -> None:
    server.simulator.clock.freeze()
    answer = youtube.statistics(ids)
    assert set(answer.found) == set(ids)
    assert not (answer.missing)
    assert not (answer.malformed)
    assert not (answer.unconfirmed)
    assert not (answer.pending)
    assert not (answer.failures)
    served = {reading.video_id: reading for reading in server.simulator.journal.readings()}
    for video_id, reading in answer.found.items():
        expected = served[video_id]
        assert (reading.views, reading.likes, reading.comments) == (expected.views, expected.likes, expected.comments)
        assert reading.uploaded_at == expected.published_at
        assert reading.published_at is None
        assert reading.observed_at.microsecond == 0
        assert abs(reading.observed_at - datetime.now(UTC)) < timedelta(seconds=5)
    assert calls(server) == {STATS: 3}
    assert server.simulator.journal.counts()["key_place"] == {"header": 3}


def test_hidden_counts_are_null_and_never_zero(youtube: YouTubeHook, server: SimulatorServer) -> None:
    found = youtube.statistics(some_ids(server, 2000)).found.values()
    assert 0 < sum(reading.likes is None for reading in found) < len(found) * 0.1
    assert 0 < sum(reading.comments is None for reading in found) < len(found) * 0.1


def test_only_what_videos_list_lacks_too_is_missing(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str]
) -> None:
    server.simulator.world.delete(ids[:3])
    server.simulator.faults.add("share_missing", endpoint=STATS, share=0.3)
    answer = youtube.statistics(ids)
    assert answer.missing == set(ids[:3])
    assert set(answer.found) == set(ids[3:])


def test_a_whole_batch_missing_from_one_endpoint_is_read_from_the_other(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str]
) -> None:
    server.simulator.faults.add("batch_missing", endpoint=STATS, count=1)
    server.simulator.quirks.omit_empty_items = True
    answer = youtube.statistics(ids[:50])
    assert set(answer.found) == set(ids[:50])
    assert calls(server) == {STATS: 1, LIST: 1}


def test_what_is_known_to_be_gone_costs_no_second_call(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str]
) -> None:
    server.simulator.world.delete(ids[:1])
    assert youtube.statistics(ids[:10], gone=ids[:1]).missing == {ids[0]}
    assert calls(server) == {STATS: 1}


def test_the_overflow_goes_to_videos_list(server: SimulatorServer, ids: list[str]) -> None:
    budget = CallBudget({Bucket.STATISTICS: 1, Bucket.GENERAL: 5})
    youtube = YouTubeHook(connection=youtube_at(server), budget=budget, threads=1)
    assert set(youtube.statistics(ids).found) == set(ids)
    assert calls(server) == {STATS: 1, LIST: 2}
    assert budget.left == {Bucket.GENERAL: 3}
    youtube.close()


def test_a_bucket_that_empties_in_the_middle_leaves_the_rest_unanswered(
    server: SimulatorServer, ids: list[str]
) -> None:
    server.simulator.faults.add("bucket_empties", endpoint=STATS, skip=1)
    budget = CallBudget({Bucket.STATISTICS: 10})
    youtube = YouTubeHook(connection=youtube_at(server), budget=budget, threads=1)
    answer = youtube.statistics(ids)
    assert len(answer.found) == 50
    assert len(answer.pending) == 70
    assert all(isinstance(failure, QuotaExhaustedError) for failure in answer.failures)
    assert budget.exhausted == {Bucket.STATISTICS}
    assert calls(server)[STATS] == 2  # no retries: the first refusal settles it
    youtube.close()


def test_an_empty_budget_sends_nothing(server: SimulatorServer, ids: list[str]) -> None:
    youtube = YouTubeHook(connection=youtube_at(server), budget=CallBudget())
    answer = youtube.statistics(ids)
    assert answer.pending == set(ids)
    assert calls(server) == {}
    youtube.close()


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "http_error", "status": 500},
        {"kind": "http_error", "status": 503},
        {"kind": "html_ok"},
        {"kind": "html_bad_gateway"},
        {"kind": "truncated_json"},
        {"kind": "not_an_object"},
        {"kind": "reset"},
        {"kind": "rate_limited", "retry_after": 0.1},
        {"kind": "user_rate_limited", "status": 403},
        {"kind": "malformed_item", "form": "foreign_id"},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)
def test_what_fails_in_passing_is_asked_again_and_paid_again(
    server: SimulatorServer, ids: list[str], fault: dict
) -> None:
    server.simulator.faults.add(**fault, endpoint=STATS, count=1)
    budget = CallBudget({Bucket.STATISTICS: 10, Bucket.GENERAL: 10})
    youtube = YouTubeHook(connection=youtube_at(server), budget=budget, threads=1, timeout=5)
    answer = youtube.statistics(ids[:50])
    assert set(answer.found) == set(ids[:50])
    assert budget.spent[Bucket.STATISTICS] == calls(server)[STATS] == 2
    youtube.close()


def test_what_goes_on_failing_is_reported_and_stops_no_other_call(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str]
) -> None:
    server.simulator.faults.add("rate_limited", video_id=ids[0], retry_after=0.1)
    answer = youtube.statistics(ids)
    assert len(answer.found) == 70
    assert answer.pending == answer.failed == set(ids[:50])
    assert isinstance(answer.failures[0], RateLimitedError)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "http_error", "status": 503},
        {"kind": "malformed_item", "form": "foreign_id"},
        {"kind": "html_ok"},
        {"kind": "truncated_json"},
        {"kind": "reset"},
    ],
    ids=lambda fault: "-".join(str(value) for value in fault.values()),
)
def test_one_id_that_makes_calls_fail_costs_itself(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str], fault: dict
) -> None:
    server.simulator.faults.add(**fault, video_id=ids[17])
    answer = youtube.statistics(ids)
    assert set(answer.faulty) == {ids[17]}
    assert set(answer.found) == set(ids) - {ids[17]}
    assert not answer.failures
    assert calls(server)[STATS] <= 20
    assert set(youtube.metadata(ids).faulty) == {ids[17]}


def test_one_bad_id_is_found_in_a_call_that_is_alone(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str]
) -> None:
    server.simulator.faults.add("http_error", status=500, video_id=ids[3])
    answer = youtube.statistics(ids[:50])
    assert set(answer.faulty) == {ids[3]}
    assert len(answer.found) == 49


def test_suspects_are_asked_for_in_calls_of_their_own(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str]
) -> None:
    server.simulator.faults.add("http_error", status=500, video_id=ids[3])
    answer = youtube.statistics(ids[:60], suspect=ids[3:5])
    assert set(answer.faulty) == {ids[3]}
    assert len(answer.found) == 59
    assert calls(server)[STATS] <= 2 + 4 + 2


@pytest.mark.parametrize("threads", [1, 4])
def test_an_outage_costs_a_few_calls(server: SimulatorServer, threads: int) -> None:
    ids = some_ids(server, 2000)
    server.simulator.faults.add("http_error", status=503)
    youtube = YouTubeHook(connection=youtube_at(server), threads=threads)
    answer = youtube.statistics(ids)
    assert answer.pending == set(ids)
    assert 50 <= len(answer.failed) <= 400
    assert not answer.faulty
    assert answer.failures
    assert calls(server)[STATS] <= 7 + threads
    youtube.close()


def test_an_outage_that_begins_in_the_middle_of_a_round_blames_no_id(server: SimulatorServer) -> None:
    ids = some_ids(server, 2000)
    server.simulator.faults.add("http_error", status=503, skip=5)
    youtube = YouTubeHook(connection=youtube_at(server), threads=2)
    answer = youtube.statistics(ids)
    assert len(answer.found) == 250
    assert answer.pending == answer.failed == set(ids) - set(answer.found)
    assert not answer.faulty
    assert calls(server)[STATS] <= 70
    youtube.close()


def test_bad_ids_that_lie_together_hide_no_healthy_ones(server: SimulatorServer) -> None:
    ids = some_ids(server, 800)
    for video_id in ids[:400:25]:
        server.simulator.faults.add("http_error", status=503, video_id=video_id)
    youtube = YouTubeHook(connection=youtube_at(server), threads=4)
    answer = youtube.statistics(ids)
    assert answer.found.keys() >= set(ids[400:])
    assert answer.faulty.keys() <= set(ids[:400:25])
    youtube.close()


def test_a_project_that_is_refused_ends_the_round_and_cuts_nothing_in_halves() -> None:
    said = refusal(403, "forbidden", "Project has been deleted.", status="PERMISSION_DENIED")
    with answering(lambda _, __: said) as server:
        youtube = YouTubeHook(connection=server.connection, threads=1)
        with pytest.raises(ProjectRefusedError, match="Project has been deleted"):
            youtube.statistics([f"video{number:06d}" for number in range(500)])
        assert len(server.calls) <= 3
        with pytest.raises(ProjectRefusedError):
            youtube.metadata([f"video{number:06d}" for number in range(500)])
        assert len(server.calls) <= 4
        youtube.close()


def test_a_source_that_is_closed_to_us_is_not_the_project() -> None:
    with answering(lambda _, __: refusal(403, "playlistItemsNotAccessible")) as server:
        youtube = YouTubeHook(connection=server.connection)
        with pytest.raises(NotFoundError):
            youtube.playlist("PL1")
        youtube.close()


BATCH_REFUSED = {
    "404 html": (404, b"<html><title>Error 404 (Not Found)!!1</title></html>"),
    "404": refusal(404, "notFound", "Method not found."),
    "403 scope": refusal(403, "insufficientPermissions", "Request had insufficient authentication scopes."),
    "401": refusal(401, "required", "API keys are not supported by this API. Expected OAuth2 access token"),
    "501": refusal(501, "notImplemented"),
    "403 html": (403, b"<html>Sorry</html>"),
}


@pytest.mark.parametrize("said", BATCH_REFUSED.values(), ids=BATCH_REFUSED)
def test_videos_list_serves_where_batch_get_stats_is_refused(said: Said) -> None:
    ids = [f"video{number:06d}" for number in range(500)]
    with answering(lambda endpoint, ids: said if endpoint == "videos:batchGetStats" else items(ids)) as server:
        budget = CallBudget({Bucket.STATISTICS: 20, Bucket.GENERAL: 20})
        youtube = YouTubeHook(connection=server.connection, budget=budget, threads=2)
        answer = youtube.statistics(ids)
        assert set(answer.found) == set(ids)
        assert not answer.failures
        assert list(budget.refused) == [Bucket.STATISTICS]
        assert "batchGetStats" in budget.refused[Bucket.STATISTICS]
        assert server.count("videos:batchGetStats") <= 4
        assert server.count("videos") == 10
        youtube.close()


def test_one_refusal_of_batch_get_stats_may_be_a_slip() -> None:
    with answering(lambda _, ids: items(ids) if len(server.calls) > 1 else BATCH_REFUSED["404"]) as server:
        budget = CallBudget({Bucket.STATISTICS: 20, Bucket.GENERAL: 20})
        youtube = YouTubeHook(connection=server.connection, budget=budget)
        assert youtube.statistics(["aaaaaaaaaaA"]).found
        assert not budget.refused
        youtube.close()


def test_where_videos_list_is_refused_too_that_is_the_error() -> None:
    said = refusal(401, "required", "Expected OAuth2 access token")
    with answering(lambda _, __: said) as server:
        youtube = YouTubeHook(connection=server.connection, threads=1)
        with pytest.raises(YouTubeKeyError):
            youtube.statistics(["aaaaaaaaaaA"])
        youtube.close()


def test_no_message_of_youtubes_brings_the_key_along() -> None:
    said = refusal(403, "forbidden", f"Permission denied: Consumer 'api_key:{CANARY}' has no rights")
    with answering(lambda _, __: said) as server:
        youtube = YouTubeHook(connection=server.connection, threads=1)
        with pytest.raises(ProjectRefusedError, match="has no rights") as caught:
            youtube.metadata(["aaaaaaaaaaA"])
        assert CANARY not in "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        youtube.close()


@pytest.mark.parametrize("body", [b'{"items": ' + b"[" * 100_000, b'{"items": ' + b"9" * 5000 + b"}"])
def test_a_body_that_no_parser_takes_is_a_fault_of_youtube(body: bytes) -> None:
    with answering(lambda _, __: (200, body)) as server:
        youtube = YouTubeHook(connection=server.connection, threads=1)
        assert isinstance(youtube.metadata(["aaaaaaaaaaA"]).failures[0], YouTubeFaultError)
        youtube.close()


def test_first_readings_bring_publish_time_and_metadata(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str]
) -> None:
    answer = youtube.statistics(ids[:60], unknown=ids[:10])
    assert set(answer.found) == set(ids[:60])
    assert set(answer.videos) == set(ids[:10])
    assert all((reading.published_at is not None) == (id_ in ids[:10]) for id_, reading in answer.found.items())
    assert calls(server) == {STATS: 1, LIST: 1}


def test_without_general_quota_first_readings_are_counts_only(server: SimulatorServer, ids: list[str]) -> None:
    youtube = YouTubeHook(connection=youtube_at(server), budget=CallBudget({Bucket.STATISTICS: 5}))
    answer = youtube.statistics(ids[:10], unknown=ids[:10])
    assert set(answer.found) == set(ids[:10])
    assert calls(server) == {STATS: 1}
    youtube.close()


def test_what_no_quota_is_left_to_confirm_is_unconfirmed(server: SimulatorServer, ids: list[str]) -> None:
    server.simulator.world.delete(ids[:3])
    youtube = YouTubeHook(connection=youtube_at(server), budget=CallBudget({Bucket.STATISTICS: 5}))
    answer = youtube.statistics(ids[:10])
    assert answer.unconfirmed == set(ids[:3])
    assert not answer.missing | answer.pending
    youtube.close()


def test_retry_after_is_obeyed(youtube: YouTubeHook, server: SimulatorServer, ids: list[str]) -> None:
    server.simulator.faults.add("rate_limited", retry_after=1.5, count=1)
    started = time.monotonic()
    assert youtube.statistics(ids[:5]).found
    assert time.monotonic() - started >= 1.5


def test_a_server_that_never_answers_is_given_up_at_the_deadline(server: SimulatorServer, ids: list[str]) -> None:
    server.simulator.faults.add("hang", video_id=ids[0])
    youtube = YouTubeHook(connection=youtube_at(server), threads=2, timeout=60)
    started = time.monotonic()
    answer = youtube.statistics(ids, within=timedelta(seconds=1.5))
    assert time.monotonic() - started < 10
    assert answer.pending == set(ids[:50])
    assert len(answer.found) == 70
    server.simulator.faults.clear()
    assert len(youtube.statistics(ids).found) == 120  # and the hook works on
    youtube.close()


def test_nothing_is_sent_and_nothing_paid_once_the_time_is_over(
    server: SimulatorServer, ids: list[str], pauses: None
) -> None:
    server.simulator.faults.add("http_error", status=503)
    budget = CallBudget({Bucket.STATISTICS: 50, Bucket.GENERAL: 50})
    youtube = YouTubeHook(connection=youtube_at(server), budget=budget, threads=3)
    answer = youtube.statistics(ids, within=timedelta(seconds=1))
    assert answer.pending == set(ids)
    spent = sum(budget.spent.values())
    time.sleep(3)
    assert sum(budget.spent.values()) == spent == sum(calls(server).values())
    assert not [each for each in threading.enumerate() if each.name.startswith("youtube_")]
    youtube.close()


def test_a_premiere_that_was_added_by_its_id_is_looked_at_twice(youtube: YouTubeHook, server: SimulatorServer) -> None:
    upcoming = [v.id for v in youtube.metadata(some_ids(server, 3000)).found.values() if v.reading.awaits_start]
    assert not youtube.statistics(upcoming[:1]).found[upcoming[0]].awaits_start
    assert youtube.statistics(upcoming[:1], unknown=upcoming[:1]).found[upcoming[0]].awaits_start


@pytest.mark.parametrize("form", ["text_count", "negative_count", "bad_publish_time"])
def test_one_odd_field_is_not_known_and_costs_no_reading(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str], form: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.simulator.faults.add("malformed_item", form=form, video_id=ids[3])
    answer = youtube.statistics(ids)
    assert len(answer.found) == 120
    odd = answer.found[ids[3]]
    assert (odd.uploaded_at if form == "bad_publish_time" else odd.views) is None
    assert [record.levelname for record in caplog.records if "values that cannot be" in record.message] == ["WARNING"]


@pytest.mark.parametrize("form", ["no_id", "not_an_object"])
def test_an_item_that_is_nobodys_is_looked_for_again(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str], form: str
) -> None:
    server.simulator.faults.add("malformed_item", form=form, video_id=ids[3], endpoint=STATS)
    assert set(youtube.statistics(ids).found) == set(ids)


def test_a_rejected_call_is_cut_down_to_the_bad_id(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str]
) -> None:
    server.simulator.faults.add("poison", video_id=ids[17])
    answer = youtube.statistics(ids)
    assert set(answer.faulty) == {ids[17]}
    assert len(answer.found) == 119
    assert calls(server)[STATS] < 20


@pytest.mark.parametrize("kind", ["api_key_invalid", "key_invalid", "key_blocked", "access_not_configured"])
def test_a_bad_key_fails_at_once_and_names_the_connection(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str], kind: str
) -> None:
    server.simulator.faults.add(kind)
    with pytest.raises(YouTubeKeyError, match="youtube_default"):
        youtube.statistics(ids[:50])
    assert sum(calls(server).values()) == 1


def test_a_wrong_key_and_none_at_all(server: SimulatorServer, ids: list[str]) -> None:
    with pytest.raises(YouTubeKeyError, match="youtube_default"):
        YouTubeHook(connection=youtube_at(server, password="wrong")).statistics(ids)
    with pytest.raises(ConfigurationError, match="no password"):
        YouTubeHook(connection=youtube_at(server, password="")).statistics(ids)


def test_the_key_may_travel_in_the_url_where_a_proxy_drops_headers(server: SimulatorServer, ids: list[str]) -> None:
    youtube = YouTubeHook(connection=youtube_at(server, extra='{"key_in": "query"}'))
    assert youtube.statistics(ids[:5]).found
    assert server.simulator.journal.counts()["key_place"] == {"query": 1}
    youtube.close()


def test_the_key_appears_in_no_error_and_no_log(
    server: SimulatorServer, ids: list[str], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    passing = ["http_error", "html_ok", "reset"]
    final = ["api_key_invalid", "daily_limit", "poison"]
    for key_in, kinds in (("header", [*passing, *final]), ("query", ["http_error", *final])):
        youtube = YouTubeHook(connection=youtube_at(server, extra=f'{{"key_in": "{key_in}"}}'))
        for kind in kinds:
            server.simulator.faults.clear()
            server.simulator.faults.add(kind, **({"video_id": ids[0]} if kind == "poison" else {}))
            try:
                said = str(youtube.statistics(ids[:3]))
            except GhostTrackingError as error:
                said = "".join(traceback.format_exception(error)) + repr(error) + repr(error.__context__)
            assert CANARY not in said
        assert CANARY not in repr(youtube)
        youtube.close()
    assert "batchGetStats" in caplog.text  # the Google client logs its URLs
    assert CANARY not in caplog.text
    out, err = capfd.readouterr()
    assert CANARY not in out + err


def test_who_connects_again_after_the_end_leaves_no_connection_open(server: SimulatorServer) -> None:
    transport = Transport("key", 1)
    late = transport._connection_types["http"]("127.0.0.1", server.port)
    transport.abort()
    transport.close()
    late.connect()  # as httplib2 does in a thread that finds its connection broken
    with pytest.raises(ConnectionAbortedError):
        late.request("GET", "/")
    assert late.sock is None


def test_a_redirect_takes_the_key_nowhere(server: SimulatorServer) -> None:
    assert Transport("key", 1).follow_redirects is False


def test_metadata_comes_with_the_first_reading(youtube: YouTubeHook, server: SimulatorServer, ids: list[str]) -> None:
    server.simulator.quirks.fractions = True
    answer = youtube.metadata(ids)
    assert set(answer.found) == set(ids)
    video = answer.found[ids[0]]
    expected = server.simulator.world.find(ids[0])
    assert video.title == expected.title
    assert video.published_at == server.simulator.world.published_at(expected)
    assert video.channel_id.startswith("UC")
    assert video.duration > timedelta(0)
    assert video.reading.views is not None


def test_a_premiere_tells_when_it_starts_only_to_videos_list(youtube: YouTubeHook, server: SimulatorServer) -> None:
    candidates = some_ids(server, 3000)
    upcoming = {v.id: v.reading for v in youtube.metadata(candidates).found.values() if v.reading.awaits_start}
    assert upcoming, "the universe has premieres that have not started"
    video_id, told = max(upcoming.items(), key=lambda each: each[1].starts_at)  # some are late, and start any moment
    reading = youtube.statistics([video_id], upcoming=[video_id]).found[video_id]
    assert reading.awaits_start
    assert reading.starts_at == told.starts_at > datetime.now(UTC)


def published(server: SimulatorServer, after: datetime, before: datetime, channel: str | None = None) -> set[str]:
    world, now = server.simulator.world, server.simulator.clock.now()
    return {v.id for v in world.published(after, before, channel) if world.available(v, now)}


@pytest.fixture
def window(server: SimulatorServer) -> tuple[datetime, datetime]:
    end = server.simulator.clock.now().replace(minute=0, second=0, microsecond=0)
    return end - timedelta(hours=36), end


def busiest(server: SimulatorServer, window: tuple[datetime, datetime]) -> str:
    return max(server.simulator.world.channel_ids(), key=lambda each: len(published(server, *window, each)))


@pytest.mark.parametrize("disorder", [False, True])
def test_uploads_of_a_window(youtube: YouTubeHook, server: SimulatorServer, window: tuple, disorder: bool) -> None:
    channel = busiest(server, window)
    server.simulator.quirks.uploads_disorder = disorder
    assert {each.video_id for each in youtube.uploads(channel, *window)} >= published(server, *window, channel)
    assert all(window[0] <= each.published_at < window[1] for each in youtube.uploads(channel, *window))


def test_uploads_of_a_handle(youtube: YouTubeHook, server: SimulatorServer, window: tuple) -> None:
    channel = server.simulator.world.channel(busiest(server, window))
    by_handle = youtube.uploads(f"@{channel.handle}", *window)
    assert by_handle == youtube.uploads(channel.id, *window)


def test_an_hour_of_uploads_takes_one_or_two_calls(
    youtube: YouTubeHook, server: SimulatorServer, window: tuple
) -> None:
    youtube.uploads(busiest(server, window), window[1] - timedelta(hours=1), window[1])
    assert calls(server)["playlistItems.list"] <= 2


def test_a_channel_or_playlist_that_is_gone_is_not_found(youtube: YouTubeHook, window: tuple) -> None:
    with pytest.raises(NotFoundError):
        youtube.uploads("UC" + "x" * 22, *window)
    with pytest.raises(NotFoundError):
        youtube.playlist("PLx_this_is_no_playlist")


def test_a_playlist_whole_and_by_window(youtube: YouTubeHook, server: SimulatorServer, window: tuple) -> None:
    playlist = server.simulator.world.playlist_ids()[0]
    everything = youtube.playlist(playlist)
    assert len({each.video_id for each in everything}) == len(everything) > 0
    some = youtube.playlist(playlist, *window)
    assert {e.video_id for e in some} == {e.video_id for e in everything if window[0] <= e.published_at < window[1]}


@pytest.mark.parametrize("repeats", [False, True])
def test_a_search_ends_where_its_pages_repeat(
    youtube: YouTubeHook, server: SimulatorServer, window: tuple, repeats: bool
) -> None:
    server.simulator.quirks.search_repeats = repeats
    start = window[1] - timedelta(hours=2)
    found = youtube.search(start, window[1], pages=20)
    assert {each.video_id for each in found} == published(server, start, window[1])
    assert calls(server)["search.list"] <= 5


def test_the_search_bucket_ends_with_an_answer_of_its_own(server: SimulatorServer, window: tuple) -> None:
    from youtube_simulator import Bucket as SimulatedBucket

    server.simulator.quota.set_limit(SimulatedBucket.SEARCH, 0)
    budget = CallBudget({Bucket.SEARCH: 5})
    youtube = YouTubeHook(connection=youtube_at(server), budget=budget)
    with pytest.raises(QuotaExhaustedError, match="search"):
        youtube.search(*window)
    assert budget.spent[Bucket.SEARCH] == 1
    youtube.close()


def test_what_google_says_on_search_only_in_passing(
    youtube: YouTubeHook, server: SimulatorServer, window: tuple
) -> None:
    server.simulator.faults.add("cannot_act", endpoint="search.list", count=1)
    assert youtube.search(window[1] - timedelta(hours=1), window[1])


def test_a_chart(youtube: YouTubeHook) -> None:
    found = youtube.chart("US", pages=3)
    assert 50 < len({each.video_id for each in found}) <= 150


def test_a_mistake_of_ours_is_not_taken_for_a_bad_id(
    youtube: YouTubeHook, server: SimulatorServer, ids: list[str]
) -> None:
    for video_id in ids[:4]:
        server.simulator.faults.add("poison", video_id=video_id)
    with pytest.raises(CallRejectedError):
        youtube.statistics(ids[:4])


def test_a_call_that_we_put_wrongly_is_not_cut_in_halves(server: SimulatorServer, ids: list[str]) -> None:
    batching = Batching(ApiCalls(YouTubeHook(connection=youtube_at(server)).endpoint), threads=1)
    sent: list[int] = []

    def reject(_: Round, chunk: Sequence[str]) -> BatchResult[Reading]:
        sent.append(len(chunk))
        raise CallRejectedError("no", reasons=frozenset({"invalidfilters", "invalid_argument"}))

    with pytest.raises(CallRejectedError):
        batching.fetch_batches(Round(), (reject, ids))
    assert sent == [50]


def test_pages_of_uploads_are_read_to_their_end_or_from_a_token_on(
    youtube: YouTubeHook, server: SimulatorServer
) -> None:
    channel = busiest(server, (server.simulator.clock.now() - timedelta(days=9), server.simulator.clock.now()))
    pages = list(youtube.upload_pages(channel))
    assert len(pages) > 2
    assert [page.next_token is None for page in pages] == [*[False] * (len(pages) - 1), True]
    assert all(len(page.found) == 50 for page in pages[:-1])
    assert pages[0].total >= sum(len(page.found) for page in pages)
    assert list(youtube.upload_pages(channel, pages[0].next_token)) == pages[1:]
    handle = server.simulator.world.channel(channel).handle
    assert next(youtube.upload_pages(f"@{handle}")) == pages[0]


def test_pages_are_asked_for_when_they_are_wanted(youtube: YouTubeHook, server: SimulatorServer) -> None:
    playlist = server.simulator.world.playlist_ids()[0]
    first = next(youtube.playlist_pages(playlist))
    assert first.found
    assert calls(server) == {"playlistItems.list": 1}


def test_an_empty_page_tells_whether_it_is_the_whole_of_an_empty_listing() -> None:
    with answering(lambda _, __: (200, {"pageInfo": {"totalResults": 7}})) as server:
        youtube = YouTubeHook(connection=server.connection)
        assert list(youtube.playlist_pages("PL1")) == [Page([], None, 7)]
        server.answer = lambda _, __: (200, {"items": []})
        assert list(youtube.playlist_pages("PL1")) == [Page([], None, None)]
        youtube.close()


def test_a_channel_that_never_published_has_one_page_without_videos() -> None:
    channel = "UC" + "x" * 22
    uploads = {"contentDetails": {"relatedPlaylists": {"uploads": "UU" + "x" * 22}}}

    def answer(endpoint: str, ids: Sequence[str]) -> Said:
        return (200, {"items": [uploads]}) if endpoint == "channels" else refusal(404, "playlistNotFound")

    with answering(answer) as server:
        youtube = YouTubeHook(connection=server.connection)
        assert list(youtube.upload_pages(channel)) == [Page([], None, 0)]
        youtube.close()


def test_a_page_of_a_search_is_as_youtube_gave_it(youtube: YouTubeHook, server: SimulatorServer, window: tuple) -> None:
    start = window[1] - timedelta(hours=2)
    pages = [youtube.search_page(start, window[1])]
    while pages[-1].next_token:
        pages.append(youtube.search_page(start, window[1], pages[-1].next_token))
    named = {each.video_id for page in pages for each in page.found if each.is_published_in(start, window[1])}
    assert named == published(server, start, window[1])


@contextmanager
def trickling() -> Iterator[Connection]:
    """A server that sends a byte every tenth of a second, for ever: no timeout of a socket ends its answers."""
    over = threading.Event()

    class Trickle(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999\r\n\r\n")
            with suppress(OSError):
                while not over.wait(0.1):
                    self.request.sendall(b" ")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Trickle) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        host = f"http://127.0.0.1:{server.server_address[1]}/"
        yield Connection(conn_id="youtube_default", conn_type="youtube", host=host, password=CANARY)
        over.set()
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "ask",
    [
        lambda youtube: youtube.uploads("UC" + "x" * 22, datetime(2026, 1, 1, tzinfo=UTC), datetime.now(UTC)),
        lambda youtube: youtube.uploads("@somebody", datetime(2026, 1, 1, tzinfo=UTC), datetime.now(UTC)),
        lambda youtube: youtube.playlist("PL1"),
        lambda youtube: youtube.search(datetime(2026, 1, 1, tzinfo=UTC), datetime.now(UTC)),
        lambda youtube: youtube.chart("US"),
    ],
    ids=["uploads", "channels", "playlist", "search", "chart"],
)
def test_a_listing_that_trickles_in_is_cut_off(ask: Callable[[YouTubeHook], object]) -> None:
    with trickling() as connection:
        youtube = YouTubeHook(connection=connection, timeout=0.3)
        started = time.monotonic()
        with pytest.raises(YouTubeFaultError):
            ask(youtube)
        assert time.monotonic() - started < 10
        youtube.close()


def test_metadata_that_trickles_in_is_given_up(server: SimulatorServer, ids: list[str]) -> None:
    with trickling() as connection:
        youtube = YouTubeHook(connection=connection, timeout=0.3)
        answers = [youtube.metadata(ids[:50]), youtube.statistics(ids[:50])]
        assert [answer.pending for answer in answers] == [set(ids[:50])] * 2
        youtube.close()


def test_a_hook_works_on_after_a_call_was_cut_off(server: SimulatorServer) -> None:
    playlist = server.simulator.world.playlist_ids()[0]
    youtube = YouTubeHook(connection=youtube_at(server), timeout=0.5)
    server.simulator.faults.add("hang")
    with pytest.raises(YouTubeFaultError):
        youtube.playlist(playlist)
    server.simulator.faults.clear()
    assert youtube.playlist(playlist)
    youtube.close()


def test_a_missing_connection_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="'no_such_connection' is not defined"):
        YouTubeHook("no_such_connection").statistics(["a"])


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({}, None),
        ({"host": "http://127.0.0.1:8765/"}, "http://127.0.0.1:8765/"),
        ({"host": "http://127.0.0.1", "port": 8765}, "http://127.0.0.1:8765/"),
        ({"host": "127.0.0.1", "port": 8765}, "http://127.0.0.1:8765/"),
        ({"host": "youtube.example"}, "https://youtube.example/"),
        ({"host": "localhost:8765"}, "http://localhost:8765/"),
    ],
)
def test_the_endpoint_of_a_connection(fields: dict, url: str | None) -> None:
    connection = Connection(conn_id="youtube_default", conn_type="youtube", password="k", **fields)
    assert YouTubeHook(connection=connection).endpoint() == Endpoint("k", url, key_in_query=False)


def test_a_connection_that_is_refused_is_an_error_in_passing() -> None:
    nowhere = Connection(conn_id="youtube_default", conn_type="youtube", password="k", host="http://127.0.0.1:1/")
    answer = YouTubeHook(connection=nowhere).statistics(["a"], within=timedelta(seconds=2))
    assert answer.pending == {"a"}
    assert isinstance(answer.failures[0], TransientError)
