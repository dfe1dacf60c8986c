"""Connections that are slow, many or idle do not keep others from the page."""

import socket
import threading
import time

import pytest

pytest.importorskip("waitress", reason="waitress is not installed: pip install flask waitress captum")
from clipbert_mmf.demo import connections
from clipbert_mmf.demo.connections import PageServer


def answer(environ, start_response):
    """Say how long the body was."""
    body = environ["wsgi.input"].read()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(len(body)).encode()]


@pytest.fixture
def address(monkeypatch):
    monkeypatch.setattr(connections, "HEADER_SEC", 1.5)
    monkeypatch.setattr(connections, "BODY_SEC", 1.5)
    server = PageServer(answer, "127.0.0.1", 0, num_threads=2, max_body_bytes=1 << 20)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield "127.0.0.1", server.effective_port
    server.task_dispatcher.shutdown()


def ask(address, head=b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"):
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head)
        data = b""
        while block := connection.recv(4096):
            data += block
    return data


def is_closed(connection) -> bool:
    connection.settimeout(20)
    try:
        return connection.recv(1) == b""
    except ConnectionError:
        return True


def test_a_client_of_many_slow_connections_still_gets_an_answer(address):
    slow = [socket.create_connection(address, timeout=20) for _ in range(150)]
    for connection in slow:
        try:
            connection.sendall(b"GET / HTTP/1.1\r\nX: ")
        except OSError:  # closed already: there are newer ones
            continue
    assert ask(address).startswith(b"HTTP/1.1 200")
    assert all(is_closed(connection) for connection in slow)  # the last ones for their header
    for connection in slow:
        connection.close()


@pytest.mark.parametrize(
    "head", [b"", b"GET / HTTP/1.1\r\nX:", b"POST / HTTP/1.1\r\nContent-Length: 900000\r\n\r\n"]
)
def test_a_request_that_does_not_come_is_ended(address, head):
    with socket.create_connection(address, timeout=20) as connection:
        connection.sendall(head)
        done = threading.Event()

        def drip():
            while head and not done.wait(0.3):
                try:
                    connection.sendall(b"x")
                except OSError:
                    return

        threading.Thread(target=drip, daemon=True).start()
        began = time.monotonic()
        assert is_closed(connection) and time.monotonic() - began > 1.0
        done.set()


def test_a_connection_that_is_kept_open_may_wait_between_requests(address):
    with socket.create_connection(address, timeout=20) as connection:
        for _ in range(2):
            connection.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello")
            data = b""
            while not data.endswith(b"5"):
                data += connection.recv(4096)
            time.sleep(2.2)  # longer than a header may take


def test_a_port_that_is_taken_and_a_host_without_an_address_are_errors(address):
    with pytest.raises(OSError, match="in use"):
        PageServer(answer, *address, num_threads=1, max_body_bytes=1)
    with pytest.raises(OSError, match="Invalid host"):
        PageServer(answer, "nowhere.invalid", 0, num_threads=1, max_body_bytes=1)
