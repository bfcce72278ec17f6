"""The clock that tests turn is the one that the product's code reads."""

import json
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from shifted_clock import SharedShift, shifted

_ROOT = Path(__file__).parents[2]
_OTHER_PROCESS = """
import datetime as module, json, sys, time
from datetime import UTC, date, datetime
from pathlib import Path
from time import monotonic

from ghost_tracking.vault.kit.names import named_at, new_name
from ghost_tracking.youtube import results
from shifted_clock import SharedShift, install

shared, began = SharedShift(Path(sys.argv[1])), monotonic()
before = datetime.now(UTC)
install(lambda: shared.seconds + 3600)
import pandas as pd
body = {"items": [{"id": "aaaaaaaaaaA"}]}
read = results.read_result(body, ["aaaaaaaaaaA"], lambda item, observed_at, odd: observed_at)
moments = {
    "now": datetime.now(UTC),
    "a module": module.datetime.now(UTC),
    "without a zone": datetime.now().astimezone(UTC),
    "utcnow": datetime.utcnow().replace(tzinfo=UTC),
    "time": datetime.fromtimestamp(time.time(), UTC),
    "observed": read.found["aaaaaaaaaaA"],
    "a file's name": named_at(new_name(".parquet")),
    "today": datetime.combine(date.today(), datetime.min.time(), UTC),
}
assert type(moments["now"]) is datetime and isinstance(before, datetime)
assert monotonic() - began < 60
assert pd.Timestamp(moments["now"]).to_pydatetime() == moments["now"]
shared.seconds = 0.0
assert abs(datetime.now(UTC) - before) < module.timedelta(hours=2)
print(json.dumps({name: moment.isoformat() for name, moment in moments.items()}))
"""


def test_another_process_reads_the_shifted_clock_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "clock"
    shared = SharedShift(file)
    shared.seconds = -timedelta(days=30).total_seconds()
    expected = datetime.now(UTC) - timedelta(days=30) + timedelta(hours=1)
    program = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _OTHER_PROCESS, str(file)],
        env={"PYTHONPATH": ":".join(str(_ROOT / each) for each in ("plugins", "dev", "include", "tests")), "PATH": ""}
        | {"AIRFLOW_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert program.returncode == 0, program.stderr
    told = {name: datetime.fromisoformat(text) for name, text in json.loads(program.stdout.splitlines()[-1]).items()}
    assert abs(told.pop("today") - expected) < timedelta(days=1, minutes=2)
    assert all(abs(moment - expected) < timedelta(minutes=2) for moment in told.values()), told
    assert shared.seconds == 0, "what one process sets, all see"


def test_a_clock_that_was_shifted_for_a_while_is_right_again() -> None:
    before, hour = datetime.now(UTC), timedelta(hours=1)
    with shifted(hour.total_seconds):
        assert before + hour <= datetime.now(UTC) < before + 2 * hour
        assert datetime.fromtimestamp(time.time(), UTC) >= before + hour
    assert before <= datetime.now(UTC) < before + hour
    assert before <= datetime.fromtimestamp(time.time(), UTC) < before + hour
