"""The schedule's package is a library: it needs PostgreSQL and no Airflow."""

import os
import subprocess
import sys
from pathlib import Path

import ghost_tracking.postgres

IMPORT_EVERYTHING = """
import importlib, pkgutil, sys

class NoAirflow:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "airflow":
            raise ImportError(f"{name} is not to be imported here")

sys.meta_path.insert(0, NoAirflow())
import ghost_tracking.postgres as package
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
    print(module.name)
"""


def test_no_module_needs_airflow() -> None:
    package = ghost_tracking.postgres.__path__[0]
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_EVERYTHING],
        env=os.environ | {"PYTHONPATH": str(Path(package).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert f"{ghost_tracking.postgres.__name__}.schedule" in done.stdout.splitlines()
