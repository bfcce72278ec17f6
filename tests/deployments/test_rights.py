"""Users with some rights and not others, really signed in: Airflow with FAB's auth manager, whose roles name DAGs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from connections import CANARY
from deployments.conftest import DAG_BUNDLE, Deployment, uv
from ghost_tracking.page import URL_PREFIX
from local_stack.airflow_api import AirflowApi

pytestmark = pytest.mark.deployments

AUTH_MANAGER = "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
OVERVIEW = f"{URL_PREFIX}/data/overview"
SEES_PAGES = ["Website: can_read"]
RUNS = ["DAG Runs: can_read", "Task Instances: can_read", "XComs: can_read"]
ROLES = {
    # what each role may, as FAB has it: a resource and an action
    "looks_at_the_page": [*SEES_PAGES, "Plugins: can_read"],
    "sees_the_tracker": [*SEES_PAGES, "Plugins: can_read", "DAG:ghost_tracker: can_read", *RUNS],
    "triggers_the_hunter": [
        *SEES_PAGES,
        "DAG:ghost_hunter: can_read",
        "DAG:ghost_hunter: can_edit",
        *RUNS,
        "DAG Runs: can_create",
    ],
    "reads_logs": [*SEES_PAGES, "DAGs: can_read", *RUNS, "Task Logs: can_read"],
}
BAD_FORMS: list[dict[str, Any]] = [
    {"adopt_old_videos": 1 << 64},
    {"list_file": "x" * 100_000},
    {"sources": [{"search": "x", "pages": 401}]},
]


@dataclass
class Somebody:
    """A user who has signed in, and the API server's address."""

    url: str
    api: AirflowApi
    name: str
    token: str = field(init=False)

    def __post_init__(self) -> None:
        self.token = self.api("POST", "/auth/token", {"username": self.name, "password": self.name})["access_token"]

    def asks(self, method: str, path: str, json: Any = None) -> httpx.Response:
        """An answer, whatever its status is."""
        headers = {"Authorization": f"Bearer {self.token}"}
        return httpx.request(method, f"{self.url}{path}", json=json, headers=headers, timeout=60, trust_env=False)


