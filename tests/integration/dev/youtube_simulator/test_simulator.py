"""The simulator over HTTP, as Google's own client sees it: endpoints, paging, errors, quota and each fault."""

import gzip
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httplib2
import pytest
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from youtube_simulator import Bucket, Simulator, SimulatorServer, serve
from youtube_simulator.resources import timestamp

Json = dict[str, Any]
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ORIGIN = datetime(2026, 1, 15, 10, tzinfo=UTC)
NOW = ORIGIN + timedelta(hours=5, minutes=30)
KEY = "canary-key-7f3a"
DEV = Path(__file__).parents[4] / "dev"


@pytest.fixture
def server() -> Iterator[SimulatorServer]:
    """A small universe that stands still."""
    simulator = Simulator(7, origin=ORIGIN, channels=20, videos_per_hour=60, history_days=6, key=KEY, now=NOW)
    with serve(simulator) as server:
        yield server


@pytest.fixture
def client(server: SimulatorServer) -> Iterator[Any]:
    """Google's client, with the right key in the URL."""
    connection = httplib2.Http(timeout=5)
    yield client_of(server, connection)
    connection.close()


def client_of(server: SimulatorServer, connection: httplib2.Http, key: str | None = KEY) -> Any:
    return build(
        "youtube",
        "v3",
        http=connection,
        developerKey=key,
        static_discovery=True,
        cache_discovery=False,
        client_options={"api_endpoint": server.url},
    )


def some_ids(server: SimulatorServer, count: int = 50) -> list[str]:
    """Ids of public videos."""
    world = server.simulator.world
    videos = world.published(NOW - 3 * DAY, NOW)
    return [video.id for video in videos if world.available(video, NOW)][:count]


def refused(call: Any) -> Json:
    """The body's `error` of a call that must fail, with its HTTP status checked against its code."""
    with pytest.raises(HttpError) as caught:
        call.execute()
    error: Json = json.loads(caught.value.content)["error"]
    assert error["code"] == int(caught.value.resp.status)
    assert KEY not in caught.value.content.decode()
    return error


def reason(call: Any) -> str:
    """The reason of a call that must fail."""
    return str(refused(call)["errors"][0]["reason"])


def stats(client: Any, ids: list[str], part: str = "snippet,statistics") -> Any:
    return client.videos().batchGetStats(part=part, id=ids)


def control(server: SimulatorServer, path: str, order: Json | None = None) -> Json:
    """Ask (or, with an order, tell) the control API."""
    body = None if order is None else json.dumps(order).encode()
    with urllib.request.urlopen(urllib.request.Request(f"{server.url}_control/{path}", data=body)) as answer:  # noqa: S310
        result: Json = json.load(answer)
    return result


# The endpoints.


def test_batch_get_stats(server: SimulatorServer, client: Any) -> None:
    ids = some_ids(server)
    body = stats(client, ids, "id,snippet,statistics,contentDetails").execute()
    assert set(body) == {"kind", "etag", "items"}
    assert body["kind"] == "youtube#batchGetStatsResponse"
    assert [item["id"] for item in body["items"]] == ids
    world = server.simulator.world
    for item in body["items"]:
        assert set(item) == {"kind", "etag", "id", "snippet", "statistics", "contentDetails"}
        assert item["kind"] == "youtube#videoStats"
        video = world.find(item["id"])
        assert video is not None
        assert datetime.fromisoformat(item["snippet"]["publishTime"]) == world.published_at(video)
        reading = world.reading(video, NOW)
        shown = {"viewCount": reading.views, "likeCount": reading.likes, "commentCount": reading.comments}
        assert item["statistics"] == {name: str(count) for name, count in shown.items() if count is not None}
        assert item["contentDetails"]["duration"].removesuffix("s").isdigit()


def test_only_requested_parts_appear(server: SimulatorServer, client: Any) -> None:
    (item,) = stats(client, some_ids(server, 1), "statistics").execute()["items"]
    assert set(item) == {"kind", "etag", "id", "statistics"}
    (item,) = client.videos().list(part="status", id=some_ids(server, 1)).execute()["items"]
    assert set(item) == {"kind", "etag", "id", "status"}


def test_ids_repeated_or_joined(server: SimulatorServer, client: Any) -> None:
    ids = some_ids(server, 3)
    repeated = client.videos().list(part="id", id=ids).execute()
    joined = client.videos().list(part="id", id=",".join([*ids, ids[0]])).execute()
    assert [item["id"] for item in repeated["items"]] == [item["id"] for item in joined["items"]] == ids


def test_unknown_ids_are_left_out(server: SimulatorServer, client: Any) -> None:
    ids = some_ids(server, 2)
    server.simulator.world.delete([ids[0]])
    body = stats(client, [*ids, "AAAAAAAAAAA", "no id at all"]).execute()
    assert [item["id"] for item in body["items"]] == [ids[1]]
    assert stats(client, [ids[0]]).execute()["items"] == []
    server.simulator.quirks.omit_empty_items = True
    assert "items" not in stats(client, [ids[0]]).execute()
    server.simulator.quirks.summary = True
    assert stats(client, ids).execute()["summary"] == {
        "requestedVideoCount": 2,
        "succeededVideoCount": 1,
        "failedVideoCount": 1,
        "failedVideoIds": [ids[0]],
    }


