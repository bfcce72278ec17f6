"""HTTP/1.1 around the simulator: keep-alive, gzip, POST that stands for GET. Listens on loopback only.

The request parser is our own and small: http.server's takes longer for one request than answering it does.
"""

import gzip
import logging
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import format_datetime
from http import HTTPStatus
from io import BufferedReader
from socketserver import BaseRequestHandler, TCPServer, ThreadingMixIn
from types import TracebackType
from typing import cast
from urllib.parse import parse_qs, urlsplit

from . import errors
from .control import CONTROL_PREFIX, Control
from .request import KeyPlace, Request
from .simulator import API_PREFIX, ConnectionResetOrderedError, Reply, Simulator, json_reply

HOST = "127.0.0.1"
_LOCAL_NAMES = frozenset({"127.0.0.1", "localhost"})
_LONGEST_LINE = 65_536
_LONGEST_BODY = 4_000_000
_GZIP_FROM_BYTES = 400
_CLOSING_SECONDS = 3.0
_log = logging.getLogger(__name__)


class _BadRequestError(Exception):
    """Something that is no HTTP request; the connection is closed."""


@dataclass(frozen=True, slots=True)
class _HttpRequest:
    method: str
    path: str
    query: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def keeps_alive(self) -> bool:
        return self.headers.get("connection", "").lower() != "close"


def _read_request(stream: BufferedReader) -> _HttpRequest | None:
    """Read one request; None at the end of the connection."""
    line = stream.readline(_LONGEST_LINE)
    if not line:
        return None
    words = line.decode("latin-1").split()
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise _BadRequestError
    headers = {"connection": "close"} if words[2] == "HTTP/1.0" else {}
    for raw in iter(lambda: stream.readline(_LONGEST_LINE), b""):
        if raw in (b"\r\n", b"\n"):
            break
        name, _, value = raw.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > _LONGEST_BODY:
        raise _BadRequestError
    target = urlsplit(words[1])
    return _HttpRequest(words[0], target.path, target.query, headers, stream.read(int(length)))


def _api_request(http: _HttpRequest) -> Request | None:
    """Read an API call; None for a method that is not allowed. The key leaves the parameters here."""
    overridden = http.headers.get("x-http-method-override", "").upper() == "GET"
    query = http.query
    if http.method == "POST" and overridden:
        query = "&".join(filter(None, (query, http.body.decode("utf-8", "replace"))))
    elif http.method != "GET":
        return None
    params = parse_qs(query, keep_blank_values=True)
    in_query = next(iter(params.pop("key", [])), None)
    key = http.headers.get("x-goog-api-key") or in_query
    place: KeyPlace = "header" if http.headers.get("x-goog-api-key") else "query" if in_query else "none"
    return Request(http.path.removeprefix(API_PREFIX), params, key, place)


class _Handler(BaseRequestHandler):
    """One connection, for as long as it is kept alive."""

    server: "_TcpServer"
    request: socket.socket

    def setup(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.server.opened(self.request)

    def finish(self) -> None:
        self.server.closed(self.request)

    def handle(self) -> None:
        with suppress(OSError), self.request.makefile("rb") as stream:
            try:
                while self._serve_one(stream):
                    pass
            except _BadRequestError:
                self._send(json_reply(errors.invalid_argument().body, 400), zipped=False, keep=False)
            except ConnectionResetOrderedError:
                self._reset()

    def _serve_one(self, stream: BufferedReader) -> bool:
        http = _read_request(stream)
        if http is None:
            return False
        reply = self.server.answer(http)
        zipped = "gzip" in http.headers.get("accept-encoding", "")
        self._send(reply, zipped=zipped, keep=http.keeps_alive)
        return http.keeps_alive

    def _send(self, reply: Reply, *, zipped: bool, keep: bool) -> None:
        body = reply.body
        lines = [
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}",
            f"Content-Type: {reply.content_type}",
            f"Date: {format_datetime(self.server.simulator.clock.now(), usegmt=True)}",
            "Server: ESF",
            "Vary: Origin, X-Origin, Referer",
        ]
        if zipped and len(body) >= _GZIP_FROM_BYTES:
            body = gzip.compress(body, compresslevel=1)
            lines.append("Content-Encoding: gzip")
        if reply.retry_after is not None:
            lines.append(f"Retry-After: {reply.retry_after:g}")
        lines += [f"Content-Length: {len(body)}", f"Connection: {'keep-alive' if keep else 'close'}", "", ""]
        self.request.sendall("\r\n".join(lines).encode("latin-1") + body)

    def _reset(self) -> None:
        """Close with an RST: the client sees 'connection reset by peer'."""
        self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.server.reset(self.request)


