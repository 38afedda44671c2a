"""Uses of models, repeated many times, after which nothing must be left."""

import asyncio
import gc
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import openai

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.errors import CFDeepSeekError
from langchain_cf_deepseek.local import Fault, LocalGateway, deepseek_error
from tests.conftest import PATHS

SHORT: dict[str, Any] = {"max_tokens": 4}
AT_ONCE = 20
"""The number of concurrent tasks."""

Use = Callable[[LocalGateway, int], None]

FAULTS = (
    deepseek_error(401, "Authentication Fails"),
    deepseek_error(503, "Service is too busy."),
    Fault(then="cut", after_chunks=2),
    Fault(then="reset", after_chunks=2),
    Fault(then="bad_json", after_chunks=2),
    Fault(body="<html></html>", content_type="text/html"),
    Fault(finish_reason="insufficient_system_resource"),
)


async def _many(one: Callable[[], Coroutine[Any, Any, object]], times: int) -> None:
    for begin in range(0, times, AT_ONCE):
        await asyncio.gather(*(one() for _ in range(begin, min(begin + AT_ONCE, times))))


def _invoke(gw: LocalGateway, times: int) -> None:
    llm = gw.chat_model()
    for _ in range(times):
        llm.invoke("Hello", **SHORT)


def _stream(gw: LocalGateway, times: int) -> None:
    llm = gw.chat_model()
    for _ in range(times):
        for _chunk in llm.stream("Hello", **SHORT):
            pass


def _ainvoke(gw: LocalGateway, times: int) -> None:
    llm = gw.chat_model()
    asyncio.run(_many(lambda: llm.ainvoke("Hello", **SHORT), times))


def _astream(gw: LocalGateway, times: int) -> None:
    llm = gw.chat_model()

    async def one() -> None:
        async for _ in llm.astream("Hello", **SHORT):
            pass

    asyncio.run(_many(one, times))


def _left_early(gw: LocalGateway, times: int) -> None:
    llm = gw.chat_model()
    for _ in range(times):
        for _chunk in llm.stream("Hello"):
            break


def _left_early_async(gw: LocalGateway, times: int) -> None:
    llm = gw.chat_model()

    async def one() -> None:
        async for _ in llm.astream("Hello"):
            break

    asyncio.run(_many(one, times))


def _cancelled(gw: LocalGateway, times: int) -> None:
    llm = gw.chat_model()

    async def collect() -> None:
        async for _ in llm.astream("Hello"):
            pass

    async def one() -> None:
        task = asyncio.ensure_future(collect())
        await asyncio.sleep(0.005)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    asyncio.run(_many(one, times))


def _failed(gw: LocalGateway, times: int) -> None:
    llm = gw.chat_model(max_retries=0)
    for number in range(times):
        gw.fault(FAULTS[number % len(FAULTS)])
        with suppress(CFDeepSeekError):
            PATHS[("invoke", "stream")[number % 2]](llm, "Hello")


def _failed_async(gw: LocalGateway, times: int) -> None:
    llm = gw.chat_model(max_retries=0)

    async def all_of_them() -> None:
        for number in range(times):
            gw.fault(FAULTS[number % len(FAULTS)])
            with suppress(CFDeepSeekError):
                if number % 2:
                    await llm.ainvoke("Hello")
                else:
                    async for _ in llm.astream("Hello"):
                        pass

    asyncio.run(all_of_them())


def _loops(gw: LocalGateway, times: int) -> None:
    llm = gw.chat_model()
    for _ in range(times):
        asyncio.run(llm.ainvoke("Hello", **SHORT))


def _copies(gw: LocalGateway, times: int) -> None:
    llm = gw.chat_model()
    for number in range(times):
        llm.with_gateway(event_id=str(number)).invoke("Hello", **SHORT)


def _models(gw: LocalGateway, times: int) -> None:
    for _ in range(times):
        gw.chat_model().invoke("Hello", **SHORT)


def _unused_models(gw: LocalGateway, times: int) -> None:
    kept: list[ChatCloudflareDeepSeek] = [gw.chat_model() for _ in range(times)]
    kept.clear()


USES: dict[str, Use] = {
    "invoke": _invoke,
    "stream": _stream,
    "ainvoke": _ainvoke,
    "astream": _astream,
    "streams left early": _left_early,
    "async streams left early": _left_early_async,
    "tasks cancelled": _cancelled,
    "calls that fail": _failed,
    "async calls that fail": _failed_async,
    "event loops one after another": _loops,
    "a copy for each call": _copies,
    "a model for each call": _models,
    "models never used": _unused_models,
}

OF_A_CALL = ("httpcore", "httpx", "langchain_cf_deepseek", "openai")
"""Packages whose objects belong to a call, a client or a model."""


def objects_of_calls() -> int:
    """Return the number of objects of calls, clients and models in this process."""
    gc.collect()
    modules = [str(getattr(type(thing), "__module__", "")) for thing in gc.get_objects()]
    local = "langchain_cf_deepseek.local"
    return sum(name.startswith(OF_A_CALL) and not name.startswith(local) for name in modules)


def count_http_clients() -> int:
    """Return the number of HTTP clients in this process."""
    gc.collect()
    kinds = (openai.DefaultHttpxClient, openai.DefaultAsyncHttpxClient)
    return sum(type(thing) in kinds for thing in gc.get_objects())
