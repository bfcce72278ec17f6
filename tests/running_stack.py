"""Fixtures: one whole stack for all tests of one, a real scheduler, its workers, PostgreSQL and a YouTube over HTTP."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connections import CANARY
from local_stack.stack import LocalStack

DAGS = ("ghost_hunter", "ghost_tracker", "ghost_janitor")
# a killed supervisor is noticed within seconds, not minutes
QUICK = {
    "task_instance_heartbeat_sec": "2",
    "task_instance_heartbeat_timeout": "12",
    "task_instance_heartbeat_timeout_detection_interval": "3",
}
ENVIRONMENT = {
    "PYTHONPATH": str(Path(__file__).parent / "sample_project"),  # their notifier
    "GHOST_NOTIFIERS_ALLOWED": "notebook.Notebook",
    "GHOST_HUNTER_DEADLINE_MINUTES": "0.05",  # every run is late
}


@pytest.fixture(scope="session")
def stack(short_lived_folder: Path) -> Iterator[LocalStack]:
    """The stack, with the canary as its API key, and all DAGs waiting for a trigger."""
    with LocalStack(short_lived_folder / "stack", seed=11, config={"scheduler": QUICK}, env=ENVIRONMENT) as stack:
        stack.wait_for_dags(DAGS)
        connection = stack.api("GET", "connections/youtube_default")
        stack.api("PATCH", "connections/youtube_default", connection | {"password": CANARY})
        yield stack


@pytest.fixture
def run(stack: LocalStack) -> Callable[..., list[str]]:
    """Run a DAG through the scheduler; gives the ids of its runs, the one that was triggered last.

    Unpausing a DAG can make the scheduler start the run of its latest slot as well, which then does the work before
    the triggered one. All must end in the state that is expected.
    """

    def run(dag_id: str, conf: dict | None = None, *, ends: str = "success") -> list[str]:
        before = runs_of(stack, dag_id)
        stack.unpause(dag_id)
        run_id = stack.trigger(dag_id, conf)
        stack.wait_for_run(dag_id, run_id, timeout=120)
        stack.rest(dag_id)
        after = {each: state for each, state in runs_of(stack, dag_id).items() if each not in before}
        bad = [each for each, state in after.items() if state != ends and (each == run_id or ends == "success")]
        assert not bad, "\n".join(stack.explain(dag_id, each) for each in bad)
        return [*(each for each in after if each != run_id), run_id]

    return run


def runs_of(stack: LocalStack, dag_id: str) -> dict[str, str]:
    """The state of every run of a DAG."""
    runs = stack.api("GET", f"dags/{dag_id}/dagRuns", limit=100, order_by="-run_after")["dag_runs"]
    return {each["dag_run_id"]: each["state"] for each in runs}


@pytest.fixture
def no_faults(stack: LocalStack) -> Iterator[None]:
    """Take what a test has ordered off again."""
    yield
    stack.simulator_control("POST", "faults", {"clear": True})
