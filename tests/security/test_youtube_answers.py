"""YouTube's answers are foreign data: what is too deep, too large or made for terminals costs a call and no more."""

import gzip
import io
import json
import logging
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import psutil
import pytest
from airflow.sdk import Connection
from hypothesis import given
from hypothesis import strategies as st

from answering import Said, answering, items, refusal
from connections import CANARY
from ghost_tracking.__main__ import main
from ghost_tracking.core.answers import classify
from ghost_tracking.core.budgets import Bucket
from ghost_tracking.core.lists import BadLine
from ghost_tracking.core.videos import read_video
from ghost_tracking.errors import GhostTrackingError, ProjectRefusedError, TransientError, UnreadableFileError
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.youtube import YouTubeHook
from ghost_tracking.wording import printable
from ghost_tracking.youtube.transport import MOST_BYTES

TEN = datetime(2026, 1, 15, 10, tzinfo=UTC)
VIDEO, OTHER = "f6x1WVSR-4U", "9LfmrkyP81M"
ESCAPES = "\x1b[2J\x1b]0;owned\x07\x9b31m\r\nINFO - all is well\u2028\u202egnp.exe\u2066\u200b\ud800"
DEEP = b"[" * 200_000
LONG = b"9" * 5_000


def statistics(said: Said, ids: Sequence[str] = (VIDEO, OTHER)) -> tuple[set[str], set[str], list[str]]:
    """What is found, unanswered and said where each call is answered like this."""
    with answering(lambda _, __: said) as youtube, hooked(youtube.connection) as hook:
        answer = hook.statistics(ids)
    return set(answer.found), set(answer.pending), [error.message for error in answer.failures]


@contextmanager
def hooked(connection: Connection) -> Iterator[YouTubeHook]:
    hook = YouTubeHook(connection=connection, timeout=10)
    try:
        yield hook
    finally:
        hook.close()


@pytest.mark.parametrize("status", [200, 400, 403])
@pytest.mark.parametrize(
    "body",
    [
        DEEP,
        b'{"items": ' + DEEP,
        b'{"error": ' + DEEP,
        b'{"error": {"errors": [{"reason": ' + DEEP,
        b'{"items": [{"id": ' + LONG + b"}]}",
        b'{"error": {"code": ' + LONG + b"}}",
        b'{"a":' * 100_000,
    ],
    ids=range(7),
)
def test_deep_and_endless_json_is_an_error_of_ours(status: int, body: bytes) -> None:
    with answering(lambda _, __: (status, body)) as youtube, hooked(youtube.connection) as hook:
        if status == 200:
            assert hook.statistics([VIDEO]).pending == {VIDEO}
        else:
            with suppress(GhostTrackingError):
                hook.statistics([VIDEO])


def test_numbers_of_any_length_within_an_item_cost_that_count(caplog: pytest.LogCaptureFixture) -> None:
    item = {"id": VIDEO, "snippet": {"publishedAt": "9" * 5_000}, "statistics": {"viewCount": "9" * 5_000}}
    item["statistics"]["likeCount"] = 10**4_000  # type: ignore[index]
    item["statistics"]["commentCount"] = 1e308  # type: ignore[index]
    item["contentDetails"] = {"duration": f"PT{'9' * 5_000}S"}
    found, _, _ = statistics((200, {"items": [item]}), [VIDEO])
    assert found == {VIDEO}
    video = read_video(item, TEN)
    assert (video.reading.views, video.reading.likes, video.duration) == (None, None, None)
    assert len(caplog.text) < 2_000


