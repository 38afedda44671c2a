"""One model through threads, tasks, loops, processes and copies; and its secrets stay with it."""

import asyncio
import copy
import gc
import json
import os
import pickle
import select
import socket
import socketserver
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # it has no types
import openai
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.load import dumpd, dumps, load, loads
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField, Runnable
from langchain_core.tracers import Run
from langchain_core.tracers.base import BaseTracer
from pydantic import BaseModel, SecretStr

from langchain_cf_deepseek import (
    ChatCloudflareDeepSeek,
    GatewayOptions,
)
from langchain_cf_deepseek._http import clients
from langchain_cf_deepseek._http import stream as stream_module
from langchain_cf_deepseek.errors import CFDeepSeekError
from langchain_cf_deepseek.local import Fault, LocalGateway, deepseek_error
from tests.conftest import PATHS, Ask

SOON = 5.0
"""Seconds after which something that should happen at once has not happened."""


class _Pump(socketserver.BaseRequestHandler):
    server: "Relay"

    def handle(self) -> None:
        self.server.count(accepted=1, now_open=1)
        with (
            suppress(OSError),
            socket.create_connection(self.server.upstream) as upstream,
        ):
            other = {self.request: upstream, upstream: self.request}
            for side in other:
                side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while not self.server.stopping:
                for side in select.select(list(other), [], [], 0.05)[0]:
                    data = side.recv(65536)
                    if not data:
                        return
                    other[side].sendall(data)

    def finish(self) -> None:
        self.server.count(now_open=-1)


class Relay(socketserver.ThreadingTCPServer):
    """Stands between models and the gateway, and counts their TCP connections."""

    def __init__(self, gw: LocalGateway) -> None:
        super().__init__(("127.0.0.1", 0), _Pump)
        self.gw = gw
        self.upstream = ("127.0.0.1", int(gw.url.rpartition(":")[2]))
        self.stopping = False
        self.accepted = 0
        self._open = 0
        self._changed = threading.Condition()

    def count(self, *, accepted: int = 0, now_open: int = 0) -> None:
        with self._changed:
            self.accepted += accepted
            self._open += now_open
            self._changed.notify_all()

    def open_soon(self, expected: int) -> int:
        """How many connections are open, as soon as it is `expected` many."""
        with self._changed:
            self._changed.wait_for(lambda: self._open == expected, SOON)
            return self._open

    def chat_model(self, **kwargs: Any) -> ChatCloudflareDeepSeek:
        base_url = self.gw.base_url().replace(self.gw.url, f"http://127.0.0.1:{self.port}")
        return self.gw.chat_model(base_url=base_url, **kwargs)

    @property
    def port(self) -> int:
        return int(self.server_address[1])


@pytest.fixture
def relay(gw: LocalGateway) -> Iterator[Relay]:
    with Relay(gw) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.stopping = True
        server.shutdown()
        thread.join()


# In development mode asyncio also complains of a slow machine.
NO_WORD_OF_SPEED = "import logging; logging.getLogger('asyncio').setLevel(logging.ERROR)\n"


def _run(gw: LocalGateway, script: str | Path) -> str:
    """Run a script where every warning is an error and nothing may be left open."""
    program = ["-c", NO_WORD_OF_SPEED + script] if isinstance(script, str) else [str(script)]
    done = subprocess.run(  # noqa: S603  # our own script
        [sys.executable, "-X", "dev", "-W", "error", *program],
        env={**os.environ, **gw.environment()},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


# --- Construction -----------------------------------------------------------------------------


# One process for two tests: to start one takes longer than either.
LIFE_OF_A_PROCESS = """
import asyncio, sys, threading
from langchain_cf_deepseek import ChatCloudflareDeepSeek

sockets = []
sys.addaudithook(lambda event, args: sockets.append(event) if event.startswith("socket.") else None)
models = [ChatCloudflareDeepSeek(model="deepseek-flash") for _ in range(100)]
copies = [model.with_gateway(cache_ttl=60) for model in models]
print(len(models), sockets, threading.active_count())

llm = models.pop()

async def ask():
    await asyncio.gather(*(llm.ainvoke("Hello") for _ in range(5)))
    async for chunk in llm.astream("Hello"):
        pass

async def leave_early():
    async for chunk in llm.astream("Hello"):
        break

async def forget_the_model():
    await ChatCloudflareDeepSeek(model="deepseek-flash").ainvoke("Hello")

async def close():
    async with ChatCloudflareDeepSeek(model="deepseek-flash") as other:
        await other.ainvoke("Hello")
    await llm.ainvoke("Hello")
    await llm.aclose()

for work in (ask, leave_early, forget_the_model, close, ask):
    asyncio.run(work())

loop = asyncio.new_event_loop()
loop.run_until_complete(ask())
loop.run_until_complete(loop.shutdown_asyncgens())
loop.close()

llm.invoke("Hello")
for chunk in llm.stream("Hello"):
    break
ChatCloudflareDeepSeek(model="deepseek-flash").invoke("Hello")
unfinished = llm.stream("Hello")
next(unfinished)
print("done")
"""


@pytest.fixture(scope="module")
def life_of_a_process(running_gateway: LocalGateway) -> list[str]:
    return _run(running_gateway, LIFE_OF_A_PROCESS).splitlines()


def test_construction_opens_no_socket_and_starts_no_thread(life_of_a_process: list[str]) -> None:
    assert life_of_a_process[0] == "100 [] 1"


def test_nothing_is_left_open_when_loops_end_and_the_interpreter_exits(
    life_of_a_process: list[str],
) -> None:
    # `_run` has seen that the process warned of nothing.
    assert life_of_a_process[1:] == ["done"]


def _http_clients() -> int:
    """How many HTTP clients there are in this process."""
    gc.collect()
    kinds = (openai.DefaultHttpxClient, openai.DefaultAsyncHttpxClient)
    return sum(type(thing) in kinds for thing in gc.get_objects())


def test_construction_builds_no_client(gw: LocalGateway) -> None:
    before = _http_clients()
    models = [gw.chat_model().with_gateway(cache_ttl=60) for _ in range(10)]
    assert (len(models), _http_clients() - before) == (10, 0)
    models[0].invoke("Hello")
    assert _http_clients() - before == 1


# --- Threads, tasks, loops --------------------------------------------------------------------

QUESTIONS = [f"Question number {number}" for number in range(16)]


def _pretended(gw: LocalGateway) -> list[str]:
    """What the pretend model says to each question, asked one after another."""
    llm = gw.chat_model(thinking="disabled")
    return [str(llm.invoke(question).content) for question in QUESTIONS]


def test_one_model_serves_many_threads_on_every_path(gw: LocalGateway, ask: Ask) -> None:
    llm = gw.chat_model(thinking="disabled")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda question: ask(llm, question).content, QUESTIONS))
    assert answers == _pretended(gw)


