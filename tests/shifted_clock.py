"""A clock that a test and its other processes share, and that it may turn; one process's may be wrong by some more.

`install` (for good) and `shifted` (for a while) shift what Python code reads: `datetime.now`, `datetime.utcnow`,
`date.today`, `time.time` and what is made of them, in whatever module they were imported to before. `time.monotonic`
goes on as it does, as when an operator sets a machine's clock. `IN_POSTGRES` makes the same of a database's `now()` and
`clock_timestamp()`.
"""

import ctypes
import gc
import mmap
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, tzinfo
from pathlib import Path
from typing import Any

from local_stack.postgres import own_clock

IN_POSTGRES = """
    CREATE TABLE public.clock_shift (seconds DOUBLE PRECISION NOT NULL);
    INSERT INTO public.clock_shift VALUES (0);
""" + own_clock(
    now="SELECT pg_catalog.now() + make_interval(secs => seconds) FROM public.clock_shift",
    clock_timestamp="SELECT pg_catalog.clock_timestamp() + make_interval(secs => seconds) FROM public.clock_shift",
)

_FORM = struct.Struct("d")
_real_time, _real_time_ns = time.time, time.time_ns
_REAL = {
    datetime: {name: datetime.__dict__[name] for name in ("now", "utcnow")},
    date: {"today": date.__dict__["today"]},
}


class SharedShift:
    """By how many seconds the shared clock is ahead of the machine's, in a file that all processes see at once."""

    def __init__(self, file: Path) -> None:
        if not file.exists():
            file.write_bytes(_FORM.pack(0.0))
        with file.open("r+b") as opened:
            self._shared = mmap.mmap(opened.fileno(), _FORM.size)

    @property
    def seconds(self) -> float:
        """The shift as it is now."""
        return float(_FORM.unpack_from(self._shared)[0])

    @seconds.setter
    def seconds(self, shift: float) -> None:
        _FORM.pack_into(self._shared, 0, shift)

    def now(self) -> datetime:
        """The shared clock's time, UTC."""
        return datetime.fromtimestamp(_real_time() + self.seconds, UTC)


def install(shift: Callable[[], float]) -> None:
    """Shift this process's clock, for good, by what `shift` says in seconds whenever it is read."""

    def seconds() -> float:
        return _real_time() + shift()

    def now(cls: type[datetime], tz: tzinfo | None = None) -> datetime:
        return cls.fromtimestamp(seconds(), tz)

    def utcnow(cls: type[datetime]) -> datetime:
        return cls.fromtimestamp(seconds(), UTC).replace(tzinfo=None)

    def today(cls: type[date]) -> date:
        return cls.fromtimestamp(seconds())

    _set(datetime, now=classmethod(now), utcnow=classmethod(utcnow))
    _set(date, today=classmethod(today))
    time.time = seconds
    time.time_ns = lambda: int(seconds() * 1e9)


@contextmanager
def shifted(shift: Callable[[], float]) -> Iterator[None]:
    """Shift this process's clock as `install` does, and let it be right again at the end."""
    install(shift)
    try:
        yield
    finally:
        for cls, members in _REAL.items():
            _set(cls, **members)
        time.time, time.time_ns = _real_time, _real_time_ns


def _set(cls: type, **values: Any) -> None:
    """Change a class that is written in C, whoever has imported it: nobody would see a subclass."""
    (members,) = gc.get_referents(cls.__dict__)
    for name, value in values.items():
        members[name] = value
    ctypes.pythonapi.PyType_Modified(ctypes.py_object(cls))
