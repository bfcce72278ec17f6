"""Broken and foreign files, and disks that are full."""

import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.parquet as pq


def foreign_file(rows: int = 1) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"video_id": ["x"] * rows, "shares": list(range(rows))}), sink)
    return bytes(sink.getvalue())


def damaged(data: bytes, how: str) -> bytes:
    middle = len(data) // 3
    return {
        "empty": b"",
        "cut short": data[:middle],
        "without its end": data[:-1],
        "zeroed": bytes(len(data)),
        "one bit turned in the data": data[:40] + bytes([data[40] ^ 1]) + data[41:],
        "other columns": foreign_file(),
        "no parquet": b"<html>404</html>",
    }[how]


@contextmanager
def full_disk() -> Iterator[None]:
    """This process may write no file larger than 4 kB: the operating system itself refuses."""
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
