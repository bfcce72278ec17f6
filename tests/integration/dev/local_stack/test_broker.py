"""The broker of Celery, as the local stack and docker-compose.yaml have it."""

import os
import signal
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import redis

from local_stack.broker import Broker
from local_stack.ports import any_free_port

PASSWORD = "0123abc"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Broker]]:
    """Starts the broker, again with the same folder after the last one has ended."""
    port, started = any_free_port(), []

    def start() -> Broker:
        broker = Broker(tmp_path, port=port, password=PASSWORD, log=tmp_path / "log", env=dict(os.environ))
        started.append(broker)
        broker.start()
        return broker

    yield start
    for broker in started:
        broker.component.signal(signal.SIGKILL)
        assert broker.component.wait(5)


def test_it_wants_the_password_and_shows_it_to_nobody(start: Callable[[], Broker], tmp_path: Path) -> None:
    broker = start()
    with pytest.raises(redis.AuthenticationError), redis.Redis.from_url(broker.url().replace(PASSWORD, "other")) as one:
        one.ping()
    assert PASSWORD not in " ".join(psutil.Process(broker.component.pid).cmdline())
    (config,) = tmp_path.glob("*.conf")
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    listening = psutil.Process(broker.component.pid).net_connections("inet")
    assert {each.laddr.ip for each in listening if each.status == psutil.CONN_LISTEN} == {"127.0.0.1"}


def test_what_is_queued_outlives_a_kill(start: Callable[[], Broker]) -> None:
    broker = start()
    with redis.Redis.from_url(broker.url()) as queue:
        queue.lpush("default", "message")
    broker.component.signal(signal.SIGKILL)
    assert broker.component.wait(5)
    with redis.Redis.from_url(start().url()) as queue:
        assert queue.lrange("default", 0, -1) == [b"message"]


def test_nobody_answers_for_a_worker(start: Callable[[], Broker]) -> None:
    assert start().workers() == set()
