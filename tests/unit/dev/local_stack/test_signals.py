import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from local_stack.signals import ENDING, EndingSignals, StopRequested

PROGRAM = """
import sys, time
from local_stack.signals import EndingSignals, Make, StopRequested

signals = EndingSignals(impatience=lambda: print("impatient", flush=True))
try:
    signals.install()
    Make().watch()
    print("up", flush=True)
    time.sleep(60)
except StopRequested as stop:
    print("stopping after", stop, flush=True)
    time.sleep(1)
    print("stopped", flush=True)
"""


@pytest.fixture(autouse=True)
def interruptible():
    """A shell that starts tests in the background lets them ignore SIGINT, and all that they start as well."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return [sys.executable, str(path)]


@pytest.fixture
def environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture
def handlers():
    before = {number: signal.getsignal(number) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING, ids=lambda number: number.name)
def test_an_ending_signal_raises_once_and_then_only_shows_impatience(handlers, number):
    impatient = []
    signals = EndingSignals(impatience=lambda: impatient.append(1))
    signals.install()

    with pytest.raises(StopRequested, match=number.name):
        signal.raise_signal(number)
    signal.raise_signal(number)

    assert impatient == [1]


def test_no_signal_raises_while_the_stack_stops(handlers):
    signals = EndingSignals(impatience=lambda: None)
    signals.install()
    signals.hold()

    signal.raise_signal(signal.SIGTERM)


def test_nohup_is_respected(handlers):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    EndingSignals(impatience=lambda: None).install()

    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("number", [*ENDING, signal.SIGKILL], ids=lambda number: number.name)
@pytest.mark.parametrize("shell", ["exec", ""], ids=["exec", "shell"])
def test_a_signal_that_reaches_only_make_ends_the_program_too(tmp_path, program, environment, number, shell):
    output = tmp_path / "output"
    (tmp_path / "Makefile").write_text(
        textwrap.dedent(f"""\
        run:
        \t@{shell} {" ".join(program)} > {output}
        """)
    )
    with subprocess.Popen(["make", "-C", str(tmp_path), "run"], env=environment) as make:
        deadline = time.monotonic() + 20
        while not (output.exists() and "up" in output.read_text()):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        children = psutil.Process(make.pid).children(recursive=True)
        make.send_signal(number)
        _, alive = psutil.wait_procs(children, timeout=15)
        for process in alive:
            process.kill()

    assert not alive
    assert "stopped" in output.read_text().splitlines()
