"""A relay between a hook and PostgreSQL, on unix sockets, that cuts the connection at a commit."""

import select
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingUnixStreamServer

_COMMIT = b"COMMIT\0"


class CuttingRelay(ThreadingUnixStreamServer):
    """Passes everything on, but for one commit; commits are counted from 1, over all connections."""

    daemon_threads = True

    def __init__(self, folder: Path, target: Path) -> None:
        self.folder = str(folder)
        self.target = str(target)
        self.commits = 0
        self.was_cut = False
        self._at: int | None = None
        self._sent = True
        self._lock = threading.Lock()
        super().__init__(str(folder / target.name), _Connection)

    def cut(self, at: int, *, sent: bool) -> None:
        """Cut at the commit with this number: before it is sent, or `sent` and done, but not acknowledged."""
        self.commits, self.was_cut, self._at, self._sent = 0, False, at, sent

    def fate(self, data: bytes) -> str:
        """What becomes of bytes from the client: `pass`, `cut`, or `lose` the answer."""
        if _COMMIT not in data:
            return "pass"
        with self._lock:
            self.commits += 1
            if self.commits != self._at:
                return "pass"
            self.was_cut = True
            return "lose" if self._sent else "cut"


class _Connection(BaseRequestHandler):
    server: CuttingRelay
    request: socket.socket

    def handle(self) -> None:
        with suppress(OSError), socket.socket(socket.AF_UNIX) as upstream:
            upstream.connect(self.server.target)
            while self._pass_on(upstream):
                pass

    def _pass_on(self, upstream: socket.socket) -> bool:
        ready, _, _ = select.select([self.request, upstream], [], [])
        if upstream in ready:
            data = upstream.recv(65_536)
            self.request.sendall(data)
            return bool(data)
        data = self.request.recv(65_536)
        fate = self.server.fate(data)
        if fate != "cut":
            upstream.sendall(data)
        if fate == "lose":
            upstream.recv(65_536)  # it is done
        return bool(data) and fate == "pass"


@contextmanager
def relaying(folder: Path, target: Path) -> Iterator[CuttingRelay]:
    """A relay in this folder to the socket `target`."""
    with CuttingRelay(folder, target) as relay:
        thread = threading.Thread(target=relay.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield relay
        finally:
            relay.shutdown()
            thread.join()