def test_quirks_of_form(server: SimulatorServer, client: Any) -> None:
    server.simulator.quirks.update({"fractions": True, "duration": "iso"})
    (item,) = stats(client, some_ids(server, 1), "snippet,contentDetails").execute()["items"]
    assert item["snippet"]["publishTime"].endswith(".000Z")
    assert item["contentDetails"]["duration"].startswith("P")


def test_videos_list(server: SimulatorServer, client: Any) -> None:
    ids = some_ids(server)
    parts = "snippet,statistics,contentDetails,status,liveStreamingDetails"
    body = client.videos().list(part=parts, id=ids).execute()
    assert body["kind"] == "youtube#videoListResponse"
    assert body["pageInfo"] == {"totalResults": 50, "resultsPerPage": 50}
    item = body["items"][0]
    assert item["kind"] == "youtube#video"
    assert {"publishedAt", "channelId", "title", "description", "thumbnails", "channelTitle", "categoryId"} <= set(
        item["snippet"]
    )
    assert item["statistics"]["favoriteCount"] == "0"
    assert item["contentDetails"]["duration"].startswith("PT")
    assert any("tags" not in item["snippet"] for item in body["items"])


def test_a_broadcast_is_upcoming_then_live_then_over(server: SimulatorServer, client: Any) -> None:
    world, clock = server.simulator.world, server.simulator.clock
    video, show = next(
        (video, show)
        for video in world.published(NOW - 5 * DAY, NOW)
        if (show := video.broadcast(ORIGIN)) is not None and not show.premiere
    )
    world.restore([video.id])
    seen = []
    for moment in (world.published_at(video), show.actual_start, show.actual_end):
        clock.freeze(moment)
        parts = "snippet,liveStreamingDetails,statistics,contentDetails"
        (item,) = client.videos().list(part=parts, id=video.id).execute()["items"]
        seen.append((item["snippet"]["liveBroadcastContent"], set(item["liveStreamingDetails"])))
        assert (item["contentDetails"]["duration"] == "P0D") is (moment < show.actual_end)
    scheduled, started = {"scheduledStartTime"}, {"scheduledStartTime", "actualStartTime"}
    assert seen == [("upcoming", scheduled), ("live", started), ("none", {*started, "actualEndTime"})]


def pages(call: Callable[..., Any], **arguments: Any) -> list[Json]:
    """All pages of a listing."""
    bodies: list[Json] = [call(**arguments).execute()]
    while token := bodies[-1].get("nextPageToken"):
        bodies.append(call(**arguments, pageToken=token).execute())
    return bodies


def test_the_chart_pages(server: SimulatorServer, client: Any) -> None:
    bodies = pages(client.videos().list, part="snippet", chart="mostPopular", regionCode="DE", maxResults=50)
    ids = [item["id"] for body in bodies for item in body["items"]]
    assert len(set(ids)) == len(ids) == bodies[0]["pageInfo"]["totalResults"] > 50
    music = client.videos().list(part="snippet", chart="mostPopular", videoCategoryId="10").execute()
    assert {item["snippet"]["categoryId"] for item in music["items"]} == {"10"}
    assert reason(client.videos().list(part="id", chart="mostPopular", videoCategoryId="27")) == "videoChartNotFound"


def test_uploads_page_by_page(server: SimulatorServer, client: Any) -> None:
    world = server.simulator.world
    channel = world.channels()[0]
    bodies = pages(
        client.playlistItems().list, part="snippet,contentDetails", playlistId=channel.uploads, maxResults=50
    )
    items = [item for body in bodies for item in body["items"]]
    assert [item["contentDetails"]["videoId"] for item in items] == [v.id for v in world.uploads(channel.id, NOW)]
    assert [item["snippet"]["position"] for item in items] == list(range(len(items)))
    times = [item["contentDetails"]["videoPublishedAt"] for item in items]
    assert times == sorted(times, reverse=True)
    assert len(bodies) > 2
    second = bodies[1]["prevPageToken"]
    back = client.playlistItems().list(
        part="snippet,contentDetails", playlistId=channel.uploads, maxResults=50, pageToken=second
    )
    assert back.execute()["items"] == bodies[0]["items"]


def test_uploads_out_of_order(server: SimulatorServer, client: Any) -> None:
    channel = server.simulator.world.channels()[0]
    call = client.playlistItems().list(part="contentDetails", playlistId=channel.uploads, maxResults=50)
    ordered = [item["contentDetails"]["videoId"] for item in call.execute()["items"]]
    server.simulator.quirks.uploads_disorder = True
    disordered = [item["contentDetails"]["videoId"] for item in call.execute()["items"]]
    assert ordered != disordered
    assert sorted(ordered) == sorted(disordered)


def test_a_curated_playlist_keeps_what_is_gone(server: SimulatorServer, client: Any) -> None:
    world = server.simulator.world
    playlist = world.playlists()[0]
    first = world.curated(playlist, NOW)[0]
    world.delete([first.id])
    body = client.playlistItems().list(part="snippet,contentDetails,status", playlistId=playlist.id).execute()
    assert body["items"][0]["contentDetails"] == {"videoId": first.id}
    assert body["items"][0]["snippet"]["title"] == "Deleted video"
    assert len(body["items"]) == body["pageInfo"]["resultsPerPage"] == 5


