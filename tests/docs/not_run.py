"""What the documentation tells one to run and these tests do not run: why, and what is checked in its place."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import yaml

from connections import connection_of
from docs.world import World
from documentation import ROOT
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.hooks.watchlist import WatchlistHook
from ghost_tracking.services.recovery import ScheduleReconciler

FOUND_BETWEEN = "found-later"
"""A video that was found after the database was backed up, and before the vault was."""


@dataclass(frozen=True)
class Elsewhere:
    """Commands that match `pattern`; `instead` gets the world and the command, and fails where something is wrong."""

    pattern: str
    reason: str
    instead: Callable[[World, str], None]


def elsewhere(command: str) -> Elsewhere | None:
    """The entry for a command; None where it is to be run."""
    return next((each for each in ELSEWHERE if re.match(each.pattern, command)), None)


def _is_a_target(_: World, command: str) -> None:
    (target,) = re.findall(r"\bmake ([a-z-]+)", command)
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


def _copies(world: World, command: str) -> None:
    """Copy what rsync would, with it where it is installed."""
    *options, source, target = shlex.split(world.here(command), comments=True)
    assert options == ["rsync", "--archive", "--delete"]
    assert source.endswith("/"), "rsync would copy the folder into the other one"
    if "/backup/" in target:
        _find_a_video(world)
    if shutil.which("rsync"):
        world.shell(command)
        return
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def _find_a_video(world: World) -> None:
    """Do what a run of the hunter does: a first point, a row of the watchlist, the same mark in both."""
    now = datetime.now(UTC).replace(microsecond=0)
    vault = ParquetVaultHook(root=world.stack.vault)
    with WatchlistHook(connection=connection_of(world.stack.ghost_dsn)) as watchlist:
        vault.append_metrics(
            [{"video_id": FOUND_BETWEEN, "timestamp": now, "views": 1, "published_at": now - timedelta(minutes=9)}]
        )
        watchlist.add_to_watchlist(FOUND_BETWEEN)
        assert ScheduleReconciler(watchlist, vault, now).in_sync()


def _names_a_file(_: World, command: str) -> None:
    for file in re.findall(r"-r (\S+)", command):
        assert (ROOT / file).is_file(), command


def _names_services(_: World, command: str) -> None:
    """The compose file is checked against its schema by `make lint`; here, that the services are there."""
    services = yaml.safe_load((ROOT / "docker-compose.yaml").read_text(encoding="utf-8"))["services"]
    words = shlex.split(command, comments=True)
    action = next(word for word in words[2:] if not word.startswith("-"))
    assert action in {"up", "down", "stop", "restart", "exec", "run", "build", "ps", "logs", "pull"}, command
    if action in {"stop", "restart", "logs", "exec", "run"}:
        given = [word for word in words[words.index(action) + 1 :] if not re.match(r"-|\w+=", word)]
        named = given[:1] if action in {"exec", "run"} else given
        assert named, command
        assert set(named) <= set(services), command


def _makes_secrets(world: World, command: str) -> None:
    """Run it with a key, as if somebody had typed one."""
    world.shell(f"export YOUTUBE_API_KEY=a_key\n{command}\nls secrets/worker_connections.json\nrm -rf secrets")


def _is_not_checked(_: World, __: str) -> None:
    """There is nothing here to check it with."""


ELSEWHERE = [
    Elsewhere(
        r"(YOUTUBE_API_KEY=\S+ )?make (run|demo|lint|test|bench|simulate)\b",
        "`.ci/run` runs them, or they take an hour, or want a real key: the target is there",
        _is_a_target,
    ),
    Elsewhere(r"rsync ", "not installed everywhere: what it would copy is copied", _copies),
    Elsewhere(
        r"(pip|uv pip) install |uv build |pip wheel ",
        "`make test-deployments` builds and installs, in environments of its own: the files that are named are there",
        _names_a_file,
    ),
    Elsewhere(r"sh include/compose/secrets\.sh", "asks for a key: it is given one", _makes_secrets),
    Elsewhere(r"docker compose ", "there is no Docker here: the services that are named are there", _names_services),
    Elsewhere(r"astro ", "Astro's command line wants Docker", _is_not_checked),
    Elsewhere(r"git clone ", "asks another host", _is_not_checked),
]
