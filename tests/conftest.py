"""One local gateway for the whole run, and the four ways to ask a model."""

import asyncio
import base64
import os
import sys
import threading
from collections.abc import Callable, Iterator
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
    parser.addoption("--plain-http", action="store_true", help="without aiohttp")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--plain-http"):
        sys.modules["aiohttp"] = None  # type: ignore[assignment]


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
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("CLOUDFLARE_", "CF_AIG_", "DEEPSEEK_", "OPENAI_", "LANGSMITH_", "LC_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _every_warning_may_come_again() -> None:
    warn_once.cache_clear()


def _invoke(llm: ChatCloudflareDeepSeek, asked: LanguageModelInput, **kwargs: Any) -> AIMessage:
    return llm.invoke(asked, **kwargs)


def _ainvoke(llm: ChatCloudflareDeepSeek, asked: LanguageModelInput, **kwargs: Any) -> AIMessage:
    return asyncio.run(llm.ainvoke(asked, **kwargs))


def _stream(llm: ChatCloudflareDeepSeek, asked: LanguageModelInput, **kwargs: Any) -> AIMessage:
    return _summed(list(llm.stream(asked, **kwargs)))


def _astream(llm: ChatCloudflareDeepSeek, asked: LanguageModelInput, **kwargs: Any) -> AIMessage:
    async def collect() -> list[AIMessageChunk]:
        return [chunk async for chunk in llm.astream(asked, **kwargs)]

    return _summed(asyncio.run(collect()))


def _summed(chunks: list[AIMessageChunk]) -> AIMessage:
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
def ask(request: pytest.FixtureRequest) -> Ask:
    """Ask a model one of the four ways; the answer is one message, whichever it is."""
    return PATHS[request.param]
