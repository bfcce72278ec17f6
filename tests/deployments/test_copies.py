"""Copies in an Airflow that has what requirements.txt names: in its own folders, and as an Astro project."""

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

pytestmark = pytest.mark.deployments

ROOT = Path(__file__).parents[2]
PROGRAMS = Path(sys.executable).parent
LEFT_OUT = shutil.ignore_patterns("__pycache__")


def test_dags_and_plugins_copied_into_a_stock_airflow(deployed: Callable[..., Any]) -> None:
    airflow = deployed(PROGRAMS)
    home = Path(airflow.environment["AIRFLOW_HOME"])
    for folder in ("dags", "plugins"):
        shutil.copytree(ROOT / folder, home / folder, ignore=LEFT_OUT)
    airflow.run("airflow", "db", "migrate")
    for connection_id, fields in airflow.connections.items():
        airflow.run("airflow", "connections", "add", connection_id, "--conn-json", json.dumps(fields))
    assert not {name for name in airflow.environment if name.startswith("PYTHON")}
    airflow.runs_every_dag()
    airflow.shows_its_page()


def test_the_checkout_is_an_astro_project(deployed: Callable[..., Any], tmp_path: Path) -> None:
    """Astro's image: AIRFLOW_HOME is the project and on PYTHONPATH; its command line brings airflow_settings.yaml in.

    The commands are those that it sends (`settings/settings.go` of astronomer/astro-cli); the addresses are the test's.
    """
    home = tmp_path / "airflow"
    airflow = deployed(PROGRAMS, PYTHONPATH=str(home))
    for folder in ("dags", "plugins", "include"):
        shutil.copytree(ROOT / folder, home / folder, ignore=LEFT_OUT)
    airflow.run("airflow", "db", "migrate")
    settings = yaml.safe_load((ROOT / "airflow_settings.yaml").read_text(encoding="utf-8"))["airflow"]
    for pool in settings["pools"]:
        airflow.run("airflow", "pools", "set", pool["pool_name"], str(pool["pool_slot"]), pool["pool_description"])
    for variable in settings["variables"]:
        airflow.run("airflow", "variables", "set", variable["variable_name"], variable["variable_value"])
    for connection in settings["connections"]:
        here = airflow.connections[connection["conn_id"]]
        given = connection | {f"conn_{name.removeprefix('conn_')}": value for name, value in here.items()}
        options = [
            word
            for name in ("type", "extra", "host", "login", "password", "schema")
            if (value := given[f"conn_{name}"])
            for word in (f"--conn-{name}", json.dumps(value) if name == "extra" else value)
        ]
        airflow.run("airflow", "connections", "add", connection["conn_id"], *options)
    airflow.runs_every_dag()
    airflow.shows_its_page()
