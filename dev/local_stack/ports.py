"""Free ports on the loopback interface."""

from __future__ import annotations

import errno
import socket

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


def choose_port(*preferred: int, avoid: frozenset[int] = frozenset()) -> int:
    """The first of the preferred ports that is free, or any other one."""
    for port in preferred:
        if port not in avoid and is_free(port):
            return port
    while (port := any_free_port()) in avoid:
        pass
    return port
