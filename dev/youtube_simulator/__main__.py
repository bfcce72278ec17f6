"""Command line: python -m youtube_simulator --port 8765."""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from .clock import as_utc
from .quota import Bucket
from .replay import ReplayError
from .server import SimulatorServer
from .simulator import Simulator
from .state import StateError, Universe, agree, load, save, write_whole
from .world import current_hour

_DEFAULTS: dict[str, Any] = {"seed": 7, "channels": 200, "videos_per_hour": 120.0, "history_days": 30.0}


def _time(text: str) -> datetime:
    return as_utc(datetime.fromisoformat(text))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("youtube_simulator", description="Serve a simulated YouTube Data API v3.")
    parser.add_argument("--port", type=int, default=8765, help="port on 127.0.0.1; 0: a free one (%(default)s)")
    parser.add_argument("--seed", type=int, help="settles the universe (default 7)")
    parser.add_argument("--channels", type=int, help="number of channels (default 200)")
    parser.add_argument("--videos-per-hour", type=float, help="new videos an hour, all channels (default 120)")
    parser.add_argument("--history-days", type=float, help="days of videos before the origin (default 30)")
    parser.add_argument("--origin", type=_time, help="ISO time with zone (default: this hour, at first start)")
    parser.add_argument("--latency-ms", type=float, default=0.0, help="milliseconds that an answer takes longer")
    for bucket in Bucket:
        parser.add_argument(f"--quota-{bucket.value}", type=int, metavar="N", help="calls a Pacific day")
    parser.add_argument("--key", help="the accepted API key (default: any); better --key-file")
    parser.add_argument("--key-file", type=Path, help="a file with the accepted API key")
    parser.add_argument("--replay", type=Path, metavar="CSV", help="recorded series to serve too")
    parser.add_argument("--replay-start", type=_time, help="move the first recorded reading to this ISO time")
    parser.add_argument("--state-file", type=Path, help="keeps the universe over restarts")
    parser.add_argument("--ready-file", type=Path, help="the URL is written here when the server is ready")
    return parser


def _universe(options: argparse.Namespace) -> Universe:
    """Give the stored universe, or the one that the options ask for."""
    wished = {name: getattr(options, name) for name in _DEFAULTS}
    stored = load(options.state_file) if options.state_file is not None else None
    if stored is not None:
        agree(stored, wished, options.state_file)
        return stored
    chosen = {name: default if wished[name] is None else wished[name] for name, default in _DEFAULTS.items()}
    origin = options.origin if options.origin is not None else current_hour()
    return Universe(origin=origin.isoformat(), **chosen)


def _simulator(options: argparse.Namespace, universe: Universe) -> Simulator:
    limits = {bucket: getattr(options, f"quota_{bucket.value}") for bucket in Bucket}
    key = options.key_file.read_text(encoding="utf-8").strip() if options.key_file is not None else options.key
    simulator = Simulator(
        universe.seed,
        origin=universe.origin_time,
        channels=universe.channels,
        videos_per_hour=universe.videos_per_hour,
        history_days=universe.history_days,
        key=key or None,
        latency_ms=options.latency_ms,
        limits={bucket: limit for bucket, limit in limits.items() if limit is not None},
    )
    if options.replay is not None:
        simulator.replay(options.replay, start=options.replay_start)
    return simulator


def _serve(options: argparse.Namespace, stop: threading.Event) -> None:
    universe = _universe(options)
    simulator = _simulator(options, universe)

    def keep() -> None:
        if options.state_file is not None:
            origin = simulator.world.origin.isoformat()
            fields = {name: getattr(universe, name) for name in _DEFAULTS}
            save(options.state_file, Universe(origin=origin, **fields))

    with SimulatorServer(simulator, options.port, on_origin=keep) as server:
        keep()
        if options.ready_file is not None:
            write_whole(options.ready_file, server.url)
        print(server.url, flush=True)
        while not stop.wait(3600.0):
            pass


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT, SIGTERM or SIGHUP; give the exit code, 1 with one line on stderr if it cannot."""
    options = _parser().parse_args(arguments)
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    try:
        _serve(options, stop)
    except (StateError, ReplayError, ValueError, OSError) as error:
        text = f"port {options.port}: {error}" if isinstance(error, OSError) and not error.filename else error
        print(f"youtube_simulator: {text}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