@pytest.fixture(scope="module")
def programs(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of an environment with the newest supported Airflow, FAB's provider and the wheel."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    uv("venv", "--quiet", "--python", "3.11", str(place))
    install = ["pip", "install", "--quiet", "--system-certs", "--python", str(place / "bin" / "python")]
    uv(*install, "apache-airflow==3.3.*", "apache-airflow-providers-fab", f"{wheel}[airflow]")
    return place / "bin"


@pytest.fixture
def airflow(programs: Path, deployed: Callable[..., Deployment]) -> Deployment:
    """A deployment whose three DAGs have run once."""
    airflow = deployed(
        programs,
        AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=DAG_BUNDLE,
        AIRFLOW__CORE__AUTH_MANAGER=AUTH_MANAGER,
        AIRFLOW__API_AUTH__JWT_SECRET="a secret for tests that is long enough for HS512, which is a lot",
        AIRFLOW__API__SECRET_KEY="another one, which all processes share",
    )
    airflow.run("airflow", "db", "migrate")
    airflow.add_connections()
    airflow.runs_every_dag()
    known = {"username": "admin", "password": "admin", "firstname": "A", "lastname": "D", "email": "a@example.com"}
    airflow.run("airflow", "users", "create", "--role", "Admin", *(f"--{name}={each}" for name, each in known.items()))
    return airflow


@pytest.fixture
def signed_in(airflow: Deployment) -> Iterator[Callable[[str], Somebody]]:
    """Signs somebody in who has one of the roles; users go by the name of their role."""
    with airflow.api_server() as (url, api):
        for name, rights in ROLES.items():
            actions = [
                {"action": {"name": action}, "resource": {"name": resource}}
                for resource, action in (right.rsplit(": ", 1) for right in rights)
            ]
            api("POST", "/auth/fab/v1/roles", {"name": name, "actions": actions})
            user = {"username": name, "password": name, "email": f"{name}@example.com", "roles": [{"name": name}]}
            api("POST", "/auth/fab/v1/users", user | {"first_name": name, "last_name": name})
        yield lambda name: Somebody(url, api, name)


def test_nobody_reaches_further_than_their_rights(airflow: Deployment, signed_in: Callable[[str], Somebody]) -> None:
    """One deployment for all: it takes a minute to set up."""
    _admin_sees_everything(airflow, signed_in("admin"))
    _of_dags_that_are_not_named_nothing_is_shown(airflow, signed_in("looks_at_the_page"), [])
    _of_dags_that_are_not_named_nothing_is_shown(airflow, signed_in("sees_the_tracker"), ["ghost_tracker"])
    _whoever_triggers_does_no_more(signed_in("triggers_the_hunter"))
    _whoever_reads_logs_does_no_more(signed_in("reads_logs"))


def _admin_sees_everything(airflow: Deployment, admin: Somebody) -> None:
    found = admin.asks("GET", OVERVIEW).json()
    assert [dag["dag_id"] for dag in found["dags"]] == ["ghost_hunter", "ghost_tracker", "ghost_janitor"]
    assert all(dag["runs"] for dag in found["dags"])
    assert found["vault"]["root"] == str(airflow.vault)


def _of_dags_that_are_not_named_nothing_is_shown(airflow: Deployment, somebody: Somebody, seen: list[str]) -> None:
    found = somebody.asks("GET", OVERVIEW)
    assert found.status_code == httpx.codes.OK, found.text
    assert [dag["dag_id"] for dag in found.json()["dags"]] == seen
    assert sum(queue["videos"] for queue in found.json()["queues"]) > 0
    for hidden in {"ghost_hunter", "ghost_janitor", "ghost_tracker"} - set(seen):
        assert f"{hidden}/runs" not in found.text
    assert str(airflow.vault) not in found.text
    assert CANARY not in found.text
    for path in ("/api/v2/connections/ghost_vault", "/api/v2/variables", "/api/v2/dags/ghost_hunter/dagRuns"):
        assert somebody.asks("GET", path).status_code == httpx.codes.FORBIDDEN, path
    refused = somebody.asks("POST", "/api/v2/dags/ghost_tracker/dagRuns", {"logical_date": None, "conf": {}})
    assert refused.status_code == httpx.codes.FORBIDDEN


def _whoever_triggers_does_no_more(somebody: Somebody) -> None:
    assert somebody.asks("GET", OVERVIEW).status_code == httpx.codes.FORBIDDEN
    runs = "/api/v2/dags/ghost_hunter/dagRuns"
    for form in BAD_FORMS:
        refused = somebody.asks("POST", runs, {"logical_date": None, "conf": form})
        assert httpx.codes.is_client_error(refused.status_code), (form, refused.text)
    made = somebody.asks("POST", runs, {"logical_date": None, "conf": {"videos": ["aaaaaaaaaaA"]}})
    assert made.status_code == httpx.codes.OK, made.text
    for path in ("/api/v2/connections", "/api/v2/variables", "/api/v2/dags/ghost_janitor/dagRuns"):
        assert somebody.asks("GET", path).status_code == httpx.codes.FORBIDDEN, path
    refused = somebody.asks("POST", "/api/v2/dags/ghost_janitor/dagRuns", {"logical_date": None, "conf": {}})
    assert refused.status_code == httpx.codes.FORBIDDEN


def _whoever_reads_logs_does_no_more(somebody: Somebody) -> None:
    assert somebody.asks("GET", OVERVIEW).status_code == httpx.codes.FORBIDDEN
    (run, *_) = somebody.asks("GET", "/api/v2/dags/ghost_tracker/dagRuns").json()["dag_runs"]
    tasks = f"/api/v2/dags/ghost_tracker/dagRuns/{run['dag_run_id']}/taskInstances"
    for task in somebody.asks("GET", tasks).json()["task_instances"]:
        log = somebody.asks("GET", f"{tasks}/{task['task_id']}/logs/1?map_index={task['map_index']}")
        assert log.status_code in {httpx.codes.OK, httpx.codes.NOT_FOUND}, log.text
        assert CANARY not in log.text
    for path in ("/api/v2/connections", "/api/v2/variables"):
        assert somebody.asks("GET", path).status_code == httpx.codes.FORBIDDEN, path
    refused = somebody.asks("POST", "/api/v2/dags/ghost_tracker/dagRuns", {"logical_date": None, "conf": {}})
    assert refused.status_code == httpx.codes.FORBIDDEN
