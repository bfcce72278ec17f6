"""A whole stack, with DAGs of the test's own: its start, its promises while it runs, its end, its way back."""

import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import psycopg
import pytest
import yaml

from local_stack import ApiError, ComponentDiedError, LocalStack, StackError, processes
from local_stack.airflow_api import AirflowApi
from local_stack.layout import PROJECT, StateFolder

pytestmark = pytest.mark.faults

KEY = "AIzaSyCanary-0123456789"
SETTINGS = '{"quota_search": 50}'
DAG = """
from airflow.sdk import BaseHook, Variable, dag, task

@dag(dag_id="probe", schedule="*/5 * * * *", catchup=False)
def probe():
    @task(pool="ghost_tracker")
    def look():
        import os, socket
        import psycopg
        ghost = BaseHook.get_connection("ghost_postgres")
        where = {"host": ghost.host, "port": ghost.port, "user": ghost.login, "dbname": ghost.schema}
        with psycopg.connect(**where, password=ghost.password) as connection:
            # a scheduled run of the same minute makes it too, and IF NOT EXISTS is no lock
            connection.execute("SELECT pg_advisory_xact_lock(1)")
            connection.execute("CREATE TABLE IF NOT EXISTS seen (key_length int, vault text, settings text)")
            connection.execute(
                "INSERT INTO seen VALUES (%s, %s, %s)",
                [
                    len(BaseHook.get_connection("youtube_default").password),
                    BaseHook.get_connection("ghost_vault").extra_dejson["path"],
                    Variable.get("ghost_settings"),
                ],
            )
        assert os.environ["GHOST_TRACKER_POOL"] == "ghost_tracker"
        assert "YOUTUBE_API_KEY" not in os.environ

    look()

probe()
"""


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("stack")
    for name in ("dags", "plugins"):
        (root / name).mkdir()
    (root / "dags" / "probe.py").write_text(DAG)
    given = yaml.safe_load((PROJECT / "airflow_settings.yaml").read_text())
    given["airflow"]["variables"] = [{"variable_name": "ghost_settings", "variable_value": SETTINGS}]
    (root / "settings.yaml").write_text(yaml.safe_dump(given))
    return root


def make(folders, **options):
    return LocalStack(
        folders / "state",
        dags_folder=folders / "dags",
        plugins_folder=folders / "plugins",
        settings_file=folders / "settings.yaml",
        api_key=KEY,
        **options,
    )


@pytest.fixture(scope="module")
def stack(folders):
    """A running stack whose usual port is taken, and which ran its DAG once."""
    with socket.socket() as other, pytest.MonkeyPatch.context() as patch:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        patch.setattr("local_stack.stack.AIRFLOW_PORT", other.getsockname()[1])
        patch.setenv("YOUTUBE_API_KEY", KEY)
        with make(folders) as stack:
            stack.wait_for_dags(["probe"])
            run = stack.run_soon("probe")
            assert stack.wait_for_run("probe", run) == "success", stack.explain("probe", run)
            yield stack
    assert processes.belonging_to(StateFolder(folders / "state")) == []


def family(stack):
    everything = [process for component in stack.processes.values() for process in component.family()]
    return list(filter(processes.alive, everything))


def test_tasks_meet_the_connections_the_pool_and_the_variable(stack):
    with psycopg.connect(stack.ghost_dsn) as connection:
        seen = connection.execute("SELECT key_length, vault, settings FROM seen").fetchall()

    assert (len(KEY), str(stack.vault), SETTINGS) in seen


def test_everything_listens_on_loopback(stack):
    ours = {process.pid for process in family(stack)}
    listening = [
        connection.laddr.ip
        for connection in psutil.net_connections("inet")
        if connection.pid in ours and connection.status == psutil.CONN_LISTEN
    ]

    assert set(listening) == {"127.0.0.1"}


def test_the_api_wants_a_login(stack):
    stranger = AirflowApi(stack.airflow_url, stack.user, "guessed")
    with pytest.raises(ApiError) as refused:
        stranger("GET", "dags")
    stranger.close()

    assert refused.value.status == 401


def test_the_api_key_is_in_one_encrypted_connection_and_nowhere_else(stack):
    assert len(family(stack)) > 5
    for process in family(stack):
        assert KEY not in " ".join(process.cmdline())
        assert KEY not in str(process.environ())
    files = [path for path in stack.state.root.rglob("*") if path.is_file() and "postgres" not in path.parts]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    with psycopg.connect(stack.airflow_dsn) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            found = connection.execute(f'SELECT count(*) FROM "{table}" AS t WHERE t::text LIKE %s', [f"%{KEY}%"])
            assert found.fetchone() == (0,), table
        stored = connection.execute("SELECT password FROM connection WHERE conn_id = 'youtube_default'").fetchone()
    assert stored is not None
    assert stored[0].startswith("gAAAA"), "not encrypted by fernet"


def test_a_second_supervisor_is_refused_and_harms_nothing(stack, folders):
    code = """
import sys
from pathlib import Path
from local_stack import LocalStack, AlreadyRunningError
stack = LocalStack(Path(sys.argv[1]))
try:
    stack.start()
except AlreadyRunningError as error:
    print(error)
finally:
    stack.stop()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(folders / "state")]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout

    assert output.count("\n") == 1
    assert stack.airflow_url in output
    stack.check()


def test_a_broken_dag_file_is_explained(stack, folders):
    broken = folders / "dags" / "broken.py"
    broken.write_text("from airflow.sdk import dag\nraise RuntimeError('the reason')\n")
    try:
        with pytest.raises(StackError, match="the reason"):
            stack.wait_for_dags(["broken"], timeout=60)
    finally:
        broken.unlink()


def test_a_component_that_dies_is_named_with_its_log(stack):
    psutil.Process(stack.processes["triggerer"].pid).kill()
    deadline = time.monotonic() + 10
    while stack.processes["triggerer"].running:
        assert time.monotonic() < deadline
        time.sleep(0.05)

    with pytest.raises(ComponentDiedError, match=r"triggerer ended by itself .*triggerer\.log"):
        stack.check()
    stack.restart("triggerer")
    stack.check()


def test_after_kill_9_of_the_supervisor_the_next_start_cleans_up_and_goes_on(stack, folders):
    """Runs last: it stops the module's stack."""
    stack.stop()
    assert processes.belonging_to(stack.state) == []
    code = """
import os, signal, sys
from pathlib import Path
from local_stack import LocalStack
root = Path(sys.argv[1])
stack = LocalStack(root / "state", dags_folder=root / "dags", plugins_folder=root / "plugins", simulate=False)
stack.start()
os.kill(os.getpid(), signal.SIGKILL)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", code, str(folders)]
    killed = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=200)
    assert killed.returncode == -9, killed.stderr
    left = processes.belonging_to(stack.state)
    assert len(left) > 5

    steps = []
    with make(folders, report=steps.append) as again:
        assert f"ended {len(left)} processes" in " ".join(steps)
        assert not any(map(processes.alive, left))
        with psycopg.connect(again.ghost_dsn) as connection:
            assert connection.execute("SELECT count(*) > 0 FROM seen").fetchone() == (True,)
        assert again.wait_for_run("probe", again.trigger("probe")) == "success"
    assert processes.belonging_to(stack.state) == []
    assert not (Path(again.state.root) / "processes.json").exists()
    assert json.loads(again.state.ports.read_text())["airflow"]
