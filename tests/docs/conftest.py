"""What the documentation's commands meet: a copy of the project, a whole stack running in it, a vault with points."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from connections import make_due
from docs.world import DAGS, World
from documentation import ROOT, Block
from ghost_tracking.core.absence import AvailabilityEvent
from ghost_tracking.core.origins import Discovered, Origin, Place
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.core.source_memory import SourceMemory
from ghost_tracking.hooks.vault import ParquetVaultHook
from ghost_tracking.vault import layout
from local_stack.stack import LocalStack

IDS = ("9LfmrkyP81M", "dQw4w9WgXcQ")
FIRST = datetime(2026, 10, 30, 6, 5, tzinfo=UTC)
NIGHT = datetime(2026, 11, 23, 3, 30, tzinfo=UTC)

_LEFT_OUT = shutil.ignore_patterns(
    ".git", ".venv*", ".run", ".demo", ".*_cache", ".hypothesis", "__pycache__", "build", "dist"
)


@pytest.fixture(scope="session")
def world(short_lived_folder: Path) -> Iterator[World]:
    """The world, in which hunter, tracker and janitor have all run once, and go on."""
    checkout = short_lived_folder / "ghost-tracking"
    shutil.copytree(ROOT, checkout, ignore=_LEFT_OUT)
    (checkout / ".venv").symlink_to(ROOT / ".venv")
    places = short_lived_folder / "root"
    stack = LocalStack(
        checkout / ".run",
        seed=11,
        dags_folder=checkout / "dags",
        plugins_folder=checkout / "plugins",
        videos_per_hour=20,
    )
    with stack:
        stack.wait_for_dags(DAGS)
        for dag_id in DAGS:
            if dag_id == "ghost_tracker":
                with psycopg.connect(stack.ghost_dsn) as session:
                    make_due(session)
            assert stack.wait_for_run(dag_id, stack.run_soon(dag_id)) == "success"
        with psycopg.connect(stack.ghost_dsn) as session:
            session.execute(
                "INSERT INTO discovery_gaps (source, label, starts_at, ends_at, reason) VALUES (%s, %s, %s, %s, %s)",
                ("search:airflow", "search 'airflow'", FIRST, FIRST + timedelta(hours=1), "more than a search returns"),
            )
        yield World(checkout, stack, places)


@pytest.fixture(scope="session")
def prepared(short_lived_folder: Path) -> Path:
    """A vault in which everything that the pages ask for is there."""
    root = short_lived_folder / "prepared"
    vault = ParquetVaultHook(root=root)
    vault.stage(
        [
            MetricPoint(video, FIRST + timedelta(days=day), 1000 * day, day, None, FIRST)
            for video in IDS
            for day in range(25)
        ]
    )
    vault.publish()
    vault.archive_videos([{"video_id": each, "title": "Rick Astley", "discovered_at": FIRST} for each in IDS])
    vault.stage_availability([AvailabilityEvent(IDS[1], NIGHT - timedelta(days=2), NIGHT - timedelta(days=1))])
    vault.publish_availability()
    chart = Origin("chart", "mostPopular", "US")
    vault.stage_discoveries(Discovered(each, chart, NIGHT, Place(rank, 1), "run") for rank, each in enumerate(IDS, 1))
    vault.publish_discoveries()
    vault.source_memory.save("search:airflow", SourceMemory(NIGHT, dict.fromkeys(IDS, FIRST), ended=True))
    vault.roster.write(IDS, NIGHT.date())
    vault.import_queue.submit(IDS)
    vault.seal(NIGHT)
    vault.compact(NIGHT)
    vault.refresh_latest()
    assert len(vault.history_files()) > 2
    return root


@pytest.fixture(scope="session")
def begun() -> dict[str, dict[str, object]]:
    """What the programs of each page that has begun share."""
    return {}


@pytest.fixture
def namespace(block: Block, world: World, prepared: Path, begun: dict[str, dict[str, object]]) -> dict[str, object]:
    """What the programs of a block's page share. A page begins with a vault of its own, and ends with the next one."""
    if block.page not in begun:
        begun[block.page] = {"__name__": "page"}
        _begin(world, prepared)
    return begun[block.page]


def _begin(world: World, prepared: Path) -> None:
    for folder in ("data", "backup"):
        shutil.rmtree(world.places / folder, ignore_errors=True)
        (world.places / folder).mkdir(parents=True)
    shutil.copytree(prepared, world.vault)
    # a page that adopts its vault must not take the database from the running stack: both are one vault to it
    shutil.copyfile(world.stack.vault / layout.IDENTITY, world.vault / layout.IDENTITY)
    near = world.checkout / "vault"
    near.unlink(missing_ok=True)
    near.symlink_to(world.vault)
    (world.checkout / "videos.csv").write_text("video,comment\nlGGDIGizcQ0,one\nhttps://youtu.be/9LfmrkyP81M,two\n")
