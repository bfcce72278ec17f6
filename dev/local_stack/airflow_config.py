"""Airflow's configuration for a stack on one small machine: one airflow.cfg, and the environment around it."""

from __future__ import annotations

import base64
import configparser
import json
import os
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

from local_stack.broker import Broker
from local_stack.layout import PROJECT, StateFolder, write_private
from local_stack.ports import LOOPBACK
from local_stack.processes import MARK

USER = "admin"
API_KEY_VARIABLE = "YOUTUBE_API_KEY"
POOL_VARIABLE = "GHOST_TRACKER_POOL"
SOURCES_VARIABLE = "GHOST_SOURCES_FILE"
HOSTNAME_VARIABLE = "GHOST_STACK_HOSTNAME"

ConfigSections = Mapping[str, Mapping[str, str]]

# What Celery needs for these DAGs; docker-compose.yaml says why, and has the same.
CELERY = {
    "task_acks_late": "True",
    "worker_prefetch_multiplier": "1",
    "worker_concurrency": "4",
}
VISIBILITY_SECONDS = 21_600

# Several workers on one machine: each goes by the name that it was given.
HOSTNAME_MODULE = "ghost_stack_hostname"
HOSTNAME_SOURCE = f"""import os


def name() -> str:
    return os.environ["{HOSTNAME_VARIABLE}"]
"""

# Sections of which a Celery worker has nothing: it meets Airflow's database through the API server only.
SECRET_SECTIONS = ("database", "api_auth")
SECRET_OPTIONS = ("fernet_key", "secret_key", "simple_auth_manager_users", "simple_auth_manager_passwords_file")


@dataclass(frozen=True)
class AirflowConfig:
    """What differs between two stacks."""

    state: StateFolder
    dags_folder: Path
    plugins_folder: Path
    port: int
    postgres_socket: Path
    postgres_user: str
    broker: Broker | None = None
    extra: ConfigSections = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where Airflow's UI and API answer."""
        return f"http://{LOOPBACK}:{self.port}"

    def write(self) -> None:
        """Write airflow.cfg, the workers' one, and the password file, all readable by their owner only."""
        write_private(self.state.airflow_home / "airflow.cfg", _text(self.sections(), self.extra))
        write_private(self._password_file, json.dumps({USER: self.password}) + "\n")
        if self.broker:
            write_private(self.state.worker_config, _text(self.worker_sections(), self.extra))
            write_private(self.state.airflow_home / "config" / f"{HOSTNAME_MODULE}.py", HOSTNAME_SOURCE)

    @property
    def password(self) -> str:
        """The password of `admin`, generated once."""
        return self.state.secret("password", secrets.token_urlsafe(12))

    @property
    def _password_file(self) -> Path:
        return self.state.airflow_home / "simple_auth_manager_passwords.json.generated"

    def worker_sections(self) -> ConfigSections:
        """What a Celery worker gets of it, as in a container of its own: no login to Airflow's database, no secret."""
        own = {
            section: {option: value for option, value in options.items() if option not in SECRET_OPTIONS}
            for section, options in self.sections().items()
            if section not in SECRET_SECTIONS
        }
        own["core"]["hostname_callable"] = f"{HOSTNAME_MODULE}.name"
        return own

    def sections(self) -> ConfigSections:
        """The stack's own configuration."""
        return {**self._airflow(), **(self._celery(self.broker) if self.broker else {})}

    def _celery(self, broker: Broker) -> ConfigSections:
        return {
            "core": {**self._airflow()["core"], "executor": "CeleryExecutor", "parallelism": "8"},
            "celery": {"broker_url": broker.url(0), "result_backend": broker.url(1), **CELERY},
            "celery_broker_transport_options": {"visibility_timeout": str(VISIBILITY_SECONDS)},
        }

    def _airflow(self) -> ConfigSections:
        home = self.state.airflow_home
        known = urlencode({"host": self.postgres_socket, "passfile": self.state.passfile})
        address = f"{self.postgres_user}@/airflow?{known}"
        fernet_key = base64.urlsafe_b64encode(os.urandom(32)).decode()
        return {
            "core": {
                "executor": "LocalExecutor",
                "parallelism": "6",  # each worker is a process that starts with the scheduler
                "dags_folder": str(self.dags_folder),
                "plugins_folder": str(self.plugins_folder),
                "load_examples": "False",
                "fernet_key": self.state.secret("fernet_key", fernet_key),
                "simple_auth_manager_users": f"{USER}:admin",
                "simple_auth_manager_passwords_file": str(self._password_file),
                "execution_api_server_url": f"{self.url}/execution/",
                "hostname_callable": "socket.gethostname",  # the default asks the name server
            },
            "database": {
                "sql_alchemy_conn": f"postgresql+psycopg2://{address}",
                "sql_alchemy_conn_async": f"postgresql+psycopg://{address}",  # asyncpg wants a host
                "check_migrations": "False",  # the supervisor has just made them
            },
            "api": {
                "host": LOOPBACK,
                "port": str(self.port),
                "base_url": self.url,
                "workers": "1",
                "secret_key": self.state.secret("api_secret_key"),
                "instance_name": "Ghost Tracking",
                "log_fetch_timeout_sec": "1",  # running tasks' logs are looked for at a server that we don't start
            },
            "api_auth": {"jwt_secret": self.state.secret("jwt_secret", secrets.token_hex(32))},
            "scheduler": {
                # What a killed scheduler was running is taken up again within a minute, not after five.
                "orphaned_tasks_check_interval": "15",
                "task_instance_heartbeat_timeout": "90",
                "task_instance_heartbeat_sec": "15",
                "catchup_by_default": "False",
            },
            "dag_processor": {
                "refresh_interval": "15",
                "min_file_process_interval": "30",
                "parsing_processes": "1",
            },
            "logging": {"base_log_folder": str(home / "logs"), "colored_console_log": "False"},
        }