@contextmanager
def serving(body: bytes, repeated: int = 1, **headers: str) -> Iterator[Connection]:
    """A server that sends this body so many times over, with these headers and no length."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(200)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            try:
                for _ in range(repeated):
                    self.wfile.write(body)
            except OSError:
                return  # it has been heard enough

        do_POST = do_GET  # noqa: N815 - the names are the base class's

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}/"
            yield Connection(conn_id="youtube_default", conn_type="youtube", host=url, password=CANARY)
        finally:
            server.shutdown()
            thread.join()


def gzip_bomb(size: int) -> bytes:
    sink = io.BytesIO()
    with gzip.GzipFile(fileobj=sink, mode="wb", compresslevel=9) as file:
        for _ in range(size >> 20):
            file.write(bytes(1 << 20))
    return sink.getvalue()


@pytest.mark.parametrize("coding", ["none", "gzip", "deflate", "deflate without a header"])
def test_an_answer_of_gigabytes_is_not_read(coding: str) -> None:
    size = 16 * MOST_BYTES
    if coding == "none":
        body, repeated, headers = bytes(1 << 20), size >> 20, {}
    elif coding == "gzip":
        body, repeated, headers = gzip_bomb(size), 1, {"Content_Encoding": "gzip"}
    else:
        pressing = zlib.compressobj(9, zlib.DEFLATED, 15 if coding == "deflate" else -15)
        body = b"".join(pressing.compress(bytes(1 << 20)) for _ in range(size >> 20)) + pressing.flush()
        repeated, headers = 1, {"Content_Encoding": "deflate"}
    process, most = psutil.Process(), 0
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.01):
            most = max(most, process.memory_info().rss)

    before = process.memory_info().rss
    watching = threading.Thread(target=watch)
    watching.start()
    try:
        with serving(body, repeated, **headers) as connection, hooked(connection) as hook:
            answer = hook.statistics([VIDEO])
    finally:
        done.set()
        watching.join()
    assert answer.pending == {VIDEO}
    assert f"more than {MOST_BYTES:,} bytes" in answer.failures[0].message
    assert most - before < 6 * MOST_BYTES


@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate", "raw deflate"])
def test_what_is_not_too_large_is_read_however_it_is_packed(coding: str) -> None:
    plain = json.dumps(items([VIDEO, OTHER])[1]).encode()
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = {
        "identity": plain,
        "gzip": gzip.compress(plain),
        "deflate": zlib.compress(plain),
        "raw deflate": raw.compress(plain) + raw.flush(),
    }[coding]
    with (
        serving(packed, Content_Encoding=coding.removeprefix("raw "), Content_Length=str(len(packed))) as connection,
        hooked(connection) as hook,
    ):
        assert set(hook.statistics([VIDEO, OTHER]).found) == {VIDEO, OTHER}


@pytest.mark.parametrize("cut", [1, 10, 30])
@pytest.mark.parametrize("coding", ["identity", "gzip"])
def test_an_answer_that_is_cut_off_is_none(coding: str, cut: int) -> None:
    plain = json.dumps(items([VIDEO])[1]).encode() + b" " * 40
    packed = gzip.compress(plain) if coding == "gzip" else plain
    with (
        serving(packed[:-cut], Content_Encoding=coding, Content_Length=str(len(packed))) as connection,
        hooked(connection) as hook,
    ):
        answer = hook.statistics([VIDEO])
    assert answer.pending == {VIDEO}
    assert "IncompleteRead" in answer.failures[0].message


def test_broken_compression_is_a_fault_of_youtube() -> None:
    with serving(b"no gzip at all", Content_Encoding="gzip") as connection, hooked(connection) as hook:
        answer = hook.statistics([VIDEO])
    assert answer.pending == {VIDEO}
    assert "cannot be decompressed" in answer.failures[0].message


# What is printed and logged


def is_plain(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@given(st.text(), st.integers(1, 300))
def test_printed_text_is_one_line_without_control_and_format_characters(text: str, limit: int) -> None:
    shown = printable(text, limit)
    assert len(shown) <= limit
    assert not {"\n", "\r", "\x1b", "\x9b", "\u202e", "\u2028", "\u200b", "\ufeff"}.intersection(shown)
    shown.encode()


def test_what_can_be_shown_stays_as_it_is() -> None:
    for title in ("Ünïcode, 日本語, العربية", "a \N{GRINNING FACE} b", "x" * 200):
        assert printable(title) == title
    assert printable("x" * 201) == "x" * 199 + "…"
    assert printable("a\x1b[31mb\u00a0c\nd") == "a [31mb c d"


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 503])
@pytest.mark.parametrize("reason", ["forbidden", "quotaExceeded", "keyInvalid", ESCAPES])
def test_what_youtube_says_is_shown_without_escapes(status: int, reason: str) -> None:
    _, body = refusal(status, reason, message=ESCAPES)
    error = classify(status, {}, json.dumps(body).encode(), Bucket.GENERAL)
    assert error.message.isprintable()
    assert str(error.facts.get("said", "")).isprintable()


def test_every_error_of_ours_can_be_printed() -> None:
    for kind in (UnreadableFileError, ProjectRefusedError, TransientError):
        assert is_plain(kind(f"{ESCAPES} cannot be read").message)
    assert str(BadLine(1, ESCAPES, ESCAPES, ESCAPES)).isprintable()


def test_items_that_cannot_be_read_are_logged_without_escapes(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found, _, said = statistics((200, {"items": [{"id": ESCAPES, "snippet": ESCAPES}, {"id": VIDEO, ESCAPES: 1}]}))
    assert found == set()
    assert all(is_plain(each) for each in said)
    assert is_plain(caplog.text)


def test_titles_are_stored_as_observed_and_printed_without_escapes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    title = "hello [bold]x[/nothing] \x1b[2J\u202egnp.exe\nINFO"
    vault = ParquetVaultHook(root=tmp_path / "vault")
    item = {"id": VIDEO, "snippet": {"title": title, "channelTitle": ESCAPES}, "statistics": {}}
    vault.stage_videos([read_video(item, TEN)], TEN)
    vault.archive_videos()
    assert vault.read_videos(VIDEO)["title"].item() == title
    assert main(["--vault", str(tmp_path / "vault"), "find", "hello"]) == 0
    shown = capsys.readouterr().out
    assert "[bold]x[/nothing]" in " ".join(shown.split())
    assert not {"\x1b", "\u202e", "\x9b", "\x07", "\r"}.intersection(shown)


def test_an_error_of_the_command_is_printed_without_escapes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    vault = tmp_path / "vault"
    vault.mkdir()
    bad = tmp_path / "list.csv"
    bad.write_text(f"video_id\n{VIDEO}\nno \x1b[2J id\u202e\n")
    assert main(["--vault", str(vault), "list", "add", str(bad), "--name", "mine"]) == 1
    assert main(["--vault", str(vault), "list", "bad", "mine"]) == 0
    assert main(["--vault", str(vault), "list", "bad", "\x1b[2J"]) == 1
    told = capsys.readouterr()
    assert is_plain(told.out)
    assert is_plain(told.err)
