"""Free ports on the loopback interface, and which of them a stack has chosen."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import tempfile
from pathlib import Path

from local_stack.errors import StackError

LOOPBACK = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a server could listen on that port of the loopback interface now.

    Connecting comes first: some systems let a server bind 127.0.0.1 beside another one that holds all
    interfaces, and browsers may then reach either.
    """
    for family, address in ((socket.AF_INET, LOOPBACK), (socket.AF_INET6, "::1")):
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.settimeout(0.5)
                if probe.connect_ex((address, port)) == 0:
                    return False
        except OSError as error:  # no IPv6 here
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # not put off by TIME_WAIT after a restart
        try:
            server.bind((LOOPBACK, port))
        except OSError:
            return False
    return True


def any_free_port() -> int:
    """A port that the system considers free."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind((LOOPBACK, 0))
        port: int = server.getsockname()[1]
        return port


class Reservations:
    """The ports that one stack has chosen, kept from this user's other stacks until `release`.

    A server listens seconds after its port was found free; two stacks that start together would find the same one. Each
    port has a file whose lock the stack holds, and which the kernel gives back when its supervisor dies.
    """

    def __init__(self) -> None:
        self._held: dict[int, int] = {}

    def choose(self, *preferred: int, avoid: frozenset[int] = frozenset()) -> int:
        """The first of the preferred ports that is free and no other stack's, or any other one; it is reserved."""
        for port in preferred:
            if port not in avoid and self._reserve(port):
                return port
        while (port := any_free_port()) in avoid or not self._reserve(port):
            pass
        return port

    def release(self) -> None:
        """Let other stacks have them."""
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()

    def _reserve(self, port: int) -> bool:
        if port in self._held:
            return is_free(port)
        descriptor = os.open(_folder() / str(port), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return False
        if not is_free(port):
            os.close(descriptor)
            return False
        self._held[port] = descriptor
        return True


def _folder() -> Path:
    """Where the locks of this user's ports lie: the same folder for all of his stacks, and nobody else's."""
    folder = Path(tempfile.gettempdir()) / f"ghost-tracking-ports-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise StackError(f"{folder} belongs to another user; it should hold locks of this user's ports")
    return folder
