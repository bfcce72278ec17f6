"""The DAG files: they parse light, wire what the design says, and can be explained."""

import inspect
import json
import re
import subprocess
import sys
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException

import dag_page
from ghost_tracking.postgres.quota import LONGEST_TASK
from ghost_tracking.tasks import forms, tracker

ROOT = Path(__file__).parents[2]
DAG_IDS = ["ghost_hunter", "ghost_janitor", "ghost_tracker"]
HEAVY = ("pandas", "pyarrow", "googleapiclient", "psycopg", "psycopg2", "duckdb", "numpy", "httplib2", "alembic")

SURVEY = """
import json, sys, warnings
warnings.simplefilter("error", category=DeprecationWarning)
sys.path.insert(0, sys.argv[1])
before = set(sys.modules)
import airflow.sdk
light = set(sys.modules)
sys.path.insert(0, sys.argv[2])
from importlib import import_module
dags = {}
for name in ("ghost_hunter", "ghost_janitor", "ghost_tracker"):
    dag = getattr(import_module(name), name)()
    dags[dag.dag_id] = dag
print(json.dumps({
    "loaded": sorted(set(sys.modules) - light),
    "dags": {dag_id: {
        "doc": dag.doc_md,
        "descriptions": [getattr(dag.params.get_param(name), "description", None) for name in dag.params],
        "catchup": dag.catchup, "max_active_runs": dag.max_active_runs, "timeout": str(dag.dagrun_timeout),
        "timetable": type(dag.timetable).__name__,
        "deadlines": [alert.interval.total_seconds() / 60 for alert in dag.deadline or []],
        "callbacks": bool(dag.on_failure_callback or dag.on_success_callback or any(
            getattr(task, name, None) for task in dag.tasks
            for name in ("on_failure_callback", "on_success_callback", "on_retry_callback", "on_skipped_callback"))),
        "tasks": {task.task_id: {
            "rule": task.trigger_rule.value, "upstream": sorted(task.upstream_task_ids),
            "timeout": str(getattr(task, "execution_timeout", None) or task.partial_kwargs.get("execution_timeout")),
            "retries": task.retries, "pool": task.pool,
            "doc": (getattr(task, "doc_md", None) or (task.partial_kwargs.get("doc_md")
                    if hasattr(task, "partial_kwargs") else None)),
        } for task in dag.tasks},
    } for dag_id, dag in dags.items()},
}))
"""


