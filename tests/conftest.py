"""The local gateway of the whole run, and the four methods that send a request to a model."""

import asyncio
import base64
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.utils import message_chunk_to_message

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek._warnings import warn_once
from langchain_cf_deepseek.local import LocalGateway
from tests.relay import Relay

ACCOUNT = "0123456789abcdef0123456789abcdef"
"""The account of the local gateway."""

PICTURE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""A PNG of one pixel."""

Ask = Callable[..., AIMessage]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--plain-http", action="store_true", help="run as if aiohttp were not installed"
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--plain-http"):
        pytest.MonkeyPatch().setitem(sys.modules, "aiohttp", None)


@contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port that refuses connections, and that no other program can take."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield int(bound.getsockname()[1])


@pytest.fixture(scope="session")
def running_gateway() -> Iterator[LocalGateway]:
    with LocalGateway() as gateway:
        yield gateway


@pytest.fixture
def gw(running_gateway: LocalGateway) -> LocalGateway:
    running_gateway.reset()
    return running_gateway


@pytest.fixture
def relay(gw: LocalGateway) -> Iterator[Relay]:
    with Relay(gw) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.stopping = True
        server.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def _unset_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CLOUDFLARE_", "CF_AIG_", "DEEPSEEK_", "OPENAI_", "LANGSMITH_", "LC_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _reset_warn_once() -> None:
    warn_once.cache_clear()


def _invoke(llm: ChatCloudflareDeepSeek, asked: LanguageModelInput, **kwargs: Any) -> AIMessage:
    return llm.invoke(asked, **kwargs)


def _ainvoke(llm: ChatCloudflareDeepSeek, asked: LanguageModelInput, **kwargs: Any) -> AIMessage:
    return asyncio.run(llm.ainvoke(asked, **kwargs))


def _stream(llm: ChatCloudflareDeepSeek, asked: LanguageModelInput, **kwargs: Any) -> AIMessage:
    return _sum_chunks(list(llm.stream(asked, **kwargs)))


def _astream(llm: ChatCloudflareDeepSeek, asked: LanguageModelInput, **kwargs: Any) -> AIMessage:
    async def collect() -> list[AIMessageChunk]:
        return [chunk async for chunk in llm.astream(asked, **kwargs)]

    return _sum_chunks(asyncio.run(collect()))


def _sum_chunks(chunks: list[AIMessageChunk]) -> AIMessage:
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk
    message = message_chunk_to_message(total)
    assert isinstance(message, AIMessage)
    return message


PATHS: dict[str, Ask] = {
    "invoke": _invoke,
    "ainvoke": _ainvoke,
    "stream": _stream,
    "astream": _astream,
}


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> str:
    """Return the name of a method that sends a request."""
    return str(request.param)


@pytest.fixture(params=["stream", "astream"])
def stream_path(request: pytest.FixtureRequest) -> str:
    """Return the name of a method that streams."""
    return str(request.param)


@pytest.fixture(params=PATHS)
def ask(request: pytest.FixtureRequest) -> Ask:
    """Return a function that sends a request by one method and returns one message."""
    return PATHS[request.param]
