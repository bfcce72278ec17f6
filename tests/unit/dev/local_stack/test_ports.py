import socket

import pytest

from local_stack.ports import any_free_port, choose_port, is_free


@pytest.fixture(params=["127.0.0.1", "0.0.0.0"])  # noqa: S104
def taken_port(request):
    with socket.socket() as server:
        server.bind((request.param, 0))
        server.listen()
        yield server.getsockname()[1]


def test_a_port_that_somebody_listens_on_is_not_free(taken_port):
    assert not is_free(taken_port)


def test_the_first_free_port_of_those_preferred_is_chosen(taken_port):
    free = any_free_port()

    assert choose_port(taken_port, free) == free


def test_another_port_is_chosen_when_all_preferred_ones_are_taken(taken_port):
    chosen = choose_port(taken_port)

    assert chosen != taken_port
    assert is_free(chosen)


def test_a_port_that_another_component_uses_is_avoided():
    free = any_free_port()

    assert choose_port(free, avoid=frozenset({free})) != free


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
