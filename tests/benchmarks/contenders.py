"""Who is measured: ours, what stands below it, and its peers, each as its documentation makes it.

A contender is loaded only in the process that measures it.
"""

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Protocol

from tests.benchmarks.bare import HTTP_LIBRARY, HttpLibrary, RawSocket, body


class Chat(Protocol):
    """The four ways to ask."""

    def invoke(self, prompt: str, /) -> Any: ...

    async def ainvoke(self, prompt: str, /) -> Any: ...

    def stream(self, prompt: str, /) -> Iterator[Any]: ...

    def astream(self, prompt: str, /) -> AsyncIterator[Any]: ...


@dataclass(frozen=True)
class Contender:
    """One client."""

    title: str

    package: str
    """Without it, the contender stays away."""

    make: Callable[[str], Any]
    """Returns a `Chat` that asks the server at a base URL."""

    statement: str = ""
    """What a program writes to import it."""


class OpenAISDK:
    """The `openai` SDK, sync and async."""

    def __init__(self, url: str) -> None:
        self._settings = {"base_url": url, "api_key": "k"}
        self._client = import_module("openai").OpenAI(**self._settings)

    @cached_property
    def _async_client(self) -> Any:
        return import_module("openai").AsyncOpenAI(**self._settings)

    def invoke(self, prompt: str, /) -> Any:
        return self._client.chat.completions.create(**body(prompt, stream=False))

    async def ainvoke(self, prompt: str, /) -> Any:
        return await self._async_client.chat.completions.create(**body(prompt, stream=False))

    def stream(self, prompt: str, /) -> Iterator[Any]:
        yield from self._client.chat.completions.create(**body(prompt, stream=True))

    async def astream(self, prompt: str, /) -> AsyncIterator[Any]:
        asked = body(prompt, stream=True)
        async for chunk in await self._async_client.chat.completions.create(**asked):
            yield chunk


def _ours(url: str) -> Any:
    model = import_module("langchain_cf_deepseek").ChatCloudflareDeepSeek
    return model(model="deepseek-flash", base_url=url, api_key="k")


def _ours_without_fast(url: str) -> Any:
    sys.modules["aiohttp"] = None  # type: ignore[assignment]  # as if it were not installed
    return _ours(url)


def _least(url: str) -> Any:
    return import_module("tests.benchmarks.least").LeastChatModel(url=f"{url}/chat/completions")


def _chat_deepseek(url: str) -> Any:
    model = import_module("langchain_deepseek").ChatDeepSeek
    return model(model="deepseek-flash", api_base=url, api_key="k")


def _chat_openai(url: str) -> Any:
    model = import_module("langchain_openai").ChatOpenAI
    return model(model="deepseek-flash", base_url=url, api_key="k")


def _chat_workers_ai(url: str) -> Any:
    return import_module("langchain_cloudflare").ChatCloudflareWorkersAI(
        model="@cf/deepseek-ai/deepseek-v4-flash-0731",
        account_id="a",
        api_token="k",
        base_url=url,
        endpoint_format="openai_compatible",
    )


CONTENDERS = {
    "ours": Contender(
        "ours",
        "langchain_cf_deepseek",
        _ours,
        "from langchain_cf_deepseek import ChatCloudflareDeepSeek",
    ),
    "plain": Contender(
        "ours without `fast`",
        "aiohttp",
        _ours_without_fast,
        "from langchain_cf_deepseek import ChatCloudflareDeepSeek",
    ),
    "least": Contender(
        "minimal class",
        "langchain_core",
        _least,
        "from langchain_core.language_models.chat_models import BaseChatModel\n"
        f"import {HTTP_LIBRARY}",
    ),
    "deepseek": Contender(
        "ChatDeepSeek",
        "langchain_deepseek",
        _chat_deepseek,
        "from langchain_deepseek import ChatDeepSeek",
    ),
    "openai": Contender(
        "ChatOpenAI",
        "langchain_openai",
        _chat_openai,
        "from langchain_openai import ChatOpenAI",
    ),
    "cloudflare": Contender(
        "langchain-cloudflare",
        "langchain_cloudflare",
        _chat_workers_ai,
        "from langchain_cloudflare import ChatCloudflareWorkersAI",
    ),
    "sdk": Contender("openai SDK", "openai", OpenAISDK, "from openai import OpenAI"),
    "http": Contender(HTTP_LIBRARY, HTTP_LIBRARY, HttpLibrary, f"import {HTTP_LIBRARY}"),
    "raw": Contender("raw socket", "socket", RawSocket),
}
EVERYONE = tuple(name for name in CONTENDERS if name != "plain")
LANGCHAIN = ("ours", "least", "deepseek", "openai", "cloudflare")


def installed() -> list[str]:
    return [name for name, who in CONTENDERS.items() if find_spec(who.package)]