class _YieldingLoop(asyncio.SelectorEventLoop):
    """Lets another thread run wherever somebody looks whether the loop is closed."""

    def is_closed(self) -> bool:
        time.sleep(0.0001)
        return super().is_closed()


def test_threads_with_event_loops_of_their_own_share_one_model(gw: LocalGateway) -> None:
    llm = gw.chat_model(thinking="disabled")

    def ask(question: str) -> str:
        with asyncio.Runner(loop_factory=_YieldingLoop) as runner:
            return str(runner.run(llm.ainvoke(question)).content)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, QUESTIONS * 2))
    assert answers == _pretended(gw) * 2


def test_one_model_serves_many_tasks_of_one_loop(relay: Relay) -> None:
    llm = relay.chat_model(thinking="disabled")

    async def streamed(question: str) -> str:
        return "".join([str(chunk.content) async for chunk in llm.astream(question)])

    async def invoked(question: str) -> str:
        return str((await llm.ainvoke(question)).content)

    async def all_at_once() -> list[str]:
        asks = [(invoked, streamed)[number % 2] for number in range(len(QUESTIONS))]
        calls = zip(asks, QUESTIONS, strict=True)
        return list(await asyncio.gather(*(ask(question) for ask, question in calls)))

    assert asyncio.run(all_at_once()) == _pretended(relay.gw)
    assert relay.open_soon(0) == 0


def test_one_model_serves_one_event_loop_after_another(relay: Relay) -> None:
    llm = relay.chat_model()

    async def twice() -> list[Any]:
        invoked = await llm.ainvoke("Hello")
        streamed = [str(chunk.content) async for chunk in llm.astream("Hello")]
        return [invoked.content, "".join(streamed)]

    answers = []
    for _ in range(4):
        answers += asyncio.run(twice())
        assert relay.open_soon(0) == 0
    assert answers == [relay.gw.chat_model().invoke("Hello").content] * 8
    assert relay.accepted == 4


# --- Connections ------------------------------------------------------------------------------


def test_a_stream_left_early_frees_its_connection_at_once(relay: Relay) -> None:
    llm = relay.chat_model()
    relay.gw.fault(then="stall", seconds=1, after_chunks=3)
    stream = llm.stream("Hello")
    next(stream)
    assert relay.open_soon(1) == 1
    stream.close()  # type: ignore[attr-defined]  # it is a generator
    assert relay.open_soon(0) == 0
    for _ in llm.stream("Hello"):
        break
    assert relay.open_soon(0) == 0
    assert llm.invoke("Hello").content


def test_an_async_stream_left_early_frees_its_connection_at_once(relay: Relay) -> None:
    llm = relay.chat_model()

    async def leave_early() -> list[int]:
        relay.gw.fault(then="stall", seconds=1, after_chunks=3)
        stream = llm.astream("Hello")
        await anext(stream)
        counts = [relay.open_soon(1)]
        await stream.aclose()  # type: ignore[attr-defined]  # it is an async generator
        counts.append(await asyncio.to_thread(relay.open_soon, 0))
        relay.gw.fault(then="stall", seconds=1, after_chunks=3)
        async for _ in llm.astream("Hello"):
            break
        counts.append(await asyncio.to_thread(relay.open_soon, 0))
        assert (await llm.ainvoke("Hello")).content
        return counts

    assert asyncio.run(leave_early()) == [1, 0, 0]


@pytest.mark.parametrize("path", ["ainvoke", "astream"])
def test_a_cancelled_call_leaves_nothing_open_and_the_model_usable(relay: Relay, path: str) -> None:
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


