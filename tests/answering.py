"""A YouTube that answers whatever a test wants, over real HTTP: what the simulator, which behaves, would never say."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from airflow.sdk import Connection

from connections import CANARY

Said = tuple[int, Any]
"""A status and a body: JSON, or bytes as they are."""


class Answering:
    """`calls` has the endpoint (the end of the URL's path) and the ids of each call, in their order.

    `query` has the parameters of the call that is being answered.
    """

    def __init__(self, answer: Callable[[str, Sequence[str]], Said]) -> None:
        self.answer = answer
        self.calls: list[tuple[str, list[str]]] = []
        self.query: dict[str, list[str]] = {}
        self.url = ""
        self.lock = threading.Lock()

    @property
    def connection(self) -> Connection:
        """As a deployment would define it."""
        return Connection(conn_id="youtube_default", conn_type="youtube", host=self.url, password=CANARY)

    def count(self, endpoint: str) -> int:
        """Calls of one endpoint."""
        return sum(1 for called, _ in self.calls if called == endpoint)


def items(ids: Sequence[str], **snippet: Any) -> Said:
    """The usual answer for these ids."""
    return 200, {"items": [{"id": each, "snippet": snippet, "statistics": {"viewCount": "100"}} for each in ids]}


def refusal(code: int, reason: str, message: str = "no", **error: Any) -> Said:
    """A refusal as YouTube words it."""
    return code, {"error": {"code": code, "message": message, "errors": [{"reason": reason}]} | error}


@contextmanager
def answering(answer: Callable[[str, Sequence[str]], Said]) -> Iterator[Answering]:
    """Answer each call with what `answer(endpoint, ids)` returns."""
    told = Answering(answer)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            url = urlsplit(self.path)
            query = parse_qs(self.rfile.read(length).decode() if length else url.query)
            ids = [each for given in query.get("id", []) for each in given.split(",")]
            endpoint = url.path.rsplit("/", 1)[-1]
            with told.lock:
                told.calls.append((endpoint, ids))
                told.query = query
                status, body = told.answer(endpoint, ids)
            sent = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html" if isinstance(body, bytes) else "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.end_headers()
            self.wfile.write(sent)

        do_POST = do_GET  # noqa: N815  # the names are the base class's

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 128

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        told.url = f"http://127.0.0.1:{server.server_port}/"
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()
