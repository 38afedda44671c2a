"""Sync calls on a socket: what a server can do, and how its connections end."""

import gc
import os
import socket
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessageChunk

from langchain_cf_deepseek import ChatCloudflareDeepSeek, errors
from langchain_cf_deepseek._http import clients
from tests.raw_http import read_request
from tests.subprocesses import run_python

BODY = (
    b'{"choices":[{"index":0,"finish_reason":"stop",'
    b'"message":{"role":"assistant","content":"Short waves"}}]}'
)
WHOLE = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY) + BODY

STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"content":"Short "}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"waves"},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)
CLOSING = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"

Serve = Callable[[socket.socket], None]


class Server:
    """Serves each connection in a thread, and counts them."""

    def __init__(self, serve: Serve) -> None:
        self.accepted = 0
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._one, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _one(self, connection: socket.socket) -> None:
        with connection:
            self._serve(connection)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


@contextmanager
def _server(serve: Serve) -> Iterator[Server]:
    server = Server(serve)
    try:
        yield server
    finally:
        server.close()


def _respond(answer: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(answer)

    return serve


def _respond_once(answer: bytes) -> Serve:
    def serve(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(answer)

    return serve


@contextmanager
def _model(url: str, **kwargs: Any) -> Iterator[ChatCloudflareDeepSeek]:
    fields: dict[str, Any] = {"model": "deepseek-flash", "api_key": "k", "max_retries": 0}
    model = ChatCloudflareDeepSeek(base_url=url, **(fields | kwargs))
    try:
        yield model
    finally:
        model.close()


def test_connection_serves_consecutive_calls() -> None:
    with _server(_respond(WHOLE)) as server, _model(server.url) as model:
        assert [model.invoke("Hi").text for _ in range(3)] == ["Short waves"] * 3
        assert server.accepted == 1


def test_connection_closed_by_the_server_is_not_reused() -> None:
    with _server(_respond_once(WHOLE)) as server, _model(server.url) as model:
        assert model.invoke("Hi").text == "Short waves"
        time.sleep(0.05)
        assert model.invoke("Hi").text == "Short waves"
        assert server.accepted == 2


def test_connections_of_two_addresses_are_kept_apart() -> None:
    with (
        _server(_respond(WHOLE)) as one,
        _server(_respond(WHOLE)) as other,
        _model(one.url) as model,
    ):
        copy = model.model_copy(update={"base_url": other.url})
        for asked in (model, copy, model, copy):
            asked.invoke("Hi")
        assert (one.accepted, other.accepted) == (1, 1)


@pytest.mark.parametrize("path", ["invoke", "stream"])
@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_body_can_end_with_its_connection(path: str, version: bytes) -> None:
    body = BODY if path == "invoke" else b"".join(STREAM)
    answer = CLOSING.replace(b"1.1", version, 1) + body
    with _server(_respond_once(answer)) as server, _model(server.url) as model:
        texts = (
            [model.invoke("Hi").text] if path == "invoke" else [c.text for c in model.stream("Hi")]
        )
        assert "".join(texts) == "Short waves"


def test_connection_held_open_after_the_last_event_is_closed() -> None:
    def serve(connection: socket.socket) -> None:
        _respond_once(CLOSING + b"".join(STREAM))(connection)
        connection.recv(1)  # until the client closes

    with _server(serve) as server, _model(server.url) as model:
        began = time.monotonic()
        assert "".join(chunk.text for chunk in model.stream("Hi")) == "Short waves"
        assert time.monotonic() - began < 5


@pytest.mark.parametrize("status", [b"100 Continue", b"102 Processing", b"103 Early Hints"])
def test_informational_responses_are_ignored(status: bytes) -> None:
    before = b"HTTP/1.1 %b\r\nlink: </style.css>\r\n\r\n" % status
    with _server(_respond(before + before + WHOLE)) as server, _model(server.url) as model:
        assert [model.invoke("Hi").text for _ in range(2)] == ["Short waves"] * 2
        assert server.accepted == 1


def test_abandoned_stream_can_be_closed_by_the_garbage_collector_at_any_moment() -> None:
    size = sum(map(len, STREAM))
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + b"".join(STREAM)
    with _server(_respond(answer)) as server, _model(server.url) as model:
        chunks = cast("Generator[AIMessageChunk]", model.stream("Hi"))
        next(chunks)

        def end() -> None:
            # In a thread that is acquiring a connection.
            with (
                model._transport._clients.acquire(None) as client,
                client._transport._pool._optional_thread_lock,
            ):
                chunks.close()

        thread = threading.Thread(target=end, daemon=True)
        thread.start()
        thread.join(5)
        assert not thread.is_alive()
        assert "".join(chunk.text for chunk in model.stream("Hi")) == "Short waves"


def test_abandoned_stream_closes_its_connection() -> None:
    size = sum(map(len, STREAM))
    head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size

    def serve(connection: socket.socket) -> None:
        with suppress(OSError):
            while read_request(connection):
                connection.sendall(head + STREAM[0])
                time.sleep(0.2)
                connection.sendall(STREAM[1] + STREAM[2])

    with _server(serve) as server, _model(server.url) as model:
        cycle: list[Any] = [model.stream("Hi")]
        next(cycle[0])
        cycle.append(cycle)
        del cycle
        gc.collect()
        # The second call must not read the rest of the first response.
        assert "".join(chunk.text for chunk in model.stream("Hi")) == "Short waves"
        assert server.accepted == 2


def test_header_value_can_continue_on_the_next_line() -> None:
    answer = WHOLE.replace(b"\r\n\r\n", b"\r\ncf-aig-log-id: 01\r\n  AD\r\n\r\n", 1)
    with _server(_respond(answer)) as server, _model(server.url) as model:
        facts = model.invoke("Hi").response_metadata["cloudflare_gateway"]
        assert facts["log_id"].split() == ["01", "AD"]


@pytest.mark.parametrize("path", ["invoke", "stream"])
def test_truncated_error_response_leaves_no_connection(path: str) -> None:
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        _respond_once(b"HTTP/1.1 503 Busy\r\ncontent-length: 99\r\n\r\n{")(connection)
        connection.recv(1)  # until the client closes
        ended.set()

    with _server(serve) as server, _model(server.url, timeout=0.3) as model:
        # The status is known even if the body cannot be read.
        with pytest.raises(errors.CFDeepSeekAPIError) as caught:
            model.invoke("Hi") if path == "invoke" else next(model.stream("Hi"))
        assert caught.value.status_code == 503
        assert ended.wait(5)


@pytest.mark.parametrize(
    "answer",
    [
        WHOLE.replace(b"200 OK", b"101 Switching Protocols"),
        WHOLE.replace(b"content-length", b"content-length: 5\r\ncontent-length"),
        WHOLE.replace(b"content-length: ", b"content-length: -"),
        WHOLE.replace(b"\r\n", b"\r\ntransfer-encoding: gzip, chunked\r\n", 1),
        WHOLE.replace(b"\r\n", b"\r\n no name\r\n", 1),
        WHOLE.replace(b"\r\n\r\n", b"\r\nno header\r\n\r\n", 1),
        WHOLE[:-1],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nmany\r\n" + BODY,
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n" + BODY[:3],
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n" + BODY[:5],
    ],
    ids=[
        "another protocol",
        "two lengths",
        "no length",
        "another encoding",
        "no name",
        "no colon",
        "short body",
        "no size",
        "short chunk",
        "no end",
    ],
)
def test_malformed_http_is_a_connection_error(answer: bytes) -> None:
    with (
        _server(_respond_once(answer)) as server,
        _model(server.url) as model,
        pytest.raises(errors.CFDeepSeekConnectionError) as caught,
    ):
        model.invoke("Hi")
    assert caught.value.is_retryable


def test_header_that_is_invalid_in_mail_is_accepted() -> None:
    answer = WHOLE.replace(b"\r\n\r\n", b"\r\ncontent-type: multipart/mixed\r\n\r\n", 1)
    with _server(_respond(answer)) as server, _model(server.url) as model:
        assert model.invoke("Hi").text == "Short waves"


@pytest.mark.parametrize("host", ["::1", "127.0.0.1"])
def test_url_without_a_port_uses_the_default_port_of_its_scheme(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    addresses: list[tuple[str, int]] = []

    def refuse(address: tuple[str, int], *_: Any, **__: Any) -> None:
        addresses.append(address)
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "create_connection", refuse)
    url = f"http://[{host}]" if ":" in host else f"http://{host}"
    with _model(url) as model, pytest.raises(errors.CFDeepSeekConnectionError):
        model.invoke("Hi")
    assert addresses == [(host, 80)]


def test_invalid_host_name_is_a_connection_error() -> None:
    with (
        _model("https://gateway..example/deepseek") as model,
        pytest.raises(errors.CFDeepSeekConnectionError),
    ):
        model.invoke("Hi")


def test_error_without_a_body_keeps_its_status() -> None:
    answer = b"HTTP/1.1 401 Unauthorized\r\nconnection: close\r\n\r\n"
    with (
        _server(_respond_once(answer)) as server,
        _model(server.url) as model,
        pytest.raises(errors.CFDeepSeekAuthenticationError) as caught,
    ):
        model.invoke("Hi")
    assert caught.value.status_code == 401


def test_response_sent_before_the_request_is_read_is_received() -> None:
    def serve(connection: socket.socket) -> None:
        connection.recv(1000)
        connection.sendall(b"HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(2**20):
            pass

    with (
        _server(serve) as server,
        _model(server.url) as model,
        pytest.raises(errors.CFDeepSeekInvalidRequestError) as caught,
    ):
        model.invoke("sky " * 2_000_000)
    assert caught.value.status_code == 413


def test_server_that_does_not_read_is_a_timeout() -> None:
    done = threading.Event()

    def serve(_: socket.socket) -> None:
        done.wait(10)

    with _server(serve) as server, _model(server.url, timeout=0.3) as model:
        with pytest.raises(errors.CFDeepSeekTimeoutError):
            model.invoke("sky " * 10_000_000)
        done.set()


def test_closing_lets_a_stream_end_and_then_closes_its_connection() -> None:
    continue_stream, ended = threading.Event(), threading.Event()

    def serve(connection: socket.socket) -> None:
        read_request(connection)
        size = sum(map(len, STREAM))
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size + STREAM[0])
        continue_stream.wait(5)
        connection.sendall(STREAM[1] + STREAM[2])
        connection.recv(1)
        ended.set()

    with _server(serve) as server, _model(server.url) as model:
        chunks = model.stream("Hi")
        first = next(chunks).text
        model.close()
        continue_stream.set()
        assert first + "".join(chunk.text for chunk in chunks) == "Short waves"
        assert ended.wait(5)


FORK = """
import os, sys, threading
from langchain_cf_deepseek import ChatCloudflareDeepSeek

model = ChatCloudflareDeepSeek(model="deepseek-flash", api_key="k", base_url=sys.argv[1])
model.invoke("Hi")
with model._transport._clients.acquire(None) as client:
    with client._transport._pool._optional_thread_lock:
        child = os.fork()
if child:
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
else:
    # Another thread of the parent held the lock, so that the child never releases it.
    client._transport._pool._optional_thread_lock.__enter__()
    print(model.invoke("Hi").text)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_forked_child_works_and_exits_though_the_pool_lock_was_held() -> None:
    with _server(_respond(WHOLE)) as server:
        done = run_python("-c", FORK, server.url)
    assert (done.stdout, done.stderr) == ("Short waves\n0\n", "")


def test_idle_client_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        _respond(WHOLE)(connection)
        ended.set()

    with _server(serve) as server, _model(server.url) as model:
        model.invoke("Hi")
        monkeypatch.setattr(clients, "_MAX_IDLE_SECONDS", -1)
        model.invoke("Hi")
        assert ended.wait(5)
        assert model.invoke("Hi").text == "Short waves"
        assert server.accepted == 2