def test_calls_after_one_another_use_one_connection(relay: Relay) -> None:
    llm = relay.chat_model()
    for _ in range(20):
        llm.invoke("Hello")
        list(llm.stream("Hello"))
    copied = llm.with_gateway(event_id="copy")
    copied.invoke("Hello")
    assert (relay.accepted, relay.open_soon(1)) == (1, 1)


def test_many_threads_share_the_connections_of_earlier_calls(relay: Relay) -> None:
    llm = relay.chat_model()
    with ThreadPoolExecutor(40) as threads:
        answers = [answer.text for answer in threads.map(llm.invoke, ["Hello"] * 120)]
    assert (len(answers), len(set(answers))) == (120, 1)
    assert relay.accepted <= 40


def test_many_async_calls_share_the_connections_of_earlier_calls(relay: Relay) -> None:
    llm = relay.chat_model()

    async def rounds() -> None:
        for _ in range(3):
            await asyncio.gather(*(llm.ainvoke("Hello") for _ in range(40)))

    asyncio.run(rounds())
    assert relay.accepted <= 40


class _LateTimer(threading.Timer):
    """Comes when nobody waits any more, as on a machine that has much to do."""

    def start(self) -> None:
        pass

    def cancel(self) -> None:
        self.function(*self.args, **self.kwargs)


def test_the_bound_on_a_streams_end_spares_a_connection_that_was_given_back(
    relay: Relay, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threading, "Timer", _LateTimer)
    llm = relay.chat_model()
    for _ in range(5):
        list(llm.stream("Hello"))
    assert (relay.accepted, relay.open_soon(1)) == (1, 1)


def test_async_calls_after_one_another_use_one_connection_of_their_loop(relay: Relay) -> None:
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
    """Read one request; return whether it is for a stream."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = int(head.partition(b"content-length:")[2].split()[0])
    return b'"stream":true' in (await reader.readexactly(length)).replace(b" ", b"")


def test_the_bound_on_an_async_streams_end_interrupts_no_closing_of_other_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The end of a stream is when connections are closed that a server gave up."""
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


def test_a_forgotten_model_leaves_no_connection(relay: Relay, ask: Ask) -> None:
    ask(relay.chat_model(), "Hello")
    assert relay.open_soon(0) == 0


# --- Closing ----------------------------------------------------------------------------------


def test_a_closed_model_frees_its_connections_and_works_again(relay: Relay) -> None:
    with relay.chat_model() as llm:
        llm.invoke("Hello")
        assert relay.open_soon(1) == 1
    assert relay.open_soon(0) == 0
    assert llm.invoke("Hello").content
    assert relay.open_soon(1) == 1
    llm.close()
    llm.close()
    assert (relay.accepted, relay.open_soon(0)) == (2, 0)


def test_an_async_closed_model_frees_its_connections_and_works_again(relay: Relay) -> None:
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


def _outcome(error: BaseException | None) -> str:
    return "answer" if error is None else type(error).__name__


ENDS_AT_ONCE = {"answer", "CFDeepSeekConnectionError", "CFDeepSeekIncompleteStreamError"}
"""What may become of a call under way when its model is closed: no waiting for a timeout."""


def test_closing_leaves_no_call_of_another_thread_hanging(gw: LocalGateway) -> None:
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


def test_closing_leaves_no_call_of_another_task_hanging(gw: LocalGateway) -> None:
    llm = gw.chat_model(timeout=2, max_retries=0)
    gw.fault(delay=0.3, times=2)

    async def streamed() -> None:
        async for _ in llm.astream("Hello"):
            pass

    async def close_while_they_wait() -> set[str]:
        tasks = [asyncio.create_task(llm.ainvoke("Hello")), asyncio.create_task(streamed())]
        while len(gw.requests) < 2:  # noqa: ASYNC110  # the gateway's thread knows no event of ours
            await asyncio.sleep(0.01)
        async with llm.with_gateway(event_id="a copy"):
            pass
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert (await llm.ainvoke("Hello")).content
        return {_outcome(end if isinstance(end, BaseException) else None) for end in ends}

    assert asyncio.run(close_while_they_wait()) - ENDS_AT_ONCE == set()


def test_a_model_closed_many_times_keeps_none_of_its_clients(gw: LocalGateway) -> None:
    llm = gw.chat_model()
    before = _http_clients()
    for _ in range(3):
        with llm:
            llm.invoke("Hello")
    assert _http_clients() == before


def test_an_async_model_closed_many_times_keeps_none_of_its_clients(gw: LocalGateway) -> None:
    llm = gw.chat_model()

    async def thrice() -> int:
        for _ in range(3):
            async with llm:
                await llm.ainvoke("Hello")
        await asyncio.sleep(0.01)
        return _http_clients()

    before = _http_clients()
    assert asyncio.run(thrice()) == before


def test_a_client_of_the_users_own_is_used_and_stays_open(gw: LocalGateway) -> None:
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


def test_an_async_client_of_the_users_own_is_used_and_stays_open(gw: LocalGateway) -> None:
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