def test_unknown_playlists_are_not_found(client: Any) -> None:
    for name in ("UU" + "x" * 22, "PLnothing", "LL"):
        error = refused(client.playlistItems().list(part="id", playlistId=name))
        assert (error["code"], error["errors"][0]["reason"]) == (404, "playlistNotFound")


def test_channels(server: SimulatorServer, client: Any) -> None:
    channel = server.simulator.world.channels()[0]
    parts = "snippet,contentDetails,statistics"
    (by_id,) = client.channels().list(part=parts, id=channel.id).execute()["items"]
    (by_handle,) = client.channels().list(part=parts, forHandle=f"@{channel.handle}").execute()["items"]
    assert by_id == by_handle
    assert by_id["contentDetails"]["relatedPlaylists"]["uploads"] == channel.uploads == "UU" + channel.id[2:]
    assert "items" not in client.channels().list(part=parts, id="UCnobody").execute()


def test_search_finds_the_whole_window(server: SimulatorServer, client: Any) -> None:
    world = server.simulator.world
    window = {"publishedAfter": "2026-01-15T08:00:00Z", "publishedBefore": "2026-01-15T11:00:00Z"}
    bodies = pages(client.search().list, part="snippet", type="video", order="date", maxResults=50, **window)
    found = [item["id"]["videoId"] for body in bodies for item in body["items"]]
    expected = world.published(ORIGIN - 2 * HOUR, ORIGIN + HOUR)[::-1]
    assert found == [video.id for video in expected if world.available(video, NOW)]
    item = bodies[0]["items"][0]
    assert item["kind"] == "youtube#searchResult"
    assert item["id"]["kind"] == "youtube#video"
    assert "statistics" not in item
    assert bodies[0]["kind"] == "youtube#searchListResponse"


def test_search_narrows_and_escapes(server: SimulatorServer, client: Any) -> None:
    def titles(**arguments: Any) -> list[Json]:
        body = client.search().list(part="snippet", type="video", maxResults=50, **arguments).execute()
        return [item["snippet"] for item in body["items"]]

    for item in _search(client, q="ESPRESSO", relevanceLanguage="en")["items"]:
        video = server.simulator.world.find(item["id"]["videoId"])
        assert video is not None
        assert "espresso" in " ".join((video.title, *video.tags))
        assert video.channel.tongue.language == "en"
    assert any("&quot;" in snippet["title"] for snippet in titles(q="espresso", relevanceLanguage="en"))
    channel = server.simulator.world.channels()[1]
    assert {snippet["channelId"] for snippet in titles(channelId=channel.id)} == {channel.id}
    ids = [item["id"]["videoId"] for item in _search(client, videoCategoryId="10", regionCode="MX")["items"]]
    listed = client.videos().list(part="snippet", id=ids).execute()["items"]
    assert {item["snippet"]["categoryId"] for item in listed} == {"10"}
    assert _search(client, regionCode="mx")["regionCode"] == "MX"
    assert _search(client, type="channel")["items"] == []


def _search(client: Any, **arguments: Any) -> Json:
    body: Json = client.search().list(**{"part": "snippet", "type": "video", "maxResults": 50, **arguments}).execute()
    return body


def test_search_can_be_a_sample(server: SimulatorServer, client: Any) -> None:
    window = {"publishedAfter": "2026-01-15T08:00:00Z", "publishedBefore": "2026-01-15T08:40:00Z"}
    whole = {item["id"]["videoId"] for item in _search(client, **window)["items"]}
    server.simulator.quirks.search = "sampled"
    one = {item["id"]["videoId"] for item in _search(client, **window)["items"]}
    server.simulator.clock.advance(timedelta(minutes=1))
    other = {item["id"]["videoId"] for item in _search(client, **window)["items"]}
    assert one < whole
    assert other < whole
    assert one != other


def test_search_can_repeat_its_last_page(server: SimulatorServer, client: Any) -> None:
    server.simulator.quirks.search_repeats = True
    window = {"publishedAfter": "2026-01-15T08:00:00Z", "publishedBefore": "2026-01-15T09:00:00Z"}
    body, seen = _search(client, **window), []
    for _ in range(4):
        seen.append([item["id"]["videoId"] for item in body["items"]])
        body = _search(client, **window, pageToken=body["nextPageToken"])
    assert seen[-1] == seen[-2]
    assert seen[-1]


def test_wrong_calls_are_refused(server: SimulatorServer, client: Any) -> None:
    ids = some_ids(server, 51)
    cases = [
        (stats(client, ids), "invalidFilters"),
        (client.videos().list(part="id", id=ids), "invalidFilters"),
        (stats(client, ids[:1], "statistics,topicDetails"), "unknownPart"),
        (client.videos().list(part="", id=ids[:1]), "missingRequiredParameter"),
        (client.videos().batchGetStats(part="id"), "missingRequiredParameter"),
        (client.videos().list(part="id"), "missingRequiredParameter"),
        (client.videos().list(part="id", id=ids[0], chart="mostPopular"), "incompatibleParameters"),
        (client.playlistItems().list(part="id"), "missingRequiredParameter"),
        (client.channels().list(part="id"), "missingRequiredParameter"),
        (client.search().list(part="id", pageToken="nonsense"), "invalidPageToken"),
        (client.search().list(part="id", publishedAfter="yesterday"), "invalidParameter"),
        (client.search().list(part="id", maxResults=51), "invalidParameter"),
    ]
    for call, expected in cases:
        error = refused(call)
        assert (error["code"], error["errors"][0]["reason"]) == (400, expected), call.uri


