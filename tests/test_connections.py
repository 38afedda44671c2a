"""How connections are pooled and released."""

import asyncio
import gc
import json
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import SecretStr

from langchain_cf_deepseek import (
    ChatCloudflareDeepSeek,
)
from langchain_cf_deepseek._http import stream as stream_module
from tests.conftest import Ask
from tests.relay import Relay


def test_stream_left_early_releases_its_connection_at_once(relay: Relay) -> None:
    llm = relay.chat_model()
    relay.gw.fault(then="stall", seconds=1, after_chunks=3)
    stream: Any = llm.stream("Hello")
    next(stream)
    assert relay.open_soon(1) == 1
    stream.close()
    assert relay.open_soon(0) == 0
    for _ in llm.stream("Hello"):
        break
    assert relay.open_soon(0) == 0
    assert llm.invoke("Hello").content


def test_async_stream_left_early_releases_its_connection_at_once(relay: Relay) -> None:
    llm = relay.chat_model()

    async def leave_early() -> list[int]:
        relay.gw.fault(then="stall", seconds=1, after_chunks=3)
        stream: Any = llm.astream("Hello")
        await anext(stream)
        counts = [relay.open_soon(1)]
        await stream.aclose()
        counts.append(await asyncio.to_thread(relay.open_soon, 0))
        relay.gw.fault(then="stall", seconds=1, after_chunks=3)
        async for _ in llm.astream("Hello"):
            break
        counts.append(await asyncio.to_thread(relay.open_soon, 0))
        assert (await llm.ainvoke("Hello")).content
        return counts

    assert asyncio.run(leave_early()) == [1, 0, 0]


@pytest.mark.parametrize("path", ["ainvoke", "astream"])
def test_cancelled_call_leaves_nothing_open_and_the_model_usable(relay: Relay, path: str) -> None:
    llm = relay.chat_model()

    async def call() -> str:
        if path == "ainvoke":
            return str((await llm.ainvoke("Hello")).content)
        return "".join([str(chunk.content) async for chunk in llm.astream("Hello")])

    async def cancel_and_call_again() -> tuple[int, str, int]:
        relay.gw.fault(then="stall", seconds=1, after_chunks=3)
        task = asyncio.create_task(call())
        assert await asyncio.to_thread(relay.open_soon, 1) == 1
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        left_open = await asyncio.to_thread(relay.open_soon, 0)
        answers = await asyncio.gather(*(call() for _ in range(3)))
        return left_open, answers[0], len(set(answers))

    answer = relay.gw.chat_model().invoke("Hello").content
    assert asyncio.run(cancel_and_call_again()) == (0, answer, 1)
    assert relay.open_soon(0) == 0


def test_consecutive_calls_use_one_connection(relay: Relay) -> None:
    llm = relay.chat_model()
    for _ in range(20):
        llm.invoke("Hello")
        list(llm.stream("Hello"))
    copied = llm.with_gateway(event_id="copy")
    copied.invoke("Hello")
    assert (relay.accepted, relay.open_soon(1)) == (1, 1)


def test_threads_reuse_the_connections_of_earlier_calls(relay: Relay) -> None:
    llm = relay.chat_model()
    with ThreadPoolExecutor(40) as threads:
        answers = [answer.text for answer in threads.map(llm.invoke, ["Hello"] * 120)]
    assert (len(answers), len(set(answers))) == (120, 1)
    assert relay.accepted <= 40


def test_async_calls_reuse_the_connections_of_earlier_calls(relay: Relay) -> None:
    llm = relay.chat_model()

    async def rounds() -> None:
        for _ in range(3):
            await asyncio.gather(*(llm.ainvoke("Hello") for _ in range(40)))

    asyncio.run(rounds())
    assert relay.accepted <= 40


class _LateTimer(threading.Timer):
    """Fires after it was cancelled, as on a busy machine."""

    def start(self) -> None:
        pass

    def cancel(self) -> None:
        self.function(*self.args, **self.kwargs)


def test_drain_bound_spares_a_connection_that_was_released(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "Timer", _LateTimer)
    llm = relay.chat_model()
    for _ in range(5):
        list(llm.stream("Hello"))
    assert (relay.accepted, relay.open_soon(1)) == (1, 1)


def test_consecutive_async_calls_use_one_connection_of_their_loop(relay: Relay) -> None:
    llm = relay.chat_model()

    async def many() -> None:
        for _ in range(20):
            await llm.ainvoke("Hello")
            async for _ in llm.astream("Hello"):
                pass
        await llm.with_gateway(event_id="copy").ainvoke("Hello")

    asyncio.run(many())
    assert (relay.accepted, relay.open_soon(0)) == (1, 0)


async def _hear(reader: asyncio.StreamReader) -> bool:
    """Read one request and return whether it asks for a stream."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split()[0])
    return b'"stream":true' in (await reader.readexactly(length)).replace(b" ", b"")


def test_drain_bound_of_an_async_stream_interrupts_no_closing_of_other_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Connections that a server closed are cleaned up at the end of a stream."""
    monkeypatch.setattr(stream_module, "_MAX_DRAIN_SECONDS", 0)
    choice = {"index": 0, "message": {"content": "Hi."}, "finish_reason": "stop"}
    whole = json.dumps({"choices": [choice], "usage": {"completion_tokens": 1}}).encode()
    event = {"choices": [{"index": 0, "delta": {"content": "Hi."}, "finish_reason": "stop"}]}
    begin, end = f"data: {json.dumps(event)}\n\n".encode(), b"data: [DONE]\n\n"
    idle: list[asyncio.StreamWriter] = []
    streaming: list[asyncio.StreamWriter] = []

    async def give_up_the_idle_and_end_the_stream() -> None:
        for writer in idle:
            writer.close()
        await asyncio.sleep(0.05)
        streaming[0].write(end)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        is_stream = await _hear(reader)
        (streaming if is_stream else idle).append(writer)
        length = len(begin + end) if is_stream else len(whole)
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n".encode())
        writer.write(begin if is_stream else whole)

    async def work() -> None:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            llm = ChatCloudflareDeepSeek(
                model="deepseek-flash",
                base_url=f"http://127.0.0.1:{port}",
                api_key=SecretStr("key"),
            )
            stream = llm.astream("Hello")
            await anext(stream)
            await asyncio.gather(*(llm.ainvoke("Hello") for _ in range(4)))
            ending = asyncio.create_task(give_up_the_idle_and_end_the_stream())
            async for _ in stream:
                pass
            await ending
            streaming[0].close()

    asyncio.run(work())
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        gc.collect()
    assert [str(warning.message) for warning in said] == []


def test_abandoned_model_leaves_no_connection(relay: Relay, ask: Ask) -> None:
    ask(relay.chat_model(), "Hello")
    assert relay.open_soon(0) == 0