# --- Processes --------------------------------------------------------------------------------


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_a_used_model_works_in_forked_and_spawned_processes(
    gw: LocalGateway, tmp_path: Path
) -> None:
    script = tmp_path / "processes.py"
    script.write_text(
        NO_WORD_OF_SPEED
        + """
import asyncio, multiprocessing, os
from langchain_cf_deepseek import ChatCloudflareDeepSeek

def ask(llm):
    return llm.invoke("Hello").content

async def aask(llm):
    return (await llm.ainvoke("Hello")).content

if __name__ == "__main__":
    llm = ChatCloudflareDeepSeek(model="deepseek-flash")
    answer = ask(llm)
    unfinished = llm.stream("Hello")
    first = next(unfinished)

    # Parent and child go on with the same object, and the parent with its open stream.
    child = os.fork()
    same = [ask(llm) == answer, asyncio.run(aask(llm)) == answer, ask(llm) == answer]
    if not child:
        llm.close()
        os._exit(0 if all(same) else 1)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    rest = "".join(chunk.content for chunk in (first, *unfinished))
    print(status, same, rest == answer, ask(llm) == answer)

    for method in ("fork", "spawn"):
        with multiprocessing.get_context(method).Pool(1) as pool:
            print(method, pool.apply(ask, (llm,)) == answer)
            pool.close()
            pool.join()
"""
    )
    assert _run(gw, script) == ("0 [True, True, True] True True\nfork True\nspawn True\n")


# --- Copies -----------------------------------------------------------------------------------

