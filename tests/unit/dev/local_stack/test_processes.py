import json
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from local_stack import processes
from local_stack.errors import AlreadyRunningError, ComponentDiedError
from local_stack.layout import StateFolder
from local_stack.lock import SupervisorLock
from local_stack.processes import MARK, Component

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PARENT = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"


@pytest.fixture
def state(tmp_path):
    folder = StateFolder(tmp_path / "state")
    folder.create()
    yield folder
    processes.end_everything(folder, 0.0)


@pytest.fixture
def component(state):
    started = []

    def make(code, name="worker"):
        component = Component(
            name,
            [sys.executable, "-c", code],
            log=state.logs / f"{name}.log",
            env={**os.environ, MARK: str(state.root)},
            cwd=state.root,
        )
        component.start()
        started.append(component)
        return component

    yield make
    for component in started:
        processes.end(component.family(), 0.0)
        component.wait(5)


def until(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_component_that_ends_by_itself_is_reported_with_the_end_of_its_log(component):
    broken = component("print('the reason'); raise SystemExit(3)")
    until(lambda: not broken.running)

    with pytest.raises(ComponentDiedError, match="the reason") as error:
        broken.check()
    assert (error.value.name, error.value.returncode) == ("worker", 3)


def test_a_component_that_was_signalled_on_purpose_is_not_reported(component):
    sleeper = component("import time; time.sleep(60)")
    sleeper.signal(signal.SIGKILL)
    assert sleeper.wait(5)

    sleeper.check()


def test_a_component_that_ignores_the_request_is_killed_after_its_grace(component):
    stubborn = component(STUBBORN)
    until(lambda: "up" in stubborn.log.read_text())

    begin = time.monotonic()
    processes.stop({stubborn: 0.5})

    assert not stubborn.running
    assert time.monotonic() - begin < 5


def test_stopping_a_component_ends_its_children_too(component):
    parent = component(PARENT)
    until(lambda: len(parent.family()) == 2)
    family = parent.family()

    processes.stop({parent: 0.5})

    assert not any(map(processes.alive, family))


def test_what_a_killed_supervisor_left_is_found_by_its_mark(component, state):
    parent = component(PARENT)
    until(lambda: len(parent.family()) == 2)
    child = parent.family()[1]
    parent.signal(signal.SIGKILL)
    parent.wait(5)

    assert [process.pid for process in processes.belonging_to(state)] == [child.pid]
    assert len(processes.end_everything(state, 1.0)) == 1
    assert not processes.alive(child)


def test_another_stacks_processes_are_left_alone(component, tmp_path):
    component("import time; time.sleep(60)")

    assert processes.belonging_to(StateFolder(tmp_path / "other")) == []


def test_remembered_processes_are_found_where_environments_are_hidden(component, state, monkeypatch):
    sleeper = component("import time; time.sleep(60)")
    processes.remember(state, [sleeper])
    monkeypatch.setattr(psutil.Process, "environ", lambda _: (_ for _ in ()).throw(psutil.AccessDenied()))

    assert [process.pid for process in processes.belonging_to(state)] == [sleeper.pid]


def test_a_process_id_that_was_given_away_again_is_not_ours(state):
    with subprocess.Popen(["sleep", "60"]) as stranger:
        state.children.write_text(json.dumps([{"name": "x", "pid": stranger.pid, "created": 1.0}]))
        found = processes.belonging_to(state)
        stranger.kill()

    assert found == []


def test_the_caller_is_never_among_the_processes_to_end(state, monkeypatch):
    code = f"""
import os, sys
from pathlib import Path
from local_stack import processes
from local_stack.layout import StateFolder
print(len(processes.belonging_to(StateFolder(Path({str(state.root)!r})))))
"""
    environment = {**os.environ, MARK: str(state.root), "PYTHONPATH": os.pathsep.join(sys.path)}
    output = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert output.stdout.strip() == "0"


def test_a_log_of_the_last_start_is_kept(tmp_path):
    log = tmp_path / "worker.log"
    log.write_text("before")

    processes.rotate(log)

    assert not log.exists()
    assert (tmp_path / "worker.log.1").read_text() == "before"


# One supervisor a state folder


def test_a_second_supervisor_is_told_where_the_first_one_runs(tmp_path):
    first, second = SupervisorLock(tmp_path / "lock"), SupervisorLock(tmp_path / "lock")
    first.acquire()
    first.tell(pid=42, url="http://127.0.0.1:8080")

    with pytest.raises(AlreadyRunningError, match=r"runs already at http://127\.0\.0\.1:8080 \(process 42\)"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_killed_supervisor_leaves_no_lock(tmp_path):
    code = f"""
from pathlib import Path
from local_stack.lock import SupervisorLock
import time
SupervisorLock(Path({str(tmp_path / "lock")!r})).acquire()
lock = SupervisorLock(Path({str(tmp_path / "held")!r})); lock.acquire()
print("held", flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(AlreadyRunningError):
            SupervisorLock(tmp_path / "held").acquire()
        holder.kill()
    lock = SupervisorLock(tmp_path / "held")
    lock.acquire()
    lock.release()