@pytest.fixture(scope="module")
def survey() -> dict:
    """What a fresh interpreter sees of the DAG files."""
    run = subprocess.run(
        [sys.executable, "-c", SURVEY, str(ROOT / "plugins"), str(ROOT / "dags")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def test_the_three_dags_are_there(survey: dict) -> None:
    assert sorted(survey["dags"]) == DAG_IDS
    assert sorted(path.stem for path in (ROOT / "dags").glob("*.py")) == DAG_IDS


def test_parsing_imports_nothing_heavy(survey: dict) -> None:
    assert [name for name in survey["loaded"] if name.split(".")[0] in HEAVY] == []


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_every_dag_and_task_is_bounded_and_explained(survey: dict, dag_id: str) -> None:
    dag = survey["dags"][dag_id]
    assert len(dag["doc"]) > 200
    assert (dag["catchup"], dag["max_active_runs"]) == (False, 1)
    assert dag["timeout"] != "None"
    assert None not in dag["descriptions"]
    for task_id, task in dag["tasks"].items():
        assert task["timeout"] != "None", task_id
        assert task["doc"], task_id


@pytest.mark.parametrize("mapped", [("ghost_tracker", "track"), ("ghost_hunter", "hunt")])
def test_the_runs_colour_tells_the_truth(survey: dict, mapped: tuple[str, str]) -> None:
    dag_id, work = mapped
    tasks = survey["dags"][dag_id]["tasks"]
    done = {work, "import_lists"} & set(tasks)
    assert set(tasks) == {"plan", *done, "publish", "summary", "alert"}
    assert (tasks["publish"]["rule"], tasks["publish"]["upstream"]) == ("all_done", sorted(done))
    assert (tasks["summary"]["rule"], tasks["summary"]["upstream"]) == (
        "none_failed",
        sorted(["plan", "publish", *done]),
    )


def test_what_track_leaves_undone_is_the_next_runs(survey: dict) -> None:
    track = survey["dags"]["ghost_tracker"]["tasks"]["track"]
    assert (track["retries"], track["pool"]) == (0, "default_pool")


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_one_task_watches_all_others_and_colours_the_run(survey: dict, dag_id: str) -> None:
    tasks = survey["dags"][dag_id]["tasks"]
    watcher = tasks["alert"]
    assert (watcher["rule"], watcher["upstream"]) == ("one_failed", sorted(set(tasks) - {"alert"}))
    assert not any("alert" in task["upstream"] for task in tasks.values())


def test_somebody_is_told_of_runs_that_hang_before_airflow_ends_them(survey: dict) -> None:
    deadlines = {dag_id: dag["deadlines"] for dag_id, dag in survey["dags"].items()}
    assert deadlines == {"ghost_tracker": [30], "ghost_hunter": [90], "ghost_janitor": [300]}
    for dag_id, (minutes,) in deadlines.items():
        hours, rest, _ = map(int, survey["dags"][dag_id]["timeout"].split(":"))
        assert minutes < 60 * hours + rest


def test_no_dag_has_a_callback_in_the_dag_processor(survey: dict) -> None:
    assert [dag_id for dag_id, dag in survey["dags"].items() if dag["callbacks"]] == []


@pytest.mark.parametrize(
    ("dag_id", "task_id"), [("ghost_tracker", "track"), ("ghost_hunter", "hunt"), ("ghost_hunter", "import_lists")]
)
def test_no_task_outlives_what_the_ledger_counts_on(survey: dict, dag_id: str, task_id: str) -> None:
    hours, minutes, seconds = map(int, survey["dags"][dag_id]["tasks"][task_id]["timeout"].split(":"))
    assert timedelta(hours=hours, minutes=minutes, seconds=seconds) < LONGEST_TASK


@pytest.mark.parametrize(
    ("dag_id", "tasks", "conf", "said"),
    [
        (
            "ghost_tracker",
            ["plan"],
            {"limits": 3},
            "the form of ghost_tracker has no 'limits' (did you mean 'limit'?).",
        ),
        (
            "ghost_hunter",
            ["plan"],
            {"videos": ["x"], "xyz": 3},
            "the form of ghost_hunter has no 'xyz'. Its fields are videos,",
        ),
        (
            "ghost_janitor",
            ["let_go", "archive", "clean", "move_to_roster", "seal", "compact", "expire", "check"],
            {"dryrun": True, "Check": "repair"},
            "no 'dryrun' (did you mean 'dry_run'?), nor 'Check' (did you mean 'check'?). Its fields are dry_run, ",
        ),
    ],
)
def test_a_name_that_a_form_does_not_have_is_refused_before_anything_is_done(
    dag_id: str, tasks: list[str], conf: dict, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(ROOT / "dags")
    module = import_module(dag_id)
    dag = getattr(module, dag_id)()
    run = SimpleNamespace(run_type="manual", conf=conf)
    context = {"dag": dag, "dag_run": run, "params": dict.fromkeys(dag.params) | conf}
    monkeypatch.setattr(module, "get_current_context", lambda: context)
    for task_id in tasks:
        function = dag.get_task(task_id).python_callable
        arguments = [{"vault": "v"} for _ in inspect.signature(function).parameters]
        with pytest.raises(AirflowFailException) as caught:
            function(*arguments)
        assert said in str(caught.value)


@pytest.mark.parametrize("conf", [None, {}, {"limit": 3}, {"openlineage": {"parentRunId": "r"}}])
def test_a_form_with_the_names_that_it_has_is_taken(conf: dict | None) -> None:
    run = SimpleNamespace(conf=conf)
    dag = SimpleNamespace(dag_id="ghost_tracker", params={"limit": None})
    assert forms.form({"dag": dag, "dag_run": run, "params": {"limit": 3}}) == {"limit": 3}


def test_the_hunter_has_windows(survey: dict) -> None:
    assert survey["dags"]["ghost_hunter"]["timetable"] == "CronDataIntervalTimetable"


def test_the_core_is_pure() -> None:
    code = (
        "import pkgutil, sys, importlib, ghost_tracking.core as core\n"
        "for each in pkgutil.iter_modules(core.__path__): importlib.import_module(f'{core.__name__}.{each.name}')\n"
        "impure = 'airflow', 'psycopg', 'pyarrow', 'pandas', 'googleapiclient', 'httplib2'\n"
        "print([name for name in impure if name in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT / "plugins",
        env={"PYTHONPATH": "."},
    )
    assert run.stdout.strip() == "[]"


def test_the_page_about_the_dags_is_up_to_date() -> None:
    assert dag_page.PAGE.read_text(encoding="utf-8") == dag_page.page(), "make dags-page writes it anew"


def test_the_dashboard_shows_numbers_that_go_out() -> None:
    dashboard = (ROOT / "include" / "grafana" / "ghost_tracking.json").read_text(encoding="utf-8")
    shown = set(re.findall(r"airflow_ghost_tracking_(\w+)", dashboard))
    tasks = ROOT / "plugins" / "ghost_tracking" / "tasks"
    sent = set(re.findall(r'gauge\("(\w+)"', "".join(file.read_text(encoding="utf-8") for file in tasks.glob("*.py"))))
    assert shown <= sent | set(tracker._TOTALS)
    assert sent <= shown, "a number without a panel"