COPIES: dict[str, Callable[[ChatCloudflareDeepSeek], ChatCloudflareDeepSeek]] = {
    "pickle": lambda llm: pickle.loads(pickle.dumps(llm)),
    "cloudpickle": lambda llm: pickle.loads(cloudpickle.dumps(llm)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "model_copy": lambda llm: llm.model_copy(),
    "deep model_copy": lambda llm: llm.model_copy(deep=True),
    "with_gateway": lambda llm: llm.with_gateway(),
}

SETTINGS: dict[str, Any] = {
    "temperature": 0.5,
    "max_tokens": 300,
    "stop": ["END"],
    "thinking": "enabled",
    "reasoning_effort": "low",
    "user_id": "user-1",
    "extra_body": {"title": {"enabled": True}},
    "model_kwargs": {"seed": 7},
    "default_query": {"a": "1"},
    "timeout": (5.0, 30.0),
    "max_retries": 1,
    "stream_chunk_timeout": 5.0,
    "output_version": "v1",
    "gateway": {
        "cache_ttl": 3600,
        "metadata": {"team": "search"},
        "custom_cost": {"total_cost": 1},
        "allowed_models": ["deepseek/*"],
    },
}

HEADERS_OF_THE_CONNECTION = {"host", "content-length", "accept-encoding", "connection"}


def _wire(gw: LocalGateway) -> dict[str, Any]:
    """The last request: all that a setting of the model can change."""
    request = gw.requests[-1]
    headers = {
        name: text
        for name, text in request.headers.items()
        if name not in HEADERS_OF_THE_CONNECTION
    }
    body = {name: value for name, value in request.body.items() if not name.startswith("stream")}
    return {"path": request.path, "query": request.query, **headers, **body}


@pytest.mark.parametrize("way", COPIES)
def test_a_copy_is_equal_and_works_after_the_original_is_closed(
    gw: LocalGateway, ask: Ask, way: str
) -> None:
    llm = gw.chat_model(**SETTINGS, default_headers={"X-Team": "search"})
    ask(llm, "Hello")
    original = _wire(gw)
    other = COPIES[way](llm)
    assert dict(other) == dict(llm)
    llm.close()
    del llm
    assert ask(other, "Hello").content
    assert _wire(gw) == original


@pytest.mark.parametrize("way", COPIES)
def test_models_of_equal_settings_are_equal(gw: LocalGateway, way: str) -> None:
    llm = gw.chat_model(**SETTINGS)
    llm.invoke("Hello")
    assert COPIES[way](llm) == llm
    assert gw.chat_model(**SETTINGS) == llm
    assert gw.chat_model(**SETTINGS, top_p=0.5) != llm


class _City(BaseModel):
    """A city."""

    name: str


CHAINS: dict[str, Callable[[ChatCloudflareDeepSeek], Runnable[Any, Any]]] = {
    "prompt and parser": lambda llm: (
        ChatPromptTemplate.from_messages(["{question}"]) | llm | StrOutputParser()
    ),
    "bound tools": lambda llm: llm.bind_tools([_City]),
    "structured output": lambda llm: llm.with_structured_output(_City),
    "retry and fallback": lambda llm: llm.with_retry().with_fallbacks([llm.with_gateway()]),
    "configurable fields": lambda llm: llm.configurable_fields(
        api_key=ConfigurableField(id="api_key")
    ),
}


@pytest.mark.parametrize("chain", CHAINS)
def test_a_chain_travels_with_a_used_model_in_it(gw: LocalGateway, chain: str) -> None:
    llm = gw.chat_model()
    llm.invoke("Hello")
    asked = {"question": "Hello"} if chain == "prompt and parser" else "Hello"
    there = pickle.loads(cloudpickle.dumps(CHAINS[chain](llm)))
    assert there.invoke(asked)
    assert len(gw.requests) == 2


# Settings of the base model; what is changed; what is then different on the wire.
CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = {
    "model": ({}, {"model_name": "deepseek-v4-pro"}, {"model": "deepseek-v4-pro"}),
    "api_key": ({}, {"api_key": SecretStr("other")}, {"authorization": "Bearer other"}),
    "gateway_token": (
        {},
        {"gateway_token": SecretStr("other")},
        {"cf-aig-authorization": "Bearer other"},
    ),
    "cloudflare_api_token": (
        {"routing": "unified"},
        {"cloudflare_api_token": SecretStr("other")},
        {"authorization": "Bearer other"},
    ),
    "gateway_id": (
        {"routing": "unified"},
        {"gateway_id": "other"},
        {"cf-aig-gateway-id": "other"},
    ),
    "routing": ({}, {"routing": "compat"}, {"model": "deepseek/deepseek-flash"}),
    "base_url": (
        {},
        {"base_url": "{url}/v1/elsewhere/deepseek"},
        {"path": "/v1/elsewhere/deepseek/chat/completions"},
    ),
    "gateway": (
        {"gateway": {"cache_ttl": 60}},
        {"gateway": GatewayOptions(cache_ttl=120)},
        {"cf-aig-cache-ttl": "120"},
    ),
    "default_headers": (
        {"default_headers": {"X-Team": "search"}},
        {"default_headers": {"X-Team": SecretStr("ads")}},
        {"x-team": "ads"},
    ),
    "default_query": ({}, {"default_query": {"a": "1"}}, {"query": "a=1"}),
    "temperature": ({"temperature": 0.1}, {"temperature": 0.7}, {"temperature": 0.7}),
    "thinking": ({}, {"thinking": "disabled"}, {"thinking": {"type": "disabled"}}),
    "user_id": ({}, {"user_id": "user-1"}, {"user_id": "user-1"}),
}


def _changed_by_model_copy(llm: ChatCloudflareDeepSeek, change: dict[str, Any]) -> Any:
    return llm.model_copy(update=change)


def _changed_by_deep_model_copy(llm: ChatCloudflareDeepSeek, change: dict[str, Any]) -> Any:
    return llm.model_copy(update=change, deep=True)


def _changed_by_configurable_fields(llm: ChatCloudflareDeepSeek, change: dict[str, Any]) -> Any:
    fields: dict[str, Any] = {name: ConfigurableField(id=name) for name in change}
    return llm.configurable_fields(**fields).with_config(configurable=change)


CHANGING = {
    "model_copy": _changed_by_model_copy,
    "deep model_copy": _changed_by_deep_model_copy,
    "configurable_fields": _changed_by_configurable_fields,
}


@pytest.mark.parametrize(
    ("way", "path"),
    [
        ("model_copy", "invoke"),
        ("model_copy", "astream"),
        ("deep model_copy", "invoke"),
        ("configurable_fields", "astream"),
    ],
)
@pytest.mark.parametrize("field", CHANGES)
def test_each_change_of_a_used_model_reaches_the_wire_and_leaves_the_original(
    gw: LocalGateway, path: str, field: str, way: str
) -> None:
    ask = PATHS[path]
    base, change, difference = CHANGES[field]
    llm = gw.chat_model(**base)
    if "base_url" in change:
        change = {"base_url": change["base_url"].format(url=gw.url)}
    ask(llm, "Hello")
    original = _wire(gw)
    # The gateway knows neither the other credentials nor the other addresses.
    with suppress(CFDeepSeekError):
        ask(CHANGING[way](llm, change), "Hello")
    changed = _wire(gw)
    ask(llm, "Hello")
    assert len(gw.requests) == 3
    assert (changed, _wire(gw)) == ({**original, **difference}, original)


@pytest.mark.parametrize("way", CHANGING)
def test_account_and_gateway_of_a_copy_are_in_its_address(gw: LocalGateway, way: str) -> None:
    llm = gw.chat_model(base_url=None)
    changed = CHANGING[way](llm, {"account_id": "f" * 32, "gateway_id": "other"})
    if way == "configurable_fields":
        changed, _ = changed.prepare()
    host = "https://gateway.ai.cloudflare.com/v1"
    assert (changed.endpoint, llm.endpoint) == (
        f"{host}/{'f' * 32}/other/deepseek/chat/completions",
        f"{host}/{gw.account_id}/local/deepseek/chat/completions",
    )


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"api_key": "other"}, {"authorization": "Bearer other"}),
        ({"gateway_token": "other"}, {"cf-aig-authorization": "Bearer other"}),
        ({"gateway": {"cache_ttl": 120}}, {"cf-aig-cache-ttl": "120"}),
        ({"gateway": None}, {}),
    ],
)
@pytest.mark.parametrize("way", CHANGING)
def test_a_change_may_be_written_as_at_construction(
    gw: LocalGateway, way: str, change: dict[str, Any], difference: dict[str, Any]
) -> None:
    llm = gw.chat_model()
    llm.invoke("Hello")
    original = _wire(gw)
    changed = CHANGING[way](llm, change)
    if isinstance(changed, ChatCloudflareDeepSeek):
        assert "other" not in repr(changed)
    with suppress(CFDeepSeekError):
        changed.invoke("Hello")
    assert len(gw.requests) == 2
    assert _wire(gw) == {**original, **difference}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"temprature": 0.5}, "temprature"),
        ({"routing": "nowhere"}, "routing"),
        ({"gateway": {"cache_ttl": 59}}, "cache_ttl"),
        ({"base_url": "http://ai.example.com"}, "base_url"),
        ({"default_headers": {"X-Team": "a\r\nX-Evil: b"}}, "X-Team"),
    ],
)
@pytest.mark.parametrize("way", ["model_copy", "deep model_copy"])
def test_a_mistake_in_a_copy_is_refused_before_sending(
    gw: LocalGateway, way: str, change: dict[str, Any], named: str
) -> None:
    llm = gw.chat_model()
    with pytest.raises(ValueError, match=named):
        CHANGING[way](llm, change).invoke("Hello")
    assert gw.requests == []


