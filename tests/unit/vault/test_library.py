"""The vault as a library: where Airflow is not installed, it is read and written just as well."""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ghost_tracking.core.points import MetricPoint
from ghost_tracking.errors import ConfigurationError
from ghost_tracking.vault import Vault

ROOT = Path(__file__).parents[3]
VIDEO = "9LfmrkyP81M"
MOMENT = datetime(2026, 11, 1, 6, 30, tzinfo=UTC)

WITHOUT_AIRFLOW = """
import importlib, pkgutil, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "airflow":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import ghost_tracking.core
import ghost_tracking.vault

for package in (ghost_tracking.core, ghost_tracking.vault):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith((".gcs", ".s3")):  # the extras of these names
            importlib.import_module(module.name)
print(ghost_tracking.vault.Vault(sys.argv[1]).read_history(sys.argv[2]).to_csv(index=False))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A vault with one point."""
    vault = Vault(tmp_path / "vault")
    vault.stage([MetricPoint(VIDEO, MOMENT, 7, None, 1, None)])
    vault.publish()
    return tmp_path / "vault"


def test_the_library_reads_a_vault_without_airflow(folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_AIRFLOW, str(folder), VIDEO],
        env={"PYTHONPATH": str(ROOT / "plugins"), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert not done.returncode, done.stderr
    header, point = done.stdout.split()[:2]
    assert header.startswith("video_id,timestamp,views")
    assert VIDEO in point


def test_a_root_that_is_no_vaults_is_refused_in_a_sentence() -> None:
    with pytest.raises(ConfigurationError, match="not an absolute path"):
        Vault("somewhere").publish()
    with pytest.raises(ConfigurationError, match="credentials in its URL") as refused:
        Vault("s3://key:secret@bucket/prefix").publish()
    assert "secret" not in str(refused.value)