def _text(*sources: ConfigSections) -> str:
    """A configuration file; what comes later wins."""
    parser = configparser.ConfigParser(interpolation=None)
    for source in sources:
        for section, options in source.items():
            if not parser.has_section(section):
                parser.add_section(section)
            for option, value in options.items():
                parser.set(section, option, value.replace("%", "%%"))  # Airflow reads with interpolation
    draft: list[str] = []
    for section in parser.sections():
        draft.append(f"[{section}]")
        draft.extend(f"{option} = {value}" for option, value in parser.items(section))
        draft.append("")
    return "\n".join(draft)


def clean_environment(state: StateFolder, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment of everything that a stack starts.

    Without the API key, which belongs into one connection only; without AIRFLOW_* and PYTHONPATH of the shell,
    which could point at somebody's production; with the mark by which leftovers are found, and with
    loopback addresses kept away from proxies.
    """
    unwanted = ("AIRFLOW", "PYTHON", "_AIRFLOW", "PG", MARK, API_KEY_VARIABLE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    beside = Path(sys.executable).parent
    environment["PATH"] = os.pathsep.join([str(beside), environment.get("PATH", os.defpath)])
    for name in ("NO_PROXY", "no_proxy"):
        environment[name] = ",".join(filter(None, [LOOPBACK, "localhost", environment.get(name)]))
    return {
        **environment,
        "AIRFLOW_HOME": str(state.airflow_home),
        MARK: str(state.root),
        "SPT_NOENV": "1",  # Airflow renames its processes, which would overwrite the mark
        "PYTHONUNBUFFERED": "1",
        "PYTHONUTF8": "1",
        **(extra or {}),
    }


def command_line_environment(state: StateFolder) -> dict[str, str]:
    """The environment for Airflow's command line beside a stack; without the mark: it does not belong to it."""
    environment = clean_environment(state, json.loads(state.environment.read_text()))
    del environment[MARK]
    return environment


def component_commands() -> dict[str, list[str]]:
    """The commands of Airflow's components.

    The scheduler's and the triggerer's log servers are left out: they listen on all interfaces, and the
    API server reads the same files.
    """
    airflow = [sys.executable, "-m", "airflow"]
    return {
        "api-server": [*airflow, "api-server"],
        "scheduler": [*airflow, "scheduler", "--skip-serve-logs"],
        "dag-processor": [*airflow, "dag-processor"],
        "triggerer": [*airflow, "triggerer", "--skip-serve-logs"],
    }


def worker_command(name: str) -> list[str]:
    """The command of one Celery worker. Without a log server, as above."""
    return [sys.executable, "-m", "airflow", "celery", "worker", "--skip-serve-logs", "--celery-hostname", name]


def worker_environment(state: StateFolder, name: str) -> dict[str, str]:
    """What a Celery worker's environment has on top: a configuration of its own, and a host name as if of its own."""
    return {"AIRFLOW_CONFIG": str(state.worker_config), HOSTNAME_VARIABLE: name}


def default_folders() -> tuple[Path, Path]:
    """The project's DAGs and plugins."""
    return PROJECT / "dags", PROJECT / "plugins"
