"""The local stack: PostgreSQL, Airflow's components and the YouTube simulator, started and stopped as one."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx
import psutil

from local_stack import processes
from local_stack.airflow_api import AirflowApi
from local_stack.airflow_config import (
    POOL_VARIABLE,
    SOURCES_VARIABLE,
    USER,
    AirflowConfig,
    ConfigSections,
    clean_environment,
    component_commands,
    default_folders,
    worker_command,
    worker_environment,
)
from local_stack.airflow_settings import Entity, read_settings
from local_stack.broker import Broker
from local_stack.errors import NoAnswerError, StackError
from local_stack.layout import PROJECT, StateFolder, opened_private, write_private
from local_stack.lock import SupervisorLock
from local_stack.ports import Reservations
from local_stack.postgres import PORT as POSTGRES_PORT
from local_stack.postgres import SUPERUSER, Postgres
from local_stack.processes import Component
from local_stack.simulator import Simulator

AIRFLOW_DATABASE = "airflow"
AIRFLOW_PORT = 8080
SIMULATOR_PORT = 8765
BROKER_PORT = 6379
READY_SECONDS = 150.0
FINISHED = ("success", "failed")
NO_KEY = "simulator-asks-for-none"

T = TypeVar("T")


class LocalStack:
    """A whole Ghost Tracking on this machine, for `make run`, for `make demo` and for tests.

    with LocalStack(tmp_path / "stack") as stack:
        stack.wait_for_dags(["ghost_hunter"])
        run = stack.trigger("ghost_hunter")
        assert stack.wait_for_run("ghost_hunter", run) == "success"

    Everything it keeps lies in `state_dir`; a second start with the same folder goes on where the first ended.
    It starts by ending what a killed supervisor left behind, and stops by leaving no process.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        api_key: str | None = None,
        fresh: bool = False,
        seed: int | None = None,
        videos_per_hour: float | None = None,
        simulate: bool = True,
        workers: int = 0,
        dags_folder: Path | None = None,
        plugins_folder: Path | None = None,
        settings_file: Path | None = None,
        env: Mapping[str, str] | None = None,
        config: ConfigSections | None = None,
        report: Callable[[str], None] | None = None,
        grace: float = 6.0,
    ) -> None:
        """Describe a stack; nothing happens before `start`.

        api_key: a key for YouTube's own API; without one the simulator stands in, unless `simulate` is off.
        workers: how many Celery workers run the tasks, with a broker; none: the scheduler does (LocalExecutor).
        fresh: forget what the state folder holds.
        seed, videos_per_hour: settle the simulator's universe, at the first start only.
        env, config: environment variables and airflow.cfg sections on top of the stack's own.
        report: told each step of the start.
        grace: seconds that processes get to end by themselves before they are killed.
        """
        dags, plugins = default_folders()
        self.state = StateFolder(Path(state_dir).resolve())
        self.grace = grace
        self.processes: dict[str, Component] = {}
        self._api_key = api_key
        self._fresh = fresh
        self._seed = seed
        self._videos_per_hour = videos_per_hour
        self._simulate = simulate and not api_key
        self._workers = [f"worker-{number}" for number in range(1, workers + 1)]
        self._dags_folder = dags_folder or dags
        self._plugins_folder = plugins_folder or plugins
        self._settings_file = settings_file or PROJECT / "airflow_settings.yaml"
        self._extra_env = dict(env or {})
        self._extra_config = config or {}
        self._report = report or (lambda _: None)
        self._lock = SupervisorLock(self.state.lock)
        self._ports = Reservations()
        self._postgres: Postgres | None = None
        self._simulator: Simulator | None = None
        self._broker: Broker | None = None
        self._config: AirflowConfig | None = None
        self._api: AirflowApi | None = None

    # Where things are

    @property
    def airflow_url(self) -> str:
        """Airflow's address, without a slash at the end."""
        return self._started(self._config).url

    @property
    def user(self) -> str:
        """Who can log in to Airflow."""
        return USER

    @property
    def password(self) -> str:
        """The password of `user`."""
        return self._started(self._config).password

    @property
    def ghost_dsn(self) -> str:
        """A libpq connection string for the database of the `ghost_postgres` connection."""
        return self._started(self._postgres).dsn(self._ghost_database)

    @property
    def airflow_dsn(self) -> str:
        """A libpq connection string for Airflow's metadata database."""
        return self._started(self._postgres).dsn(AIRFLOW_DATABASE)

    @property
    def simulator_url(self) -> str | None:
        """The simulator's address with a slash at the end, or None when YouTube itself is asked."""
        return self._simulator.url if self._simulator else None

    @property
    def workers(self) -> tuple[str, ...]:
        """The Celery workers: their names among the components, and their host names."""
        return tuple(self._workers)

    @property
    def broker_url(self) -> str:
        """Where the broker of Celery answers, with the password."""
        return self._started(self._broker).url()

    def simulator_control(self, method: str, path: str, json: Any = None, **params: Any) -> Any:
        """Ask or order something through the simulator's control API: `("POST", "origin", {"shift_seconds": -60})`."""
        return self._started(self._simulator).control(method, path, json, **params)

    @property
    def sources_file(self) -> Path:
        """What to hunt: the simulator's universe, or what the project's file says."""
        return self._simulator.sources_file if self._simulator else PROJECT / "include" / "sources.yaml"

    @property
    def vault(self) -> Path:
        """The vault's folder."""
        return self.state.vault

    @property
    def logs_dir(self) -> Path:
        """One log file a component."""
        return self.state.logs

    @property
    def environment(self) -> dict[str, str]:
        """The environment that Airflow's components run in."""
        return {**clean_environment(self.state), **self._ghost_environment}

    @property
    def _ghost_environment(self) -> dict[str, str]:
        return {POOL_VARIABLE: "ghost_tracker", SOURCES_VARIABLE: str(self.sources_file), **self._extra_env}

    # Life

    def start(self) -> None:
        """Start everything and return when Airflow answers and all its components are healthy.

        Raises AlreadyRunningError or another StackError; `stop` is the caller's to call then. `with` does both.
        """
        self._lock.acquire()
        self._report("starting")
        left = processes.end_everything(self.state, 3.0)
        if left:
            self._report(f"ended {len(left)} processes that an earlier run had left")
        if self._fresh:
            self._forget()
        self.state.create()
        self._start_postgres()
        if self._simulate:
            self._start_simulator()
        if self._workers:
            self._start_broker()
        self._configure_airflow()
        self._migrate()
        self._start_airflow()

    def stop(self) -> None:
        """Stop everything that `start` has got to. Takes little more than the grace period at worst.

        Does nothing when another supervisor has the state folder, or when it has all been stopped.
        """
        if not self._lock.held:
            return
        for client in (self._api, self._simulator):
            if client is not None:
                client.close()
        for component in self.processes.values():
            component.expected = False
        # Tasks report to the API server and work in the database: those go last.
        workers = dict.fromkeys(self._workers, self.grace)
        self._stop({"scheduler": self.grace, "dag-processor": 3.0, "triggerer": 1.0, **workers})
        self._stop({"api-server": 2.0, "simulator": 3.0, "broker": 3.0})
        if self._postgres:
            self._postgres.stop(self.grace)
        processes.end_everything(self.state, 0.5)
        self.state.children.unlink(missing_ok=True)
        self._ports.release()
        self._lock.release()

    def lose_patience(self) -> None:
        """Kill what still runs while `stop` waits for it to end in order; PostgreSQL needs no hurry then."""
        for name, component in self.processes.items():
            if name != "postgres":
                processes.end(component.family(), 0.0)

    def __enter__(self) -> LocalStack:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Raise ComponentDiedError if a component ended that nobody had asked to end."""
        for component in self.processes.values():
            component.check()

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a component a signal, on purpose: `check` no longer expects it to run."""
        self.processes[name].signal(number)

    def restart(self, name: str) -> None:
        """Start a component again that has ended."""
        component = self.processes[name]
        if not component.wait(self.grace):
            raise StackError(f"{name} still runs")
        component.start()
        self._remember()

    # Airflow

    def api(self, method: str, path: str, json: Any = None, **params: Any) -> Any:
        """Ask Airflow's REST API, logged in; paths without a leading slash are below `/api/v2/`.

        Returns the decoded answer. Raises ApiError for a refusal, ComponentDiedError when the server is gone and
        NoAnswerError when it does not answer.
        """
        try:
            return self._started(self._api)(method, path, json, **params)
        except httpx.TransportError as error:
            self.check()
            raise NoAnswerError(f"{method} {path}: {error!r}") from error

    def wait_for_dags(self, dag_ids: Collection[str], timeout: float = 90.0) -> None:
        """Wait until Airflow knows the DAGs; raises StackError with the import error if a file is broken."""
        for _ in self._polls(timeout, f"DAGs {', '.join(dag_ids)} did not appear"):
            known = {dag["dag_id"] for dag in self.api("GET", "dags", limit=100)["dags"]}
            if known.issuperset(dag_ids):
                return
            errors = self.api("GET", "importErrors")["import_errors"]
            if errors:
                text = "\n".join(f"{error['filename']}: {error['stack_trace']}" for error in errors)
                raise StackError(f"Airflow could not import a DAG file.\n{text}")

    def unpause(self, dag_id: str, *, paused: bool = False) -> None:
        """Let the scheduler run a DAG, or no longer."""
        self.api("PATCH", f"dags/{dag_id}", {"is_paused": paused})

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None) -> str:
        """Start a manual run and return its id."""
        run = self.api("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None, "conf": dict(conf or {})})
        run_id: str = run["dag_run_id"]
        return run_id

    def wait_for_run(self, dag_id: str, run_id: str, timeout: float = 120.0) -> str:
        """Wait until a run has ended; its state: `success` or `failed`."""
        for _ in self._polls(timeout, f"run {run_id} of {dag_id} did not end"):
            with contextlib.suppress(NoAnswerError):
                state: str = self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}")["state"]
                if state in FINISHED:
                    return state
        raise AssertionError("unreachable")

    def run_soon(self, dag_id: str, patience: float = 8.0) -> str:
        """Unpause a DAG and give the id of its next run: the one that its schedule owes, or else a manual one.

        With `catchup=False` Airflow makes the run of the last slot as soon as a DAG is unpaused, unless there is
        one; a manual run beside it would only wait for it.
        """
        before = self._newest_run(dag_id)
        self.unpause(dag_id)
        with contextlib.suppress(StackError):
            for _ in self._polls(patience if before is None else 0.0, f"no run of {dag_id}"):
                newest = self._newest_run(dag_id)
                if newest is not None:
                    return newest
        return self.trigger(dag_id)

    def wait_until_idle(self, dag_id: str, timeout: float = 120.0) -> None:
        """Wait until no run of a DAG is queued or running."""
        for _ in self._polls(timeout, f"{dag_id} still has runs under way"):
            if self._is_idle(dag_id):
                return

    def rest(self, dag_id: str, timeout: float = 120.0) -> None:
        """Pause a DAG when no run of it is under way. A run that is queued when a DAG is paused would never start."""
        for _ in self._polls(timeout, f"{dag_id} does not come to rest"):
            self.wait_until_idle(dag_id, timeout)
            self.unpause(dag_id, paused=True)
            if self._is_idle(dag_id):
                return
            self.unpause(dag_id)

    def _is_idle(self, dag_id: str) -> bool:
        return not self.api("GET", f"dags/{dag_id}/dagRuns", state=["queued", "running"], limit=1)["dag_runs"]

    def explain(self, dag_id: str, run_id: str) -> str:
        """Which tasks of a run failed, with the end of their logs."""
        parts = []
        for task in self._failed_tasks(dag_id, run_id):
            log = self.task_log(dag_id, run_id, task["task_id"], task["try_number"], task["map_index"])
            parts.append("\n".join([f"{task['task_id']} {task['map_index']}:", *log.splitlines()[-processes.TAIL :]]))
        return "\n".join(parts) or f"no task of it failed; see {self.airflow_url}/dags/{dag_id}/runs/{run_id}"

    def reasons(self, dag_id: str, run_id: str) -> list[str]:
        """One line for each exception that failed a task of a run."""
        entries = [
            (task["task_id"], each)
            for task in self._failed_tasks(dag_id, run_id)
            for row in self._log_rows(dag_id, run_id, task["task_id"], task["try_number"], task["map_index"])
            for each in _exceptions(row)
        ]
        return list(dict.fromkeys(f"{task_id}: {text}" for task_id, text in entries))

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> str:
        """The log of one task instance as plain text."""
        rows = self._log_rows(dag_id, run_id, task_id, try_number, map_index)
        return "\n".join(line for row in rows for line in [row["event"], *_exceptions(row)])

    def _log_rows(self, dag_id: str, run_id: str, task_id: str, try_number: int, map_index: int) -> list[Any]:
        path = f"dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}/logs/{try_number}"
        content = self.api("GET", path, map_index=map_index)["content"]
        return [row if isinstance(row, dict) else {"event": str(row)} for row in content]

    def _failed_tasks(self, dag_id: str, run_id: str) -> list[Any]:
        answer = self.api("GET", f"dags/{dag_id}/dagRuns/{run_id}/taskInstances", state=["failed"], limit=5)
        tasks: list[Any] = answer["task_instances"]
        return tasks

    def _newest_run(self, dag_id: str) -> str | None:
        runs = self.api("GET", f"dags/{dag_id}/dagRuns", order_by="-run_after", limit=1)["dag_runs"]
        return runs[0]["dag_run_id"] if runs else None

    # The start, step by step

    def _forget(self) -> None:
        for path in self.state.root.iterdir():
            if path == self.state.lock:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _start_postgres(self) -> None:
        environment = clean_environment(self.state)
        self._postgres = Postgres(
            self.state.postgres,
            log=self._log("postgres"),
            env=environment,
            password=self.state.secret("postgres_password"),
            passfile=self.state.passfile,
        )
        self.processes["postgres"] = self._postgres.component
        self._postgres.start()
        self._remember()
        self._postgres.ensure_database(self._ghost_database)
        self._report("PostgreSQL answers")

    def _start_simulator(self) -> None:
        self._simulator = Simulator(
            self.state.simulator,
            port=self._port("simulator", SIMULATOR_PORT),
            seed=self._seed,
            videos_per_hour=self._videos_per_hour,
            log=self._log("simulator"),
            env=clean_environment(self.state),
        )
        self.processes["simulator"] = self._simulator.component
        self._simulator.start()
        self._remember()

    def _start_broker(self) -> None:
        self.state.broker.mkdir(exist_ok=True, mode=0o700)
        self._broker = Broker(
            self.state.broker,
            port=self._port("broker", BROKER_PORT),
            password=self.state.secret("broker_password"),
            log=self._log("broker"),
            env=clean_environment(self.state),
        )
        self.processes["broker"] = self._broker.component
        self._broker.start()
        self._remember()

    def _configure_airflow(self) -> None:
        self._config = AirflowConfig(
            state=self.state,
            dags_folder=self._dags_folder,
            plugins_folder=self._plugins_folder,
            port=self._port("airflow", AIRFLOW_PORT),
            postgres_socket=self._started(self._postgres).socket_folder,
            postgres_user=SUPERUSER,
            broker=self._broker,
            extra=self._extra_config,
        )
        self._config.write()
        write_private(self.state.environment, json.dumps(self._ghost_environment))  # for `airflow_environment`
        self._lock.tell(pid=psutil.Process().pid, url=self._config.url)

    def _migrate(self) -> None:
        """Bring Airflow's database to the installed version; a first migration that was cut short starts over."""
        installed = version("apache-airflow-core")
        marker = self.state.airflow_home / "database_version"
        done = marker.read_text() if marker.exists() else None
        if done == installed:
            return
        if done is None:
            self._started(self._postgres).recreate_database(AIRFLOW_DATABASE)
        log = self._log("migration")
        command = [sys.executable, "-m", "airflow", "db", "migrate"]
        with open(log, "wb", opener=opened_private) as output:
            result = subprocess.run(
                command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=self.environment, check=False
            )
        if result.returncode:
            raise StackError(f"Airflow's database could not be migrated. End of {log}:\n{processes.tail(log)}")
        marker.write_text(installed)
        self._report("Airflow's database is ready")

    def _start_airflow(self) -> None:
        for name, command in component_commands().items():
            self._start_component(name, command, {})
        for name in self._workers:
            self._start_component(name, worker_command(name), worker_environment(self.state, name))
        config = self._started(self._config)
        self._api = AirflowApi(config.url, USER, config.password)
        for _ in self._polls(READY_SECONDS, "Airflow's API server did not answer"):
            # only then is the password sent
            if self._api.answers() and self.processes["api-server"].listens_on(config.port):
                break
        self._apply_settings()
        self._report("Airflow's API server answers")
        for _ in self._polls(READY_SECONDS, "Airflow's components did not become healthy"):
            health = self.api("GET", "monitor/health")
            if all(part["status"] == "healthy" for part in health.values()):
                break
        for _ in self._polls(READY_SECONDS, "Celery's workers did not answer"):
            if not self._workers or self._started(self._broker).workers().issuperset(self._workers):
                break

    def _start_component(self, name: str, command: list[str], extra: Mapping[str, str]) -> None:
        environment = {**self.environment, **extra}
        component = Component(name, command, log=self._log(name), env=environment, cwd=self.state.airflow_home)
        self.processes[name] = component
        component.start()
        self._remember()

    def _apply_settings(self) -> None:
        if self._simulator:
            self._simulator.wait()
        settings = read_settings(self._settings_file).with_overrides(self._addresses())
        applied = self.state.airflow_home / "settings_applied"
        digest = hashlib.sha256(self._settings_file.read_bytes()).hexdigest()
        unchanged = applied.exists() and applied.read_text() == digest
        settings.apply(self._started(self._api), keep_edited=unchanged)
        applied.write_text(digest)

    def _addresses(self) -> dict[str, Entity]:
        postgres = {
            "host": str(self._started(self._postgres).socket_folder),
            "port": POSTGRES_PORT,
            "login": SUPERUSER,
            "password": self.state.secret("postgres_password"),
        }
        youtube = {"password": self._api_key} if self._api_key else {"host": self.simulator_url, "password": NO_KEY}
        return {
            "ghost_postgres": postgres,
            "ghost_vault": {"extra": {"path": str(self.vault)}},
            "youtube_default": youtube,
        }

    @property
    def _ghost_database(self) -> str:
        schema: str = read_settings(self._settings_file).connection("ghost_postgres")["schema"]
        return schema

    def _port(self, name: str, preferred: int) -> int:
        """The port of the last start or the usual one, or another if those are taken."""
        try:
            known: dict[str, int] = json.loads(self.state.ports.read_text())
        except (OSError, ValueError):
            known = {}
        others = frozenset(port for owner, port in known.items() if owner != name)
        last = [known[name]] if name in known else []
        known[name] = self._ports.choose(preferred, *last, avoid=others)
        if known[name] != preferred:
            self._report(f"port {preferred} is taken: {name} uses {known[name]}")
        self.state.ports.write_text(json.dumps(known))
        return known[name]

    def _log(self, name: str) -> Path:
        log = self.logs_dir / f"{name}.log"
        processes.rotate(log)
        return log

    def _stop(self, grace: Mapping[str, float]) -> None:
        """Stop those of the components that were started; none gets more than the stack's own grace."""
        running = {self.processes[name]: seconds for name, seconds in grace.items() if name in self.processes}
        processes.stop({component: min(seconds, self.grace) for component, seconds in running.items()})

    def _remember(self) -> None:
        processes.remember(self.state, self.processes.values())

    def _polls(self, timeout: float, told: str) -> Iterator[None]:
        """Yield every half second while all components live; raise StackError when the time is over."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.check()
            yield
            time.sleep(0.3)
        raise StackError(f"{told} within {timeout:.0f} s; logs are in {self.logs_dir}")

    @staticmethod
    def _started(part: T | None) -> T:
        if part is None:
            raise StackError("the stack has not been started")
        return part


def _exceptions(row: Mapping[str, Any]) -> list[str]:
    """The exceptions that an entry of a task's log reports."""
    return [f"{each['exc_type']}: {each['exc_value']}" for each in row.get("error_detail") or ()]
