"""The wheel without its extra, in an environment without Airflow: the library and the commands of the vault."""

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deployments.conftest import uv
from ghost_tracking.core.points import MetricPoint
from ghost_tracking.vault import Vault

pytestmark = pytest.mark.deployments

VIDEO = "9LfmrkyP81M"
PYTHON = os.environ.get("GHOST_TEST_PYTHON", f"{sys.version_info.major}.{sys.version_info.minor}")
READING = """
import sys
from importlib.util import find_spec
from ghost_tracking.vault import Vault
assert find_spec("airflow") is None
print(Vault(sys.argv[1]).read_history(sys.argv[2])["views"].tolist())
"""


def test_a_vault_is_read_where_there_is_no_airflow(wheel: Path, tmp_path: Path) -> None:
    uv("venv", "--quiet", "--python", PYTHON, str(tmp_path / "venv"))
    programs = tmp_path / "venv" / "bin"
    uv("pip", "install", "--quiet", "--system-certs", "--python", str(programs / "python"), str(wheel))
    vault = Vault(tmp_path / "vault")
    vault.stage([MetricPoint(VIDEO, datetime(2026, 11, 1, 6, 30, tzinfo=UTC), 7, None, 1, None)])
    vault.publish()

    def run(*command: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)

    assert run("python", "-c", READING, str(tmp_path / "vault"), VIDEO).stdout == "[7]\n"
    assert VIDEO in run("ghost-tracking", "--vault", str(tmp_path / "vault"), "history", VIDEO).stdout
    assert run("ghost-tracking", "--vault", str(tmp_path / "vault"), "verify").returncode == 0
    without = run("ghost-tracking", "health")
    assert (without.returncode, without.stdout) == (1, "")
    assert without.stderr == "Airflow is not installed, so no connection says where the vault is: use --vault\n"
