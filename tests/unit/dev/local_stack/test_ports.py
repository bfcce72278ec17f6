import os
import socket
import subprocess
import sys

import pytest

from local_stack import ports
from local_stack.errors import StackError
from local_stack.ports import Reservations, any_free_port, is_free


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])  # noqa: S104
def taken_port(request):
    with socket.socket() as server:
        server.bind((request.param, 0))
        server.listen()
        yield server.getsockname()[1]


@pytest.fixture
def stack():
    reservations = Reservations()
    yield reservations
    reservations.release()


@pytest.fixture
def other():
    reservations = Reservations()
    yield reservations
    reservations.release()


def test_a_port_that_somebody_listens_on_is_not_free(taken_port):
    assert not is_free(taken_port)


def test_the_first_free_port_of_those_preferred_is_chosen(taken_port, stack):
    free = any_free_port()

    assert stack.choose(taken_port, free) == free


def test_another_port_is_chosen_when_all_preferred_ones_are_taken(taken_port, stack):
    chosen = stack.choose(taken_port)

    assert chosen != taken_port
    assert is_free(chosen)


def test_a_port_that_another_component_uses_is_avoided(stack):
    free = any_free_port()

    assert stack.choose(free, avoid=frozenset({free})) != free


def test_two_stacks_that_start_together_share_no_port(stack, other):
    """Nobody listens yet: that is seconds later."""
    free = any_free_port()

    assert stack.choose(free) == free
    assert other.choose(free) != free
    assert stack.choose(free) == free  # its own
    stack.release()
    assert other.choose(free) == free


def test_the_ports_of_a_stack_that_was_killed_are_free_again(other):
    code = (
        "import os, sys; from local_stack.ports import Reservations; r = Reservations(); r.choose(int(sys.argv[1])); \
os.kill(os.getpid(), 9)"
    )
    free = any_free_port()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code, str(free)], env=environment, check=False).returncode == -9

    assert other.choose(free) == free


def test_a_folder_of_somebody_else_is_not_trusted(tmp_path, monkeypatch, stack):
    monkeypatch.setattr(ports.tempfile, "tempdir", str(tmp_path))
    (tmp_path / f"ghost-tracking-ports-{os.getuid()}").symlink_to(tmp_path)

    with pytest.raises(StackError, match="belongs to another user"):
        stack.choose(any_free_port())


def test_a_port_can_be_used_again_right_after_its_server_closed():
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as web servers do
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # the side that closes first keeps the port in TIME_WAIT
            client.recv(1)

    assert is_free(port)
