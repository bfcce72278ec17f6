"""The wheel beside each Airflow that is supported, in an empty environment, with the DAGs as a local bundle."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deployments.airflows import OLDEST, VERSIONS
from deployments.conftest import DAG_BUNDLE, uv

pytestmark = pytest.mark.deployments

PYTHON = os.environ.get("GHOST_TEST_PYTHON", f"{sys.version_info.major}.{sys.version_info.minor}")
"""The version or the path of the Python of these environments: that of the tests, or another one."""


@pytest.fixture(scope="module", params=[*VERSIONS, "oldest"])
def programs(request: pytest.FixtureRequest, wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs' folder of an environment that has this Airflow and the wheel, and what these two need."""
    place = tmp_path_factory.mktemp("environment") / "venv"
    uv("venv", "--quiet", "--python", PYTHON, str(place))
    install = ["pip", "install", "--quiet", "--system-certs", "--python", str(place / "bin" / "python")]
    if request.param == "oldest":
        uv(*install, *OLDEST, "apache-airflow==3.2.0", f"{wheel}[airflow]")
    else:
        # as a user has it: Airflow is there, and the wheel comes beside it
        uv(*install, *VERSIONS[request.param], f"apache-airflow=={request.param}")
        uv(*install, f"{wheel}[airflow]")
    return place / "bin"


def test_the_dags_run_from_a_bundle_and_the_wheel_brings_the_rest(programs: Path, deployed: Callable[..., Any]) -> None:
    airflow = deployed(programs, AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST=DAG_BUNDLE)
    airflow.run("airflow", "db", "migrate")
    airflow.add_connections()
    assert "ghost-tracking" in airflow.run("airflow", "providers", "list", "--output", "plain")
    airflow.runs_every_dag()
    airflow.shows_its_page()
    report = json.loads(airflow.run("python", "-m", "ghost_tracking", "--vault", str(airflow.vault), "verify"))
    assert report["points"] > 0
    assert report["problems"] == []
