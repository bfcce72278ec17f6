"""What all task bodies share."""

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import GetXComSequenceSlice, XComSequenceSliceResult
from airflow.sdk.execution_time.lazy_sequence import LazyXComSequence

from ghost_tracking.tasks.body import results


def test_results_of_a_mapped_task_are_asked_for_in_one_request(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def send(message: Any) -> XComSequenceSliceResult:
        asked.append(message)
        return XComSequenceSliceResult(root=[{"tracked": 3}, None, {"tracked": 4}])

    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", SimpleNamespace(send=send), raising=False)
    track = SimpleNamespace(key="return_value", operator=SimpleNamespace(dag_id="ghost_tracker", task_id="track"))
    reports: Any = LazyXComSequence(xcom_arg=track, ti=SimpleNamespace(run_id="manual"))

    assert results(reports) == [{"tracked": 3}, {"tracked": 4}]
    assert [type(each) for each in asked] == [GetXComSequenceSlice]


@pytest.mark.parametrize("reports", [None, [], [None]])
def test_a_run_whose_mapped_task_was_skipped_has_no_results(reports: Any) -> None:
    assert results(reports) == []
