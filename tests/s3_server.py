"""An S3 for tests: moto's server in a process of its own, which checks signatures and can be told to fail.

moto and botocore stay out of the tests' process, and one request is served after the other: moto's checking of a
condition and its writing are two steps, which S3's are not.
"""

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

FAULTS = "/_faults"
REQUESTS = "/_requests"
_ALLOWED = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


@dataclass(frozen=True)
class S3Server:
    """Where the server is, and whom it lets in."""

    endpoint: str
    key: str
    secret: str
    stranger: str
    """A key whose secret is the same, and that may do nothing."""

    @property
    def options(self) -> dict[str, Any]:
        """What s3fs needs to go there."""
        return {"key": self.key, "secret": self.secret, "endpoint_url": self.endpoint, "use_listings_cache": False}

    def connection(self, *, key: str | None = None, secret: str | None = None, **extra: Any) -> str:
        """An Airflow connection to it, as the value of an environment variable."""
        extra = {"endpoint_url": self.endpoint, "region_name": "us-east-1", **extra}
        return json.dumps(
            {"conn_type": "aws", "login": key or self.key, "password": secret or self.secret, "extra": extra}
        )

    def fail(self, *, times: int, how: str, method: str = "") -> None:
        """Let the next requests (of this method) fail: `how` is an HTTP status, `lost answer` or `cut answer`."""
        order = json.dumps({"times": times, "how": how, "method": method}).encode()
        urllib.request.urlopen(f"{self.endpoint}{FAULTS}", order, timeout=10).close()  # noqa: S310

    def requests_by_kind(self) -> dict[str, int]:
        """How many requests of each kind it was sent since it was asked last."""
        with urllib.request.urlopen(f"{self.endpoint}{REQUESTS}", timeout=10) as answer:  # noqa: S310
            found: dict[str, int] = json.load(answer)
        return found


def folder_only(reason: str) -> pytest.MarkDecorator:
    """The test meets no vault in S3, for a reason that is for readers."""
    assert reason
    return pytest.mark.parametrize("vault_root", ["folder"], indirect=True)


@contextmanager
def serving_s3(log: Path, *, keys_a_page: int = 50) -> Iterator[S3Server]:
    """The server, for as long as the context lasts; S3 itself has 1,000 keys on a page of a listing."""
    environment = {
        **os.environ,
        "INITIAL_NO_AUTH_ACTION_COUNT": "0",
        "MOTO_S3_DEFAULT_MAX_KEYS": str(keys_a_page),
        "PYTHONWARNINGS": "ignore",
    }
    with (
        log.open("wb") as messages,
        subprocess.Popen(
            [sys.executable, __file__], stdout=subprocess.PIPE, stderr=messages, env=environment
        ) as process,
    ):
        try:
            assert process.stdout is not None
            yield S3Server(**json.loads(process.stdout.readline()))
        finally:
            process.send_signal(signal.SIGTERM)


# What runs in the other process


class Faults:
    """Counts requests, lets some fail as it was told to, and passes all others on."""

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app
        self._order: dict[str, Any] = {"times": 0}
        self._requests: Counter[str] = Counter()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == FAULTS:
            self._order = json.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
            start_response("204 No Content", [])
            return []
        if environ["PATH_INFO"] == REQUESTS:
            told, self._requests = json.dumps(self._requests).encode(), Counter()
            start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(told)))])
            return [told]
        self._requests[_kind(environ)] += 1
        if not self._order["times"] or self._order["method"] not in {"", environ["REQUEST_METHOD"]}:
            return self._app(environ, start_response)
        self._order["times"] -= 1
        return self._fail(self._order["how"], environ, start_response)

    def _fail(self, how: str, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if how.isdigit():
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response(f"{how} Fault", [("Content-Type", "application/xml")])
            return [b"<Error><Code>ServiceUnavailable</Code><Message>Reduce your rate.</Message></Error>"]
        answer = self._app(environ, start_response)
        connection: socket.socket = environ["werkzeug.socket"]
        if how == "cut answer":
            whole = b"".join(answer)
            return [whole[: len(whole) // 2]]
        for _ in answer:
            pass
        connection.shutdown(socket.SHUT_RDWR)
        return []


def _kind(environ: dict[str, Any]) -> str:
    """What a request is on a bill."""
    method = environ["REQUEST_METHOD"]
    if method == "GET" and "list-type=" in environ["QUERY_STRING"]:
        return "LIST"
    if method == "POST" and "delete" in environ["QUERY_STRING"]:
        return "DELETE"
    return "COPY" if "HTTP_X_AMZ_COPY_SOURCE" in environ else str(method)


def main() -> None:
    from moto.core import serialize
    from moto.iam.models import iam_backends
    from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
    from moto.s3.models import s3_backends
    from werkzeug.serving import make_server

    account = "123456789012"
    iam = iam_backends[account]["aws"]
    iam.create_user("us-east-1", user_name="vault")
    iam.put_user_policy("vault", "all", json.dumps(_ALLOWED))
    iam.create_user("us-east-1", user_name="stranger")
    key, stranger = (iam.create_access_key(name) for name in ("vault", "stranger"))
    stranger.secret_access_key = key.secret_access_key
    s3_backends[account]["aws"].create_bucket("vault", "us-east-1")
    # A third of its time would go into finding out, for each request, for which service it is, and into parsing
    # the times of each file in a listing.
    serialize.parse_to_aware_datetime = lru_cache(10_000)(serialize.parse_to_aware_datetime)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = Faults(create_backend_app("s3"))
    server = make_server("127.0.0.1", 0, app, threaded=False, request_handler=MotoRequestHandler)
    address = {"endpoint": f"http://127.0.0.1:{server.server_port}"}
    keys = {"key": key.access_key_id, "secret": key.secret_access_key, "stranger": stranger.access_key_id}
    print(json.dumps(address | keys), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