# HTTP.


def raw(server: SimulatorServer, method: str, path: str, **options: Any) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.request(method, path, **options)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def test_bodies_are_gzipped_when_asked_for(server: SimulatorServer) -> None:
    path = f"/youtube/v3/videos:batchGetStats?part=statistics&id={','.join(some_ids(server))}&key={KEY}"
    plain, body = raw(server, "GET", path)
    zipped, small = raw(server, "GET", path, headers={"Accept-Encoding": "gzip"})
    assert plain.headers["Content-Encoding"] is None
    assert zipped.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small) == body
    assert len(small) < len(body) / 2


def test_one_connection_serves_many_calls(server: SimulatorServer) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    connection.connect()
    place = connection.sock.getsockname()
    for _ in range(5):
        connection.request("GET", f"/youtube/v3/search?part=id&key={KEY}")
        assert connection.getresponse().read()
        assert connection.sock.getsockname() == place
    connection.close()


def test_a_long_call_comes_as_a_post(server: SimulatorServer, client: Any) -> None:
    call = client.search().list(part="snippet", type="video", q="espresso " * 300, maxResults=3)
    assert len(call.uri) > 2048
    assert len(call.execute()["items"]) == 3
    assert server.simulator.journal.counts()["key_place"] == {"query": 1}


def test_other_methods_and_paths(server: SimulatorServer) -> None:
    assert raw(server, "POST", f"/youtube/v3/videos?part=id&id=x&key={KEY}")[0].status == 405
    assert raw(server, "GET", f"/youtube/v3/activities?part=id&key={KEY}")[0].status == 404
    assert raw(server, "GET", "/")[0].status == 404


