"""What `close` and `aclose` release; clients supplied by the caller stay open."""

import asyncio
import gc
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai

from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import PATHS
from tests.relay import Relay
from tests.workload import count_http_clients


def test_close_releases_the_connections_and_the_model_works_again(relay: Relay) -> None:
    with relay.chat_model() as llm:
        llm.invoke("Hello")
        assert relay.open_soon(1) == 1
    assert relay.open_soon(0) == 0
    assert llm.invoke("Hello").content
    assert relay.open_soon(1) == 1
    llm.close()
    llm.close()
    assert (relay.accepted, relay.open_soon(0)) == (2, 0)


def test_aclose_releases_the_connections_and_the_model_works_again(relay: Relay) -> None:
    async def close_twice() -> list[int]:
        counts = []
        async with relay.chat_model() as llm:
            await llm.ainvoke("Hello")
            counts.append(relay.open_soon(1))
        counts.append(await asyncio.to_thread(relay.open_soon, 0))
        assert (await llm.ainvoke("Hello")).content
        counts.append(relay.open_soon(1))
        await llm.aclose()
        await llm.aclose()
        return counts

    assert asyncio.run(close_twice()) == [1, 0, 1]
    assert (relay.accepted, relay.open_soon(0)) == (2, 0)


def _wait_for_requests(gw: LocalGateway, number: int) -> None:
    while len(gw.requests) < number:
        time.sleep(0.01)


def _outcome(error: BaseException | None) -> str:
    return "answer" if error is None else type(error).__name__


ENDS_AT_ONCE = {"answer", "CFDeepSeekConnectionError", "CFDeepSeekIncompleteStreamError"}
"""The outcomes of a call in flight when its model is closed; none waits for a timeout."""


def test_close_leaves_no_call_of_another_thread_hanging(gw: LocalGateway) -> None:
    llm = gw.chat_model(timeout=3, max_retries=0)

    def close_or_ask(number: int) -> None:
        if number % 3:
            PATHS["invoke" if number % 2 else "stream"](llm, "Hello")
        else:
            llm.with_gateway(event_id="a copy").close()

    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(close_or_ask, number) for number in range(200)]
        outcomes = {_outcome(call.exception()) for call in calls}
    assert outcomes - ENDS_AT_ONCE == set()
    assert llm.invoke("Hello").content


def test_aclose_leaves_no_call_of_another_task_hanging(gw: LocalGateway) -> None:
    llm = gw.chat_model(timeout=2, max_retries=0)
    gw.fault(delay=0.3, times=2)

    async def streamed() -> None:
        async for _ in llm.astream("Hello"):
            pass

    async def close_while_they_wait() -> set[str]:
        tasks = [asyncio.create_task(llm.ainvoke("Hello")), asyncio.create_task(streamed())]
        await asyncio.to_thread(_wait_for_requests, gw, 2)
        async with llm.with_gateway(event_id="a copy"):
            pass
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert (await llm.ainvoke("Hello")).content
        return {_outcome(end if isinstance(end, BaseException) else None) for end in ends}

    assert asyncio.run(close_while_they_wait()) - ENDS_AT_ONCE == set()


def test_close_called_many_times_keeps_no_client(gw: LocalGateway) -> None:
    llm = gw.chat_model()
    before = count_http_clients()
    for _ in range(3):
        with llm:
            llm.invoke("Hello")
    assert count_http_clients() == before


def test_aclose_called_many_times_keeps_no_client(gw: LocalGateway) -> None:
    llm = gw.chat_model()

    async def thrice() -> int:
        for _ in range(3):
            async with llm:
                await llm.ainvoke("Hello")
        await asyncio.sleep(0.01)
        return count_http_clients()

    before = count_http_clients()
    assert asyncio.run(thrice()) == before


def test_http_client_of_the_caller_is_used_and_stays_open(gw: LocalGateway) -> None:
    seen: list[str] = []
    hooks = {"request": [lambda request: seen.append(request.method)]}
    with openai.DefaultHttpxClient(event_hooks=hooks) as own:
        with gw.chat_model(http_client=own) as llm:
            llm.invoke("Hello")
            list(llm.stream("Hello"))
        assert not own.is_closed
        assert llm.invoke("Hello").content
        other = gw.chat_model(http_client=own)
        other.invoke("Hello")
        other.close()
        del llm, other
        gc.collect()
        assert not own.is_closed
    assert seen == ["POST"] * 4


def test_http_async_client_of_the_caller_is_used_and_stays_open(gw: LocalGateway) -> None:
    seen: list[str] = []

    async def see(request: Any) -> None:
        seen.append(request.method)

    async def work() -> list[bool]:
        closed = []
        async with openai.DefaultAsyncHttpxClient(event_hooks={"request": [see]}) as own:
            async with gw.chat_model(http_async_client=own) as llm:
                await llm.ainvoke("Hello")
                [chunk async for chunk in llm.astream("Hello")]
            closed.append(own.is_closed)
            await llm.ainvoke("Hello")
            closed.append(own.is_closed)
        return closed

    assert asyncio.run(work()) == [False, False]
    assert seen == ["POST"] * 3
