"""Every command and every example of the documentation, run in the order of its page."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
import yaml
from airflow.configuration import conf

from connections import eventually
from docs.not_run import FOUND_BETWEEN, elsewhere
from docs.world import DAGS, World
from documentation import PAGES, ROOT, SHOWN, Block, blocks, commands
from ghost_tracking.core.sources import parse_sources
from ghost_tracking.settings import (
    NOTIFIERS_VARIABLE,
    POSTGRES_CONNECTION,
    SOURCES_VARIABLE,
    VAULT_CONNECTION,
    YOUTUBE_CONNECTION,
    Settings,
)
from ghost_tracking.tasks.notifications import notifiers
from local_stack.stack import NO_KEY

pytestmark = pytest.mark.docs

BLOCKS = [block for page in PAGES for block in blocks(page) if block.language != SHOWN]

CONNECTIONS = (POSTGRES_CONNECTION, VAULT_CONNECTION, YOUTUBE_CONNECTION)

ASKS_DUCKDB = {"docs/read-the-data.md"}
"""Pages whose SQL is for DuckDB; the others' is for PostgreSQL."""

NOT_INSTALLED = {"airflow.providers.slack": "the provider is not among the development requirements"}
"""Packages of notifiers that an example names and nobody can load here."""


@pytest.fixture(autouse=True)
def in_the_checkout(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run what runs in this process where its reader would."""
    monkeypatch.chdir(world.checkout)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # what duckdb 2.0 does to make a frame
@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_every_block_runs(
    block: Block, world: World, namespace: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RUNNERS.get(block.language)
    assert run, f"{block}: nobody here runs {block.language or 'what has no language'}"
    run(block, world, namespace, monkeypatch)


def run_bash(block: Block, world: World, _: dict[str, object], __: pytest.MonkeyPatch) -> None:
    """Run commands that follow one another as one script, up to one that is only checked."""
    with a_deployment_without_connections(world) if "airflow connections add" in block.code else nullcontext():
        run_commands(block, world)
    if f"airflow variables set {SOURCES_VARIABLE}" in block.code:  # of YouTube's, which are unknown here
        world.stack.api("DELETE", f"variables/{SOURCES_VARIABLE}")


def run_commands(block: Block, world: World) -> None:
    """The commands of a block."""
    script = ""
    for command in commands(block.code):
        before(world, command)
        if (entry := elsewhere(command)) is None and not command.startswith(ALONE):
            script += command
            continue
        if script:
            world.shell(script)
        script = ""
        if entry is None:
            world.shell(command)
        else:
            entry.instead(world, command)
    if script:
        world.shell(script)
    if re.search(r"^pg_restore", block.code, re.MULTILINE):
        the_video_is_back(world)


@contextmanager
def a_deployment_without_connections(world: World) -> Iterator[None]:
    """Take the stack's own connections away, and bring them back instead of those that the page has made."""
    for dag_id in DAGS:
        world.stack.rest(dag_id)
    own = {name: world.stack.api("GET", f"connections/{name}") for name in CONNECTIONS}
    passwords = {"ghost_postgres": world.stack.state.secret("postgres_password"), "youtube_default": NO_KEY}
    for name in own:
        world.stack.api("DELETE", f"connections/{name}")
    yield
    for name, connection in own.items():
        made = world.stack.api("GET", f"connections/{name}")
        assert (made["conn_type"], made["schema"]) == (connection["conn_type"], connection["schema"])
        assert bool(made["password"]) == (name in passwords)
        world.stack.api("PATCH", f"connections/{name}", connection | {"password": passwords.get(name)})
    for dag_id in DAGS:
        world.stack.unpause(dag_id)


ALONE = ("airflow dags pause", "pg_restore")
"""Commands that are no part of a script, since `before` waits for something."""


def before(world: World, command: str) -> None:
    """Do what the text around a command tells one to do."""
    if command.startswith("airflow dags pause"):
        for dag_id in DAGS:
            world.stack.wait_until_idle(dag_id, timeout=180.0)
    if command.startswith("pg_restore"):
        wait_for_tasks(world)
    if "adopt_old_videos" in command:
        with psycopg.connect(world.stack.ghost_dsn) as session:
            session.execute("ALTER TABLE videos ADD COLUMN last_updated_at TIMESTAMPTZ")


def wait_for_tasks(world: World) -> None:
    """No task runs."""

    def none_runs() -> bool:
        path = "dags/~/dagRuns/~/taskInstances"
        return not world.stack.api("GET", path, state=["running", "queued"], limit=1)["task_instances"]

    eventually(none_runs, within=90.0, every=0.5)


def the_video_is_back(world: World) -> None:
    """After a restore: the janitor has put back what only the vault knew."""

    def is_tracked() -> bool:
        with psycopg.connect(world.stack.ghost_dsn) as session:
            found = session.execute("SELECT count(*) FROM watchlist WHERE video_id = %s", [FOUND_BETWEEN]).fetchone()
        return found == (1,)

    eventually(is_tracked, within=120.0, every=0.5)


def run_sql(block: Block, world: World, _: dict[str, object], __: pytest.MonkeyPatch) -> None:
    """Ask; every statement that gives rows gives some, but of a table that is empty where nothing is rebuilt."""
    if block.page in ASKS_DUCKDB:
        with closing(duckdb.connect()) as session:
            session.execute(f"SET VARIABLE vault = '{world.vault}'")
            session.execute(Path("include/queries/duckdb/ghost.sql").read_text("utf-8"))
            # the command line's own way to load a file
            text = re.sub(
                r"^\.read (\S+)$", lambda found: Path(found[1]).read_text("utf-8"), block.code, flags=re.MULTILINE
            )
            assert session.execute(world.here(text)).fetchall()
        return
    with psycopg.connect(world.stack.ghost_dsn) as connection, connection.cursor() as cursor:
        cursor.execute(block.code.encode())
        while True:
            found = cursor.description is None or cursor.fetchall()
            assert found or "FROM rebuild_progress" in block.code, cursor.statusmessage
            if not cursor.nextset():
                break


def run_python(block: Block, world: World, namespace: dict[str, object], _: pytest.MonkeyPatch) -> None:
    """Execute with the names that the page's earlier programs have left."""
    code = compile("\n" * block.line + world.here(block.code), block.page, "exec")
    exec(code, namespace)  # noqa: S102 - the page is ours


def read_json(block: Block, _: World, __: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Load notifiers as alerts do."""
    loadable = [each for each in json.loads(block.code) if not each["notifier"].startswith(tuple(NOT_INSTALLED))]
    assert loadable
    monkeypatch.setenv(f"AIRFLOW_VAR_{NOTIFIERS_VARIABLE.upper()}", json.dumps(loadable))
    assert len(notifiers()) == len(loadable)


def read_yaml(block: Block, _: World, __: dict[str, object], ___: pytest.MonkeyPatch) -> None:
    """Read sources as the hunter does, a compose file as Docker's schema has it."""
    document = yaml.safe_load(block.code)
    if "sources" in document:
        assert parse_sources(document, str(block))
        return
    if "executor" in document:
        read_values_of_the_chart(document)
        return
    assert "services" in document, f"{block}: nobody here reads this"
    subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            "--default-filetype",
            "yaml",
            "-",
        ],
        input=block.code,
        text=True,
        check=True,
    )


