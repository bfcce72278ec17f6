"""One HTTP request to YouTube: the key it carries, the payment before it is sent, and how much of an answer is read."""

import http.client
import socket
import zlib
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

import httplib2

MOST_BYTES = 32 * 2**20
"""Of an answer: fifty videos with the longest descriptions take some 2 MB."""
_KEY_HEADER = "x-goog-api-key"
_CODINGS = {"gzip": [zlib.MAX_WBITS | 16], "deflate": [zlib.MAX_WBITS, -zlib.MAX_WBITS]}
"""What the Google client says that it takes; of deflate servers have two notions."""


class Transport(httplib2.Http):  # type: ignore[misc]  # httplib2 has no types
    """One thread's connection: sends the key as a header, pays for each request at the moment it is sent.

    httplib2 sends a request again when a kept connection turns out stale; that one is paid for too. A redirect is
    not followed, since it would take the key along to wherever it points. Of an answer no more is read, and no more
    decompressed, than `MOST_BYTES`.
    """

    def __init__(self, key: str, timeout: float, *, in_query: bool = False) -> None:
        super().__init__(timeout=timeout)
        self.follow_redirects = False
        self.pay: Callable[[], None] = lambda: None
        self.key = key
        self._in_query = in_query
        self._is_aborted = False
        self._connection_types = _connection_types(self)

    def request(self, uri: str, method: str = "GET", body: Any = None, headers: Any = None, **options: Any) -> Any:
        """Send one request; the connections that carry it pay."""
        headers = dict(headers or {})
        options["connection_type"] = self._connection_types[urlsplit(uri).scheme]
        if self._in_query:  # added here and not by the Google client, which logs its URLs
            uri += f"{'&' if '?' in uri else '?'}key={quote(self.key)}"
        else:
            headers[_KEY_HEADER] = self.key
        try:
            return super().request(uri, method=method, body=body, headers=headers, **options)
        finally:
            if self._is_aborted:
                self.close()  # httplib2 may have connected again, unseen by who aborted

    def sending(self) -> None:
        """Pay for a request that is about to be sent. Raises ConnectionAbortedError where it was aborted."""
        if self._is_aborted:
            raise ConnectionAbortedError("the time of the batch is over")
        self.pay()

    def abort(self) -> None:
        """End a request under way in another thread for good: closing would not wake it."""
        self._is_aborted = True
        for connection in list(self.connections.values()):
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)


class _PaidConnection(http.client.HTTPConnection):
    """A connection whose transport pays for each request, and of whose answers a bounded part is read."""

    transport: ClassVar[Transport]

    def request(self, *arguments: Any, **options: Any) -> None:
        try:
            self.transport.sending()
        except ConnectionAbortedError:
            self.close()  # httplib2 may have connected again, when whoever aborted had closed what there was
            raise
        super().request(*arguments, **options)

    def getresponse(self) -> http.client.HTTPResponse:
        return _bounded(super().getresponse())


def _connection_types(transport: Transport) -> dict[str, type[_PaidConnection]]:
    """What httplib2 makes connections of. It makes them itself, so the class has to know whose they are."""

    class Plain(_PaidConnection, httplib2.HTTPConnectionWithTimeout):  # type: ignore[misc]
        pass

    class Encrypted(_PaidConnection, httplib2.HTTPSConnectionWithTimeout):  # type: ignore[misc]
        pass

    Plain.transport = Encrypted.transport = transport
    return {"http": Plain, "https": Encrypted}


class _TooLargeError(http.client.HTTPException):
    """An answer has more bytes than any of YouTube's."""


def _bounded(answer: http.client.HTTPResponse) -> http.client.HTTPResponse:
    """An answer of which no more is read than it may have; decompressed here, since httplib2 would know no bound."""
    read = answer.read

    def bounded() -> bytes:
        try:
            return _read(answer, read)
        except BaseException:
            answer.close()
            raise

    answer.read = bounded  # type: ignore[method-assign,assignment]
    return answer


def _read(answer: http.client.HTTPResponse, read: Callable[[int], bytes]) -> bytes:
    data = read(MOST_BYTES + 1)
    if answer.length and len(data) <= MOST_BYTES:  # asked for a number of bytes, it would not say that it was cut off
        raise http.client.IncompleteRead(b"", answer.length)
    coding = answer.headers.get("content-encoding", "").strip().lower()
    if data and coding in _CODINGS and len(data) <= MOST_BYTES:
        data = _decompressed(data, coding)
        del answer.headers["content-encoding"], answer.headers["content-length"]
    if len(data) > MOST_BYTES:
        raise _TooLargeError(f"the answer has more than {MOST_BYTES:,} bytes")
    return data


def _decompressed(data: bytes, coding: str) -> bytes:
    """The first `MOST_BYTES` of what was compressed, and one more where there is more."""
    for bits in _CODINGS[coding]:
        stream = zlib.decompressobj(bits)
        try:
            whole = stream.decompress(data, MOST_BYTES + 1)
        except zlib.error as error:
            failure = error
            continue
        if not stream.eof and len(whole) <= MOST_BYTES:
            raise http.client.IncompleteRead(b"")
        return whole
    raise http.client.HTTPException(f"the answer cannot be decompressed: {failure}")