class _TcpServer(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 256

    def __init__(self, simulator: Simulator, port: int, on_origin: Callable[[], None] | None) -> None:
        self.simulator = simulator
        self.control = Control(simulator, on_origin)
        self._changed = threading.Condition()
        self._open: set[socket.socket] = set()
        self._resets: set[socket.socket] = set()
        super().__init__((HOST, port), _Handler)

    def answer(self, http: _HttpRequest) -> Reply:
        if http.path.startswith(CONTROL_PREFIX):
            if http.headers.get("host", "").partition(":")[0] not in _LOCAL_NAMES:
                return json_reply({"error": "the control API is for this machine only"}, 403)
            path = http.path.removeprefix(CONTROL_PREFIX)
            return self.control.answer(http.method, path, parse_qs(http.query), http.body)
        if not http.path.startswith(API_PREFIX):
            return json_reply(errors.not_found().body, 404)
        request = _api_request(http)
        if request is None:
            return json_reply({"error": {"code": 405, "message": "Method Not Allowed", "errors": []}}, 405)
        return self.simulator.answer(request)

    def opened(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.add(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()

    def reset(self, connection: socket.socket) -> None:
        with self._changed:
            self._resets.add(connection)

    def shutdown_request(self, request: socket.socket | tuple[bytes, socket.socket]) -> None:
        """Close a connection: orderly, or at once when it is to be reset (a shutdown would send a FIN)."""
        with self._changed:
            ordered = request in self._resets
            self._resets.discard(cast("socket.socket", request))
        if ordered:
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def handle_error(self, request: socket.socket | tuple[bytes, socket.socket], client_address: object) -> None:
        """Report a broken connection without a word of what was asked (it can hold a key)."""
        del request, client_address
        _log.exception("a connection broke")

    def close_connections(self) -> None:
        """End all connections, those that hang too, and wait for their threads."""
        deadline = time.monotonic() + _CLOSING_SECONDS
        with self._changed:
            while self._open and time.monotonic() < deadline:
                for connection in self._open:
                    with suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)
                self.simulator.faults.release()
                self._changed.wait(0.05)


class SimulatorServer:
    """A running server; `url` ends with a slash and is what client_options' api_endpoint takes."""

    def __init__(self, simulator: Simulator, port: int = 0, on_origin: Callable[[], None] | None = None) -> None:
        """Listen on loopback at `port` (0: a free one); raise OSError when it is taken.

        `on_origin` is called after the control API has moved the origin.
        """
        self.simulator = simulator
        self._server = _TcpServer(simulator, port, on_origin)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, name="youtube-simulator"
        )
        self._thread.daemon = True
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """The address, http://127.0.0.1:PORT/."""
        return f"http://{HOST}:{self.port}/"

    def close(self) -> None:
        """Stop listening, end all connections and wait for the threads."""
        self._server.shutdown()
        self._server.server_close()
        self._server.close_connections()
        self._thread.join(_CLOSING_SECONDS)

    def __enter__(self) -> "SimulatorServer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@contextmanager
def serve(simulator: Simulator | None = None, port: int = 0) -> Iterator[SimulatorServer]:
    """Serve a simulator (default: a new one) on loopback for as long as the context lasts."""
    with SimulatorServer(simulator if simulator is not None else Simulator(), port) as server:
        yield server