def read_values_of_the_chart(values: dict[str, Any]) -> None:
    """What they give to Airflow and to this project: options, settings, connections that there are."""
    known = conf.configuration_description
    for section, options in values["config"].items():
        assert set(options) <= set(known[section]["options"]), section
    env = {each["name"]: each["value"] for each in values["env"]}
    assert Settings.model_validate_json(env["AIRFLOW_VAR_GHOST_SETTINGS"]).model_fields_set
    connections = {each["envName"].removeprefix("AIRFLOW_CONN_").lower() for each in values["secret"]}
    assert connections == set(CONNECTIONS)


RUNNERS: dict[str, Callable[[Block, World, dict[str, object], pytest.MonkeyPatch], None]] = {
    "bash": run_bash,
    "sql": run_sql,
    "python": run_python,
    "json": read_json,
    "yaml": read_yaml,
}


def test_the_layout_is_as_it_is_shown(prepared: Path) -> None:
    (layout,) = [each for each in blocks(ROOT / "docs" / "read-the-data.md") if each.language == SHOWN]
    for line in layout.code.split():
        assert list(prepared.glob(line.replace("…", "*").removeprefix("/data/vault/"))), line


def test_every_run_that_was_started_ends_well(world: World) -> None:
    for dag_id in DAGS:
        world.stack.wait_until_idle(dag_id, timeout=180.0)
        runs = world.stack.api("GET", f"dags/{dag_id}/dagRuns", limit=100)["dag_runs"]
        bad = [each["dag_run_id"] for each in runs if each["state"] != "success"]
        assert not bad, "\n".join(world.stack.explain(dag_id, each) for each in bad)
