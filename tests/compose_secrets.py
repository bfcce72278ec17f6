"""The secrets that docker-compose.yaml mounts, made as its reader makes them."""

import os
import shutil
import subprocess
from pathlib import Path

from local_stack.layout import PROJECT

SCRIPT = PROJECT / "include" / "compose" / "secrets.sh"
API_KEY = "AIza-a_key_of_no_service-0123456789abcd"


def run_script(checkout: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the script in a folder that stands for the checkout, with nobody who answers a question."""
    script = checkout / SCRIPT.relative_to(PROJECT)
    script.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(SCRIPT, script)
    return subprocess.run(
        ["sh", str(script)],
        env={"PATH": os.environ["PATH"], **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def make_secrets(checkout: Path) -> Path:
    """The folder that the script has made."""
    done = run_script(checkout, YOUTUBE_API_KEY=API_KEY)
    assert done.returncode == 0, done.stderr
    return checkout / "secrets"