# --- Serialization ----------------------------------------------------------------------------

BETA = pytest.mark.filterwarnings("ignore:The function `loads?` is in beta")


def _revive(gw: LocalGateway) -> dict[str, Any]:
    return {
        "allowed_objects": [ChatCloudflareDeepSeek],
        "valid_namespaces": ["langchain_cf_deepseek"],
        "secrets_map": {
            "DEEPSEEK_API_KEY": gw.api_key,
            "CF_AIG_TOKEN": gw.gateway_token,
            "CLOUDFLARE_API_TOKEN": gw.cloudflare_api_token,
        },
    }


@BETA
@pytest.mark.parametrize("routing", ["provider-native", "unified", "compat"])
def test_a_dumped_model_is_loaded_equal_and_works(gw: LocalGateway, ask: Ask, routing: Any) -> None:
    llm = gw.chat_model(routing=routing)
    ask(llm, "Hello")
    original = _wire(gw)
    original_fields = dict(llm)
    for loaded in (
        loads(dumps(llm), **_revive(gw)),
        load(json.loads(dumps(llm)), **_revive(gw)),
        load(dumpd(llm), **_revive(gw)),
    ):
        assert dict(loaded) == original_fields
        assert ask(loaded, "Hello").content
        assert _wire(gw) == original


@BETA
@pytest.mark.parametrize("setting", SETTINGS)
def test_each_setting_survives_dumping_and_loading(gw: LocalGateway, setting: str) -> None:
    llm = gw.chat_model(**{setting: SETTINGS[setting]})
    loaded = loads(dumps(llm), **_revive(gw))
    assert dict(loaded) == dict(llm)
    assert loaded.invoke("Hello").content


