"""The API key is used, and appears nowhere: output, logs, XCom, rendered fields, databases, vault, HTTP answers."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql as statements

from connections import CANARY, make_due
from local_stack.stack import LocalStack

pytestmark = pytest.mark.faults

FAULTS: dict[str, dict[str, Any]] = {
    "a refused key": {"kind": "api_key_invalid"},
    "a blocked key": {"kind": "key_blocked"},
    "a quota that is used up": {"kind": "daily_limit"},
    "a server error": {"kind": "http_error", "status": 503},
    "a page of HTML": {"kind": "html_ok"},
    "half an answer": {"kind": "truncated_json"},
    "a lost connection": {"kind": "reset"},
}


@pytest.fixture(scope="module", params=["header", "query"])
def lived_through(request: pytest.FixtureRequest, stack: LocalStack) -> Iterator[LocalStack]:
    """The stack after a success and after each class of error, the key sent in each of the two ways."""
    connection = stack.api("GET", "connections/youtube_default")
    extra = json.dumps({"key_in": request.param})
    stack.api("PATCH", "connections/youtube_default", connection | {"password": CANARY, "extra": extra})
    with psycopg.connect(stack.ghost_dsn, autocommit=True) as session:
        for fault in (None, *FAULTS.values()) if request.param == "header" else (None, FAULTS["a server error"]):
            if fault:
                stack.simulator_control("POST", "faults", fault)
            if fault in (None, FAULTS["a refused key"]):
                one_run(stack, session, "ghost_hunter", {"videos": ["aaaaaaaaaaA"]})
            one_run(stack, session, "ghost_tracker", {})
            stack.simulator_control("POST", "faults", {"clear": True})
            session.execute("UPDATE quota_ledger SET exhausted_at = NULL")
    yield stack
    stack.api("PATCH", "connections/youtube_default", connection | {"password": CANARY})


def one_run(stack: LocalStack, session: psycopg.Connection, dag_id: str, conf: dict) -> None:
    """A run that may fail."""
    if dag_id == "ghost_tracker":
        session.execute("DELETE FROM watchlist WHERE video_id NOT IN (SELECT video_id FROM watchlist LIMIT 20)")
        make_due(session)
    stack.unpause(dag_id)
    stack.wait_for_run(dag_id, stack.trigger(dag_id, conf))
    stack.rest(dag_id)


def files_with(root: Path, needle: bytes) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and needle in path.read_bytes()]


def tables_with(dsn: str, needle: str) -> list[str]:
    """The tables of a database with a row in which the text stands."""
    with psycopg.connect(dsn) as session:
        names = session.execute(
            "SELECT table_schema, table_name FROM information_schema.tables"
            " WHERE table_type = 'BASE TABLE' AND table_schema NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        query = "SELECT EXISTS (SELECT FROM {} AS t WHERE position(%s IN t::text) > 0)"
        return [
            ".".join(name)
            for name in names
            if session.execute(statements.SQL(query).format(statements.Identifier(*name)), (needle,)).fetchone()[0]
        ]


def test_the_search_finds_what_is_there(stack: LocalStack, tmp_path: Path) -> None:
    (tmp_path / "leak").write_text(f"x{CANARY}y")
    assert files_with(tmp_path, CANARY.encode()) == [tmp_path / "leak"]
    assert tables_with(stack.airflow_dsn, "ghost_tracker")


def test_the_key_is_used(lived_through: LocalStack) -> None:
    assert sum(lived_through.simulator_control("GET", "state")["calls"]["key_place"].values()) > 5


def test_no_file_holds_the_key(lived_through: LocalStack) -> None:
    """Output and logs of every component and task, the vault, and what PostgreSQL writes, its log of changes too."""
    for dsn in (lived_through.ghost_dsn, lived_through.airflow_dsn):
        with psycopg.connect(dsn, autocommit=True) as session:
            session.execute("CHECKPOINT")
    logs = list((lived_through.state.airflow_home / "logs").rglob("*.log"))
    assert any("task_id=track" in str(path) for path in logs)
    assert files_with(lived_through.state.root, CANARY.encode()) == []


def test_no_table_holds_the_key(lived_through: LocalStack) -> None:
    """XCom, rendered fields and serialized DAGs are tables too; connections are encrypted."""
    assert tables_with(lived_through.airflow_dsn, CANARY) == []
    assert tables_with(lived_through.ghost_dsn, CANARY) == []


def test_no_answer_over_http_holds_the_key(lived_through: LocalStack) -> None:
    answers = [
        lived_through.api("GET", path)
        for path in ("connections", "connections/youtube_default", "variables", "eventLogs", "importErrors", "plugins")
    ]
    for dag_id in ("ghost_hunter", "ghost_tracker"):
        for each in lived_through.api("GET", f"dags/{dag_id}/dagRuns/~/taskInstances", limit=100)["task_instances"]:
            path = f"dags/{dag_id}/dagRuns/{each['dag_run_id']}/taskInstances/{each['task_id']}"
            answers += [each, lived_through.api("GET", f"{path}/xcomEntries")]
    answers.append(lived_through.simulator_control("GET", "state"))
    assert "youtube_default" in json.dumps(answers)
    assert CANARY not in json.dumps(answers)
