"""docs/dags.md, made of the DAG files: `make dags-page` writes it, and a test compares."""

import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "dags.md"
DAG_IDS = ("ghost_hunter", "ghost_tracker", "ghost_janitor")

_HEAD = """# The DAGs

Generated from the DAG files by `make dags-page`. Airflow's UI shows the same text.
"""


def page() -> str:
    """The whole page."""
    sys.path.insert(0, str(ROOT / "dags"))
    try:
        dags = [getattr(import_module(name), name)() for name in DAG_IDS]
    finally:
        sys.path.remove(str(ROOT / "dags"))
    return "\n".join([_HEAD, *(line for dag in dags for line in _dag(dag))])


def _dag(dag: Any) -> Iterator[str]:
    """What one DAG is for, when it runs, its tasks and its form."""
    yield f"## {dag.dag_id}\n"
    yield _without_title(dag.doc_md)
    runs = "one run at a time" if dag.max_active_runs == 1 else f"{dag.max_active_runs} runs at a time"
    ends = f"each ends after {_time(dag.dagrun_timeout)} at the latest"
    yield f"Schedule `{dag.timetable.expression}` UTC, {runs}, {ends}.\n"
    yield "| task | after | runs when | what it does |"
    yield "|---|---|---|---|"
    for task in dag.topological_sort():
        yield f"| {_mapped(task)} | {_after(task)} | `{task.trigger_rule.value}` | {_said(task)} |"
    yield ""
    if dag.params:
        yield "| in the form | what it is | without it |"
        yield "|---|---|---|"
        for name in dag.params:
            param = dag.params.get_param(name)
            default = param.resolve(suppress_exception=True)
            yield f"| **{param.schema['title']}** (`{name}`) | {param.description} | `{default!r}` |"
        yield ""


def _without_title(text: str) -> str:
    """The DAG's documentation without its first headline, which the section has."""
    lines = text.strip().splitlines()
    return "\n".join(lines[1:] if lines[0].startswith("#") else lines).strip() + "\n"


def _mapped(task: Any) -> str:
    return f"`{task.task_id}`" + (" (one a batch)" if task.is_mapped else "")


def _after(task: Any) -> str:
    return ", ".join(f"`{name}`" for name in sorted(task.upstream_task_ids)) or "–"


def _said(task: Any) -> str:
    doc = task.partial_kwargs["doc_md"] if task.is_mapped else task.doc_md
    return " ".join(str(doc).split())


def _time(time: Any) -> str:
    minutes = int(time.total_seconds() // 60)
    return f"{minutes // 60} h" if minutes % 60 == 0 else f"{minutes} min"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