@BETA
def test_a_loaded_model_takes_its_secrets_from_the_environment(
    gw: LocalGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = dumps(gw.chat_model())
    monkeypatch.setenv("DEEPSEEK_API_KEY", gw.api_key)
    monkeypatch.setenv("CF_AIG_TOKEN", gw.gateway_token)
    revive = {**_revive(gw), "secrets_map": {}, "secrets_from_env": True}
    assert loads(text, **revive).invoke("Hello").content


# --- Secrets ----------------------------------------------------------------------------------

NONE: list[str] = []

CALL_SECRET = {"Authorization-Of-The-Call": "secret-of-the-call"}

HEADER_SECRETS: dict[str, Any] = {
    "CF-Access-Client-Secret": SecretStr("secret-of-access"),
    "X-Plain": "secret-of-a-plain-header",
}


def _secretive(gw: LocalGateway, **kwargs: Any) -> ChatCloudflareDeepSeek:
    return gw.chat_model(
        **{
            "cloudflare_api_token": gw.cloudflare_api_token,
            "default_headers": HEADER_SECRETS,
            "max_retries": 0,
            **kwargs,
        }
    )


def _leaks(gw: LocalGateway, *told: object) -> list[str]:
    """The secrets that can be read in `told`, as it is shown and as it is dumped to JSON."""
    texts = [str(told), repr(told), json.dumps(told, default=repr, skipkeys=True)]
    secrets = [
        gw.api_key,
        gw.gateway_token,
        gw.cloudflare_api_token,
        "secret-of-access",
        "secret-of-a-plain-header",
        "secret-of-the-call",
    ]
    return [secret for secret in secrets if any(secret in text for text in texts)]


def test_no_form_of_a_model_holds_a_secret(gw: LocalGateway) -> None:
    llm = _secretive(gw)
    llm.invoke("Hello", extra_headers=CALL_SECRET)
    forms: dict[str, object] = {
        "repr": repr(llm),
        "str": str(llm),
        "dumps": dumps(llm),
        "dumpd": dumpd(llm),
        "model_dump": llm.model_dump(),
        "model_dump in JSON mode": llm.model_dump(mode="json"),
        "model_dump_json": llm.model_dump_json(),
        "to_json": llm.to_json(),
        "identifying parameters": llm._identifying_params,
        "invocation parameters": llm._get_invocation_params(extra_headers=CALL_SECRET),
        "LangSmith parameters": dict(llm._get_ls_params(extra_headers=CALL_SECRET)),
        "key of the LLM cache": llm._get_llm_string(),
        "endpoint": llm.endpoint,
        "graph": llm.get_graph().to_json(with_schemas=True),
        "configured": repr(llm.configurable_fields(api_key=ConfigurableField(id="api_key"))),
    }
    assert {name: _leaks(gw, form) for name, form in forms.items()} == dict.fromkeys(forms, NONE)


class _Recorder(BaseCallbackHandler):
    """Keeps everything that a callback is given."""

    def __init__(self) -> None:
        self.heard: dict[str, list[object]] = {}

    def _hear(self, name: str, /, *args: object, **kwargs: object) -> None:
        self.heard.setdefault(name, []).append((args, kwargs))

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self._hear("start", *args, **kwargs)

    def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
        self._hear("token", *args, **kwargs)

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self._hear("end", *args, **kwargs)

    def on_llm_error(self, *args: Any, **kwargs: Any) -> None:
        self._hear("error", *args, **kwargs)


class _Tracer(BaseTracer):
    """Keeps every run."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Run] = []

    def _persist_run(self, run: Run) -> None:
        self.runs.append(run)


# What goes wrong, and with which model.
FAILURES: dict[str, tuple[Fault, dict[str, Any]]] = {
    "refused credential, echoed": (
        deepseek_error(401, "Your api key: local-deepseek-key is invalid"),
        {},
    ),
    "busy": (deepseek_error(503, "Service is too busy."), {}),
    "HTML": (Fault(body="<html>local-gateway-token</html>", content_type="text/html"), {}),
    "reset": (Fault(then="reset"), {}),
    "timeout": (Fault(delay=0.3), {"timeout": 0.1}),
    "nobody there": (Fault(), {"base_url": "http://127.0.0.1:9/deepseek"}),
}


@pytest.mark.parametrize(
    ("failure", "bound"), [(None, True), (None, False), *((name, False) for name in FAILURES)]
)
def test_callbacks_and_tracers_are_told_no_secret(
    gw: LocalGateway, ask: Ask, failure: str | None, bound: bool
) -> None:
    recorder, tracer = _Recorder(), _Tracer()
    settings: dict[str, Any] = {}
    if failure:
        fault, settings = FAILURES[failure]
        gw.fault(fault)
    call: dict[str, Any] = {"extra_headers": CALL_SECRET, "gateway": GatewayOptions(event_id="x")}
    llm: Any = _secretive(gw, **settings)
    if bound:
        llm, call = llm.bind(**call), {}
    with suppress(CFDeepSeekError):
        ask(llm, "Hello", config={"callbacks": [recorder, tracer]}, **call)
    (run,) = tracer.runs
    assert recorder.heard.keys() - {"token"} == {"start", "error" if failure else "end"}
    told = {**recorder.heard, "run": run.model_dump(), "run as JSON": run.model_dump_json()}
    assert {name: _leaks(gw, what) for name, what in told.items()} == dict.fromkeys(told, NONE)


def test_a_hit_of_the_gateways_cache_is_visible_in_tracing(gw: LocalGateway, ask: Ask) -> None:
    tracer = _Tracer()
    llm = gw.chat_model(gateway={"cache_ttl": 60})
    for _ in range(2):
        ask(llm, "Hello", config={"callbacks": [tracer]})
    statuses = []
    for run in tracer.runs:
        message = (run.outputs or {})["generations"][0][0]["message"]
        metadata = message["kwargs"]["response_metadata"]
        statuses.append(metadata["cloudflare_gateway"]["cache_status"])
    assert statuses == ["MISS", "HIT"]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error, and all those that it came of."""
    if error is not None:
        yield error
        yield from _chain(error.__cause__)
        if error.__context__ is not error.__cause__:
            yield from _chain(error.__context__)


def _held_headers(error: BaseException) -> list[object]:
    """The headers of every request and response that an error holds."""
    held = list(vars(error).values())
    held += [value._request for value in held if getattr(value, "_request", None)]
    return [list(value.headers.raw) for value in held if hasattr(value, "headers")]


def _failed(gw: LocalGateway, ask: Ask, failure: str) -> dict[str, BaseException]:
    """The error of a failure, and all that it came of."""
    fault, settings = FAILURES[failure]
    gw.fault(fault)
    with pytest.raises(CFDeepSeekError) as caught:
        ask(_secretive(gw, **settings), "Hello", extra_headers=CALL_SECRET)
    return {
        f"{number}: {type(error).__name__}": error
        for number, error in enumerate(_chain(caught.value))
    }


@pytest.mark.parametrize("failure", FAILURES)
def test_no_error_shows_a_secret(gw: LocalGateway, ask: Ask, failure: str) -> None:
    errors = _failed(gw, ask, failure)
    told: dict[str, tuple[object, ...]] = {
        name: (str(error), repr(error), repr(vars(error)), getattr(error, "__notes__", []))
        for name, error in errors.items()
    }
    error = next(iter(errors.values()))
    told["traceback"] = tuple(traceback.format_exception(error))
    told["pickle"] = (pickle.dumps(error).decode("latin-1"),)
    told["requests and answers"] = (_held_headers(error),)
    assert {name: _leaks(gw, *texts) for name, texts in told.items()} == dict.fromkeys(told, NONE)


@pytest.mark.parametrize("failure", FAILURES)
def test_no_cause_of_an_error_holds_a_request_with_a_secret(
    gw: LocalGateway, ask: Ask, failure: str
) -> None:
    errors = _failed(gw, ask, failure)
    leaks = {name: _leaks(gw, _held_headers(error)) for name, error in errors.items()}
    assert leaks == dict.fromkeys(errors, NONE)


@pytest.mark.parametrize("failure", [None, *FAILURES])
def test_no_log_line_holds_a_secret(
    gw: LocalGateway,
    ask: Ask,
    failure: str | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Ours say nothing of their own, so httpx's are heard: those behind a proxy.
    monkeypatch.setattr(clients, "_has_proxy", lambda: True)
    # Below DEBUG, so that the HTTP library's trace of each header is heard too.
    caplog.set_level(1)
    for name in ("openai", "httpx", "httpx2", "httpcore", "httpcore2", "h11", "langchain_core"):
        caplog.set_level(1, logger=name)
    settings: dict[str, Any] = {}
    if failure:
        fault, settings = FAILURES[failure]
        gw.fault(fault)
    with suppress(CFDeepSeekError):
        ask(_secretive(gw, **settings), "Hello", extra_headers=CALL_SECRET)
    spoke = {record.name.partition(".")[0] for record in caplog.records}
    assert spoke & {"asyncio", "httpcore", "httpcore2"}
    lines = [(record.getMessage(), record.exc_text) for record in caplog.records]
    assert [line for line in lines if _leaks(gw, *line)] == []


# --- LangChain's cache of answers -------------------------------------------------------------


def test_langchains_cache_serves_the_same_model_twice(gw: LocalGateway) -> None:
    llm = gw.chat_model(cache=InMemoryCache())
    answers = [PATHS[path](llm, "Hello").content for path in ("invoke", "ainvoke", "invoke")]
    assert (len(set(map(str, answers))), len(gw.requests)) == (1, 1)


OTHERS: dict[str, dict[str, Any]] = {
    "gateway_id": {"gateway_id": "default"},
    "account_id": {"account_id": "f" * 32},
    "routing": {"routing": "compat", "base_url": "{url}/v1/{account}/local/compat"},
    "base_url": {"base_url": "{url}/v1/{account}/default/deepseek"},
    "gateway": {"gateway": GatewayOptions(metadata={"team": "search"})},
    "model_name": {"model_name": "deepseek-v4-pro"},
    "temperature": {"temperature": 0.9},
    "thinking": {"thinking": "disabled"},
}


@pytest.mark.parametrize("path", ["invoke", "ainvoke"])
@pytest.mark.parametrize("difference", OTHERS)
def test_langchains_cache_does_not_share_answers_between_different_models(
    gw: LocalGateway, path: str, difference: str
) -> None:
    cache = InMemoryCache()
    ask = PATHS[path]
    change = {
        name: value.format(url=gw.url, account=gw.account_id) if name == "base_url" else value
        for name, value in OTHERS[difference].items()
    }
    llm = gw.chat_model(cache=cache)
    ask(llm, "Hello")
    # Made after the first call, which left its mark on the model.
    changed = {
        "model_copy": llm.model_copy(update=change),
        "deep model_copy": llm.model_copy(update=change, deep=True),
        "construction": gw.chat_model(
            **{"model" if name == "model_name" else name: value for name, value in change.items()},
            cache=cache,
        ),
    }
    ask(changed["model_copy"], "Hello")
    assert len(gw.requests) == 2
    ask(changed["construction"], "Hello")
    ask(llm, "Hello")
    assert len(gw.requests) == 2
    # A deep copy has a deep copy of the cache as well.
    ask(changed["deep model_copy"], "Hello")
    assert len(gw.requests) == 3


def test_langchains_cache_knows_a_model_that_was_changed_in_place(gw: LocalGateway) -> None:
    llm = gw.chat_model(cache=InMemoryCache(), routing="unified")
    other = copy.copy(llm)
    llm.invoke("Hello")
    another = copy.copy(llm)
    for changed in (llm, other, another):
        changed.gateway_id = "default"
    llm.invoke("Hello")
    other.invoke("Hello")
    another.invoke("Hello")
    assert [request.headers["cf-aig-gateway-id"] for request in gw.requests] == ["local", "default"]


def test_langchains_cache_does_not_share_answers_between_calls_with_other_options(
    gw: LocalGateway,
) -> None:
    llm = gw.chat_model(cache=InMemoryCache())
    for options in ({}, {"cache_key": "a"}, {"cache_key": "b"}, {"cache_key": "a"}):
        llm.invoke("Hello", gateway=options)
    sent = [request.headers.get("cf-aig-cache-key") for request in gw.requests]
    assert sent == [None, "a", "b"]


def test_langchains_cache_holds_no_secret(gw: LocalGateway) -> None:
    cache = InMemoryCache()
    llm = _secretive(gw, cache=cache)
    for path in ("invoke", "ainvoke"):
        answer: AIMessage = PATHS[path](llm, path, extra_headers=CALL_SECRET)
        assert answer.content
    assert len(cache._cache) == 2
    assert _leaks(gw, list(cache._cache.items())) == []


def test_langchains_cache_does_not_share_answers_between_different_headers_of_a_call(
    gw: LocalGateway,
) -> None:
    llm = gw.chat_model(cache=InMemoryCache())
    for team in ("search", "ads", "search"):
        llm.invoke("Hello", extra_headers={"X-Team": team})
    assert [request.headers["x-team"] for request in gw.requests] == ["search", "ads"]
