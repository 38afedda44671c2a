"""HTTP clients: which library they use, and that each reads a response alike."""

import asyncio
import json
import socket
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import httpx
import openai
import pytest
from pydantic import ValidationError

from langchain_cf_deepseek import CFDeepSeekError, ChatCloudflareDeepSeek, errors
from langchain_cf_deepseek._errors.certificates import is_untrusted, iter_causes
from langchain_cf_deepseek._http import clients
from langchain_cf_deepseek._http.clients import socket_options
from langchain_cf_deepseek._http.http_library import library_of
from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import PATHS
from tests.raw_http import read_request
from tests.subprocesses import run_python

HAS_AIOHTTP = find_spec("aiohttp") is not None


def _head(content_type: str, **headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"content-type: {content_type}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


@contextmanager
def _server(*answers: bytes, reset: bool = False) -> Iterator[str]:
    """Respond to each connection with one of `answers`, and reset it if `reset`."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection:
                    read_request(connection)
                    connection.sendall(answer)
                    if reset:
                        linger = struct.pack("ii", 1, 0)
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join()


def _event(text: str) -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n' % text.encode()


def _model(url: str, **kwargs: Any) -> ChatCloudflareDeepSeek:
    fields: dict[str, Any] = {"model": "deepseek-flash", "api_key": "k", "max_retries": 0}
    return ChatCloudflareDeepSeek(base_url=url, **(fields | kwargs))


@pytest.mark.parametrize("path", ["stream", "astream"])
@pytest.mark.parametrize("framing", [{}, {"content_length": "9999"}])
def test_text_in_the_same_packet_as_the_break_is_kept(path: str, framing: dict[str, str]) -> None:
    answer = _head("text/event-stream", **framing) + _event("Short ") + _event("waves")
    with (
        _server(answer) as url,
        pytest.raises(errors.CFDeepSeekIncompleteStreamError) as caught,
    ):
        PATHS[path](_model(url), "Why is the sky blue?")
    assert caught.value.partial == "Short waves"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nserver: s\r\n", b"nonsense\r\n\r\n"],
)
def test_response_that_is_not_http_is_a_connection_error_and_no_timeout(
    path: str, answer: bytes
) -> None:
    with _server(answer) as url, pytest.raises(CFDeepSeekError) as caught:
        PATHS[path](_model(url), "Hello")
    assert (type(caught.value), caught.value.is_retryable) == (
        errors.CFDeepSeekConnectionError,
        True,
    )


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
def test_truncated_body_is_not_reported_as_an_unreachable_host(path: str) -> None:
    answer = _head("application/json", content_length="9999") + b'{"choices": ['
    with (
        _server(answer) as url,
        pytest.raises(errors.CFDeepSeekConnectionError, match="was lost during the response"),
    ):
        PATHS[path](_model(url), "Why is the sky blue?")


@pytest.mark.parametrize("path", PATHS)
def test_long_request_arrives_complete(gw: LocalGateway, path: str) -> None:
    text = "sky " * 400_000
    PATHS[path](gw.chat_model(), text)
    [request] = gw.requests
    assert request.body["messages"] == [{"role": "user", "content": text}]
    assert "transfer-encoding" not in request.headers


@pytest.mark.parametrize("path", PATHS)
def test_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    answer = b'{"choices":[{"message":{"content":"by proxy"},"finish_reason":"stop"}]}'
    with _server(_head("application/json", content_length=str(len(answer))) + answer) as url:
        monkeypatch.setenv("HTTP_PROXY", url)
        monkeypatch.setenv("HTTPS_PROXY", url)
        # For https a proxy receives CONNECT, which this server does not support.
        with pytest.raises(errors.CFDeepSeekConnectionError):
            PATHS[path](_model("https://gateway.example/deepseek"), "Hello")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("proxy", ["socks9://user:a-password@proxy.example", "socks5://a.example"])
def test_proxy_that_cannot_be_used_is_a_connection_error_naming_the_variable(
    monkeypatch: pytest.MonkeyPatch, path: str, proxy: str
) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(errors.CFDeepSeekConnectionError, match="Correct HTTPS_PROXY") as caught:
        PATHS[path](_model("https://gateway.example/deepseek"), "Hello")
    assert "a-password" not in str(caught.value)


def test_http_client_of_the_older_library_works(gw: LocalGateway) -> None:
    with httpx.Client() as own:
        assert gw.chat_model(http_client=own).invoke("Hello").text


@pytest.mark.parametrize("field", ["http_client", "http_async_client"])
def test_http_client_that_is_none_of_a_known_library_is_rejected_at_construction(
    gw: LocalGateway, field: str
) -> None:
    wrong = {"http_client": openai.DefaultAsyncHttpxClient, "http_async_client": httpx.Client}
    with pytest.raises(ValidationError, match=field):
        gw.chat_model(**{field: wrong[field]()})


def test_library_of_another_class_is_rejected() -> None:
    with pytest.raises(ValueError, match="dict is not a class of httpx or httpx2"):
        library_of(dict)


@pytest.mark.skipif(not HAS_AIOHTTP, reason="the extra `fast` is not installed")
def test_async_calls_use_aiohttp_where_it_is_installed(
    gw: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "example.com")
    llm = gw.chat_model()

    async def transport() -> str:
        await llm.ainvoke("Hello")
        async with llm._transport._clients.aacquire(None) as client:
            return type(client._transport).__name__

    assert asyncio.run(transport()) == "AiohttpTransport"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [
        {"cf-aig-dlp": json.dumps({"findings": ["x" * 30_000]})},
        {f"x-header-{number}": "y" * 100 for number in range(300)},
        {"x-long": "z" * 70_000},
    ],
    ids=["12 kB of DLP", "300 headers", "a long line"],
)
def test_long_headers_are_read_on_every_path(
    gw: LocalGateway, path: str, headers: dict[str, str]
) -> None:
    gw.fault(headers=headers)
    assert PATHS[path](gw.chat_model(max_retries=0), "Hello").text


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "headers",
    [b"x-long: " + b"z" * 300_000, b"\r\n".join([b"x-many: " + b"z" * 1000] * 300)],
    ids=["one", "many"],
)
def test_headers_that_never_end_are_not_retried_or_called_an_unreachable_host(
    path: str, headers: bytes
) -> None:
    endless = b"HTTP/1.1 200 OK\r\n" + headers + b"\r\ncontent-length: 0\r\n\r\n"
    with _server(endless) as url, pytest.raises(errors.CFDeepSeekConnectionError) as caught:
        PATHS[path](_model(url, max_retries=2), "Hello")
    assert "the response headers exceed the limit" in str(caught.value)
    assert not caught.value.is_retryable


@pytest.mark.parametrize("path", PATHS)
def test_connection_notices_that_the_peer_has_vanished(
    gw: LocalGateway, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    options: list[tuple[int, int, Any]] = []
    set_option = socket.socket.setsockopt

    def noted(self: socket.socket, level: int, name: int, value: Any) -> None:
        options.append((level, name, value))
        set_option(self, level, name, value)

    monkeypatch.setattr(socket.socket, "setsockopt", noted)
    assert PATHS[path](gw.chat_model(), "Hello").text
    assert [option for option in socket_options() if option not in options] == []
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in socket_options()


@pytest.mark.parametrize("path", PATHS)
def test_socket_option_that_the_system_lacks_is_omitted(
    gw: LocalGateway, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    taken = socket_options()
    unknown = (socket.IPPROTO_TCP, 9999, 1)
    monkeypatch.setattr(clients, "_SOCKET_OPTIONS", (unknown, *taken))
    socket_options.cache_clear()
    assert PATHS[path](gw.chat_model(max_retries=0), "Hello").text
    assert socket_options() == taken


_CLOSES_ITS_LOOPS = """
import asyncio
from langchain_cf_deepseek.local import LocalGateway

with LocalGateway() as gateway:
    llm = gateway.chat_model()
    for _ in range(3):
        loop = asyncio.new_event_loop()
        print(loop.run_until_complete(llm.ainvoke("What is 6 * 7?")).text)
        loop.close()
"""


def test_event_loops_closed_by_hand_log_nothing() -> None:
    """Flask and Celery jobs do this: aiohttp logged each of their sessions as not closed."""
    ended = run_python("-c", _CLOSES_ITS_LOOPS)
    assert (ended.stdout, ended.stderr) == ("6 * 7 = 42\n" * 3, "")


def test_search_for_an_untrusted_certificate_ends_although_causes_form_a_cycle() -> None:
    first, second = OSError("first"), OSError("second")
    first.__cause__, second.__context__ = second, first
    assert list(iter_causes(first)) == [first, second]
    assert not is_untrusted(first)