def test_what_is_not_http_is_refused(server: SimulatorServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
        connection.sendall(b"hello\r\n\r\n")
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 400 ")


# Keys.


class HeaderKey(httplib2.Http):  # type: ignore[misc]  # httplib2 has no types
    """A connection that sends a key as a header."""

    key = KEY

    def request(self, uri: str, method: str = "GET", body: Any = None, headers: Any = None, **rest: Any) -> Any:
        return super().request(uri, method, body, {**(headers or {}), "x-goog-api-key": self.key}, **rest)


def test_the_key_travels_in_the_header_too(server: SimulatorServer, client: Any) -> None:
    connection = HeaderKey(timeout=5)
    stats(client_of(server, connection, None), some_ids(server, 1)).execute()
    connection.close()
    stats(client, some_ids(server, 1)).execute()
    assert server.simulator.journal.counts()["key_place"] == {"header": 1, "query": 1}


def test_a_wrong_or_missing_key(server: SimulatorServer) -> None:
    connection = httplib2.Http(timeout=5)
    wrong = refused(stats(client_of(server, connection, "wrong-" + KEY[::-1]), some_ids(server, 1)))
    missing = refused(stats(client_of(server, connection, None), some_ids(server, 1)))
    connection.close()
    assert (wrong["code"], wrong["errors"][0]["reason"]) == (400, "badRequest")
    assert wrong["details"][0]["reason"] == "API_KEY_INVALID"
    assert KEY[::-1] not in json.dumps(wrong)
    assert (missing["code"], missing["errors"][0]["reason"]) == (403, "forbidden")
    assert server.simulator.quota.used(Bucket.STATISTICS, NOW) == 0


# Quota.


def test_every_request_costs_and_empty_buckets_say_so(server: SimulatorServer, client: Any) -> None:
    quota = server.simulator.quota
    quota.set_limit(Bucket.GENERAL, 2)
    quota.set_limit(Bucket.SEARCH, 1)
    quota.set_remaining(Bucket.STATISTICS, 1, NOW)
    client.videos().list(part="id", id="x").execute()
    assert reason(client.channels().list(part="nonsense", id="x")) == "unknownPart"
    general = refused(client.playlistItems().list(part="id", playlistId="x"))
    assert (general["code"], general["errors"][0]["reason"]) == (403, "quotaExceeded")
    assert general["errors"][0]["domain"] == "youtube.quota"

    _search(client)
    search = refused(client.search().list(part="id"))
    assert (search["code"], search["errors"][0]["reason"]) == (429, "rateLimitExceeded")
    assert search["status"] == "RESOURCE_EXHAUSTED"
    assert "PerDay" in search["details"][0]["metadata"]["quota_limit"]

    stats(client, some_ids(server, 1)).execute()
    assert reason(stats(client, some_ids(server, 1))) == "quotaExceeded"
    server.simulator.clock.advance(DAY)
    stats(client, some_ids(server, 1)).execute()
    assert quota.used(Bucket.STATISTICS, NOW + DAY) == 1


def test_a_bucket_empties_in_the_middle(server: SimulatorServer, client: Any) -> None:
    server.simulator.faults.add("bucket_empties", endpoint="videos.batchGetStats", skip=2, count=1)
    call = stats(client, some_ids(server, 1))
    call.execute()
    call.execute()
    assert [reason(call), reason(call)] == ["quotaExceeded", "quotaExceeded"]
    client.videos().list(part="id", id="x").execute()


# Faults.


@pytest.mark.parametrize(
    ("kind", "settings", "status", "expected"),
    [
        ("http_error", {"status": 500}, 500, "backendError"),
        ("http_error", {"status": 503}, 503, "backendError"),
        ("rate_limited", {}, 429, "rateLimitExceeded"),
        ("user_rate_limited", {}, 403, "userRateLimitExceeded"),
        ("daily_limit", {}, 403, "dailyLimitExceeded"),
        ("api_key_invalid", {}, 400, "badRequest"),
        ("key_invalid", {}, 400, "keyInvalid"),
        ("key_blocked", {}, 403, "forbidden"),
        ("access_not_configured", {}, 403, "accessNotConfigured"),
        ("permission", {}, 403, "SERVICE_UNAVAILABLE"),
        ("cannot_act", {}, 403, "forbidden"),
    ],
)
def test_faults_that_answer_with_an_error(
    server: SimulatorServer, client: Any, kind: str, settings: Json, status: int, expected: str
) -> None:
    server.simulator.faults.add(kind, count=1, **settings)
    call = stats(client, some_ids(server, 1))
    error = refused(call)
    assert (error["code"], error["errors"][0]["reason"]) == (status, expected)
    assert len(call.execute()["items"]) == 1, "the fault was ordered once"
    assert server.simulator.quota.used(Bucket.STATISTICS, NOW) == 2


def test_rate_limits_say_when_to_come_again(server: SimulatorServer, client: Any) -> None:
    server.simulator.faults.add("rate_limited", retry_after=7)
    with pytest.raises(HttpError) as caught:
        stats(client, some_ids(server, 1)).execute()
    assert caught.value.resp["retry-after"] == "7"
    (details,) = json.loads(caught.value.content)["error"]["details"]
    assert "PerDay" not in details["metadata"]["quota_limit"]


def test_faults_strike_their_endpoint_only(server: SimulatorServer, client: Any) -> None:
    server.simulator.faults.add("http_error", endpoint="search.list")
    assert reason(client.search().list(part="id")) == "backendError"
    stats(client, some_ids(server, 1)).execute()


def test_pages_of_html(server: SimulatorServer, client: Any) -> None:
    server.simulator.faults.add("html_ok", count=1)
    body = stats(client, some_ids(server, 1)).execute()
    assert isinstance(body, str), "googleapiclient hands a page of HTML on without a word"
    assert body.startswith("<!DOCTYPE html>")
    server.simulator.faults.add("html_bad_gateway", count=1)
    with pytest.raises(HttpError) as caught:
        stats(client, some_ids(server, 1)).execute()
    assert caught.value.resp.status == 502
    assert caught.value.content.startswith(b"<!DOCTYPE html>")


def test_json_that_is_cut_or_no_object(server: SimulatorServer, client: Any) -> None:
    server.simulator.faults.add("truncated_json", count=1)
    body = stats(client, some_ids(server)).execute()
    assert isinstance(body, str)
    with pytest.raises(json.JSONDecodeError):
        json.loads(body)
    server.simulator.faults.add("not_an_object", count=1)
    assert stats(client, some_ids(server)).execute() == ["not", "an", "object"]
    assert server.simulator.journal.readings() == [], "what nobody can read was not served"


def test_a_reset_connection(server: SimulatorServer, client: Any) -> None:
    server.simulator.faults.add("reset", count=1)
    path = f"/youtube/v3/search?part=id&key={KEY}"
    with pytest.raises(ConnectionResetError):
        raw(server, "GET", path)
    assert raw(server, "GET", path)[0].status == 200
    assert server.simulator.journal.counts()["status"] == {"0": 1, "200": 1}


def test_a_call_that_hangs_for_a_while_or_until_released(server: SimulatorServer, client: Any) -> None:
    faults = server.simulator.faults
    faults.add("hang", count=1, seconds=0.05)
    assert stats(client, some_ids(server, 1)).execute()["items"]
    fault = faults.add("hang", count=1)
    connection = httplib2.Http(timeout=0.2)
    with pytest.raises(TimeoutError):
        stats(client_of(server, connection), some_ids(server, 1)).execute()
    connection.close()
    assert fault.struck >= 1
    faults.add("hang")
    answers: list[Json] = []
    caller = threading.Thread(target=lambda: answers.append(stats(client, some_ids(server, 1)).execute()))
    caller.start()
    while not answers:
        faults.clear()
        caller.join(0.01)
    assert answers[0]["items"]


def test_closing_ends_calls_that_hang() -> None:
    with serve(Simulator(7, channels=5, videos_per_hour=5, history_days=1)) as server:
        server.simulator.faults.add("hang")
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
        connection.request("GET", "/youtube/v3/search?part=id&key=any")
        time.sleep(0.1)
        started = time.monotonic()
    assert time.monotonic() - started < 2
    with pytest.raises((http.client.HTTPException, OSError)):
        connection.getresponse()
    connection.close()


def test_items_that_are_missing(server: SimulatorServer, client: Any) -> None:
    ids, faults = some_ids(server), server.simulator.faults
    faults.add("batch_missing", count=1)
    assert stats(client, ids).execute()["items"] == []
    faults.add("share_missing", share=0.4, count=1)
    body = stats(client, ids).execute()
    assert 15 < len(body["items"]) < 45
    served = [reading.video_id for reading in server.simulator.journal.readings()]
    assert served == [item["id"] for item in body["items"]]


@pytest.mark.parametrize(
    ("form", "broken"),
    [
        ("text_count", lambda item: item["statistics"]["viewCount"] == "abc"),
        ("negative_count", lambda item: item["statistics"]["viewCount"] == "-5"),
        ("no_id", lambda item: "id" not in item),
        ("no_statistics", lambda item: "statistics" not in item),
        ("bad_publish_time", lambda item: item["snippet"]["publishTime"] == "yesterday"),
        ("not_an_object", lambda item: item is None),
        ("foreign_id", lambda item: item["id"] == "zzzzzzzzzz8"),
    ],
)
def test_one_malformed_item(server: SimulatorServer, client: Any, form: str, broken: Callable[[Any], bool]) -> None:
    ids = some_ids(server, 5)
    server.simulator.faults.add("malformed_item", form=form, video_id=ids[2])
    items = stats(client, ids).execute()["items"]
    assert broken(items[2])
    assert [item["id"] for place, item in enumerate(items) if place != 2] == ids[:2] + ids[3:]
    sent = [reading for reading in server.simulator.journal.readings() if reading.video_id == ids[2]]
    if form in ("no_id", "not_an_object", "foreign_id"):
        assert sent == [], "nobody can tell that it is the reading of this video"
    else:
        assert [reading.views is None for reading in sent] == [form != "bad_publish_time"]
    assert len(stats(client, ids[:2]).execute()["items"]) == 2


def test_a_poison_id_spoils_every_call_that_holds_it(server: SimulatorServer, client: Any) -> None:
    ids = some_ids(server, 8)
    server.simulator.faults.add("poison", video_id=ids[5])
    assert reason(stats(client, ids)) == "badRequest"
    assert reason(stats(client, ids[4:])) == "badRequest"
    assert len(stats(client, ids[:4]).execute()["items"]) == 4


def test_a_fault_strikes_one_source_only(server: SimulatorServer, client: Any) -> None:
    first, second = (channel.uploads for channel in server.simulator.world.channels()[:2])
    server.simulator.faults.add("http_error", status=500, source=first)
    server.simulator.faults.add("http_error", status=403, source="music")

    def list_of(playlist: str) -> Any:
        return client.playlistItems().list(part="contentDetails", playlistId=playlist)

    for _ in range(3):
        assert reason(list_of(first)) == "backendError"
    assert list_of(second).execute()["items"]
    assert refused(client.search().list(part="id", q="music", type="video"))["code"] == 403
    assert client.search().list(part="id", q="film", type="video").execute()["kind"] == "youtube#searchListResponse"


@pytest.mark.parametrize(("status", "told"), [(401, "unauthorized"), (404, "notFound"), (501, "backendError")])
def test_one_id_has_an_error_of_any_status(server: SimulatorServer, client: Any, status: int, told: str) -> None:
    ids = some_ids(server, 3)
    server.simulator.faults.add("http_error", status=status, video_id=ids[1])
    error = refused(client.videos().list(part="id", id=ids))
    assert (error["code"], error["errors"][0]["reason"]) == (status, told)
    assert client.videos().list(part="id", id=ids[2]).execute()["items"]


def test_listings_have_malformed_items_too(server: SimulatorServer, client: Any) -> None:
    world, faults = server.simulator.world, server.simulator.faults
    playlist = {"part": "snippet,contentDetails", "playlistId": world.channels()[0].uploads}
    faults.add("malformed_item", form="foreign_id", count=1)
    first, *others = client.playlistItems().list(**playlist).execute()["items"]
    assert first["contentDetails"]["videoId"] == first["snippet"]["resourceId"]["videoId"] == "zzzzzzzzzz8"
    assert all(world.find(item["contentDetails"]["videoId"]) for item in others)
    faults.add("malformed_item", form="no_id", count=1)
    first = client.playlistItems().list(**playlist).execute()["items"][0]
    assert "videoId" not in first["contentDetails"]
    assert "videoId" not in first["snippet"]["resourceId"]
    faults.add("malformed_item", form="not_an_object", count=1)
    faults.add("malformed_item", form="foreign_id", count=1)
    items = client.search().list(part="snippet", type="video").execute()["items"]
    assert items[0] is None
    assert items[1]["id"]["videoId"] == "zzzzzzzzzz8"


# Clock, journal, control.


def test_the_journal_holds_what_listings_named(server: SimulatorServer, client: Any) -> None:
    simulator = server.simulator
    channel, curated = simulator.world.channels()[0], simulator.world.playlists()[0]
    ids = some_ids(server, 3)
    client.videos().list(part="snippet", id=ids).execute()
    stats(client, ids).execute()
    assert simulator.journal.named_total == 0, "what was asked for by its id was not named by YouTube"
    for spoiled in ("truncated_json", "html_ok", "batch_missing", "http_error"):
        simulator.faults.add(spoiled, count=1)
        with suppress(Exception):
            client.search().list(part="snippet", type="video").execute()
    assert simulator.journal.named_total == 0, "the client has seen none"
    simulator.faults.add("malformed_item", form="foreign_id", count=1)
    calls = [
        (client.playlistItems().list(part="contentDetails", playlistId=channel.uploads), channel.uploads),
        (client.playlistItems().list(part="snippet", playlistId=curated.id), curated.id),
        (client.search().list(part="id", type="video", q="a"), "a"),
        (client.videos().list(part="id", chart="mostPopular", regionCode="DE"), "DE"),
    ]
    told = []
    for call, about in calls:
        for item in call.execute()["items"]:
            identity = item.get("contentDetails") or item.get("snippet", {}).get("resourceId") or item["id"]
            told.append((identity if isinstance(identity, str) else identity["videoId"], about))
    named = simulator.journal.named_since()
    assert [(each.video_id, each.about) for each in named] == told
    assert told[0][0] == "zzzzzzzzzz8"
    assert [each.added_at for each in named[5:7]] == [
        timestamp(simulator.world.added_at(curated, video)) for video in simulator.world.curated(curated, NOW)[:2]
    ]
    assert named[10].published_at == named[10].added_at is None, "only a part with it tells"
    assert {each.endpoint for each in named} == {"playlistItems.list", "search.list", "videos.list"}
    page = control(server, f"named?since={len(told) - 1}")
    assert (page["total"], [each["video_id"] for each in page["named"]]) == (len(told), [told[-1][0]])


def test_answers_bear_the_time_of_the_clock(server: SimulatorServer) -> None:
    answer, _ = raw(server, "GET", "/_control/state")
    assert answer.headers["Date"] == "Thu, 15 Jan 2026 15:30:00 GMT"


def test_the_journal_holds_what_was_served(server: SimulatorServer, client: Any) -> None:
    ids = some_ids(server, 3)
    body = stats(client, ids).execute()
    client.videos().list(part="snippet", id=ids).execute()
    client.videos().list(part="statistics", id=ids[0]).execute()
    journal = server.simulator.journal
    assert [(one.video_id, one.endpoint) for one in journal.readings()] == [
        *((video_id, "videos.batchGetStats") for video_id in ids),
        (ids[0], "videos.list"),
    ]
    first = journal.readings(ids[0])[0]
    assert str(first.views) == body["items"][0]["statistics"]["viewCount"]
    assert first.served_at == NOW
    assert [(call.endpoint, call.ids) for call in journal.calls("videos.list")] == [
        ("videos.list", 3),
        ("videos.list", 1),
    ]
    page = control(server, "journal?since=1&limit=2")
    assert (page["first"], page["next"], page["total"]) == (1, 3, 4)
    assert [reading["video_id"] for reading in page["readings"]] == ids[1:]
    assert len(control(server, f"journal?id={ids[0]}")["readings"]) == 2


def test_counts_move_with_the_clock(server: SimulatorServer, client: Any) -> None:
    ids = some_ids(server)

    def total() -> int:
        items = stats(client, ids, "statistics").execute()["items"]
        return sum(int(item["statistics"]["viewCount"]) for item in items)

    before = total()
    assert total() == before
    control(server, "clock", {"advance_seconds": 86_400})
    assert total() > before
    assert control(server, "clock", {"freeze": "2026-01-15T15:30:00Z"})["now"] == "2026-01-15T15:30:00Z"
    assert total() == before
    assert control(server, "clock", {"offset_seconds": 60})["frozen"] is False


def test_the_control_api_tells_what_was_published(server: SimulatorServer) -> None:
    world = server.simulator.world
    window = "published?after=2026-01-15T13:00:00Z&before=2026-01-16T00:00:00%2B00:00"
    told = control(server, window)["videos"]
    assert [video["id"] for video in told] == [v.id for v in world.published(ORIGIN + 3 * HOUR, NOW)]
    channel = world.channels()[0].id
    mine = control(server, f"{window}&channel={channel}")["videos"]
    assert mine == [video for video in told if video["channel"] == channel]
    assert control(server, f"video?id={told[0]['id']}")["published_at"] == told[0]["published_at"]


def test_the_control_api_moves_and_sets_things(server: SimulatorServer, client: Any) -> None:
    ids = some_ids(server, 2)
    published = stats(client, ids).execute()["items"][0]["snippet"]["publishTime"]
    assert control(server, "origin", {"shift_seconds": -8 * 86_400})["origin"] == "2026-01-07T10:00:00Z"
    shifted = stats(client, ids).execute()["items"][0]["snippet"]["publishTime"]
    assert datetime.fromisoformat(published) - datetime.fromisoformat(shifted) == 8 * DAY
    control(server, "origin", {"origin": "2026-01-15T10:00:00Z"})

    assert control(server, "delete", {"ids": ids[:1]}) == {"deleted": 1}
    assert [item["id"] for item in stats(client, ids).execute()["items"]] == ids[1:]
    control(server, "return", {"ids": ids[:1]})
    assert len(stats(client, ids).execute()["items"]) == 2

    assert control(server, "delay", {"ids": ids[:1], "public_seconds": 30 * 86_400}) == {"delayed": 1}
    assert [item["id"] for item in stats(client, ids).execute()["items"]] == ids[1:]
    assert control(server, f"video?id={ids[0]}")["available"] is False
    control(server, "delay", {"ids": ids[:1]})
    playlist = server.simulator.world.playlist_ids()[0]
    assert control(server, "playlist", {"id": playlist, "add": ids, "remove": []}) == {"added": 2, "removed": 0}
    listed = pages(client.playlistItems().list, part="snippet", playlistId=playlist, maxResults=50)
    snippets = [item["snippet"] for page in listed for item in page["items"]][-2:]
    assert sorted(snippet["resourceId"]["videoId"] for snippet in snippets) == sorted(ids)
    assert {snippet["publishedAt"] for snippet in snippets} == {timestamp(NOW)}

    assert control(server, "quota", {"search": {"limit": 5, "remaining": 0}})["quota"]["search"]["remaining"] == 0
    assert reason(client.search().list(part="id")) == "rateLimitExceeded"
    assert len(control(server, "faults", {"kind": "http_error", "status": 500, "count": 1})["faults"]) == 1
    assert refused(stats(client, ids))["code"] == 500
    control(server, "faults", {"kind": "reset"})
    assert control(server, "faults", {"clear": True})["faults"] == []
    assert control(server, "latency", {"ms": 1})["latency_ms"] == 1
    assert control(server, "quirks", {"fractions": True})["quirks"]["fractions"] is True
    sources = control(server, "sources")
    assert [channel["id"] for channel in sources["channels"]] == server.simulator.world.channel_ids()
    state = control(server, "state")
    assert state["seed"] == 7
    assert state["calls"]["bucket"]["search"] == 1
    assert KEY not in json.dumps(state)


@pytest.mark.parametrize(
    ("path", "order"),
    [
        ("published", None),
        ("published?after=2026-01-15T13:00:00&before=x", None),
        ("video?id=nobody", None),
        ("faults", {"kind": "sunburn"}),
        ("faults", {"kind": "reset", "endpoint": "videos"}),
        ("clock", {"forward": 3}),
        ("quota", {"everything": {"limit": 3}}),
        ("delete", {"ids": "abc"}),
        ("playlist", {"id": "PLnobody"}),
        ("delay", {"ids": [], "seconds": 3}),
        ("quirks", {"search": "none"}),
    ],
)
def test_the_control_api_refuses_with_a_sentence(server: SimulatorServer, path: str, order: Json | None) -> None:
    with pytest.raises(urllib.error.HTTPError) as caught:
        control(server, path, order)
    with caught.value as answer:
        assert answer.code == 400
        assert json.load(answer)["error"]


def test_the_control_api_is_for_this_machine_only(server: SimulatorServer) -> None:
    answer, _ = raw(server, "GET", "/_control/state", headers={"Host": "rebound.example:80"})
    assert answer.status == 403


# The command line.


def start(folder: Path, *options: str) -> "subprocess.Popen[str]":
    (folder / "ready").unlink(missing_ok=True)
    command = [sys.executable, "-m", "youtube_simulator", "--port", "0", "--channels", "10", *options]
    files = ["--ready-file", str(folder / "ready"), "--state-file", str(folder / "state.json")]
    return subprocess.Popen(
        [*command, *files],
        env={**os.environ, "PYTHONPATH": str(DEV)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def asked(url: str, path: str) -> Json:
    with urllib.request.urlopen(url + path) as answer:  # noqa: S310
        body: Json = json.load(answer)
    return body


def test_the_command_line_serves_the_same_universe_after_a_restart(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    published = []
    for number in (signal.SIGTERM, signal.SIGHUP):
        options = ("--key-file", str(tmp_path / "key"), "--quota-search", "3", "--videos-per-hour", "20")
        with start(tmp_path, *options, "--origin", "2026-01-15T10:00:00Z") as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert (tmp_path / "ready").read_text() == url
            state = asked(url, "_control/state")
            assert (state["origin"], state["quota"]["search"]["limit"]) == ("2026-01-15T10:00:00Z", 3)
            window = "after=2026-01-15T08:00:00Z&before=2026-01-15T09:00:00Z"
            published.append(asked(url, f"_control/published?{window}")["videos"])
            process.send_signal(number)
            out, err = process.communicate(timeout=10)
            assert (process.returncode, out, err) == (0, "", "")
    assert published[0] == published[1] != []


def test_what_cannot_be_started_says_why_in_one_line(tmp_path: Path, server: SimulatorServer) -> None:
    for options, why in (
        (["--port", str(server.port)], "already in use"),
        (["--replay", str(tmp_path / "none.csv")], "none.csv"),
        (["--channels", "0"], "channels must lie between"),
    ):
        with start(tmp_path, *options) as process:
            out, err = process.communicate(timeout=10)
            assert (process.returncode, out) == (1, "")
            assert why in err
            assert len(err.splitlines()) == 1
