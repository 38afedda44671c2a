"""One model used by many threads, tasks and event loops."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from langchain_cf_deepseek.local import LocalGateway
from tests.conftest import Ask
from tests.relay import Relay

QUESTIONS = [f"Question number {number}" for number in range(16)]


def _simulated_answers(gw: LocalGateway) -> list[str]:
    """Return the simulated model's answers to the questions, asked one after another."""
    llm = gw.chat_model(thinking="disabled")
    return [str(llm.invoke(question).content) for question in QUESTIONS]


def test_threads_share_one_model_on_every_path(gw: LocalGateway, ask: Ask) -> None:
    llm = gw.chat_model(thinking="disabled")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda question: ask(llm, question).content, QUESTIONS))
    assert answers == _simulated_answers(gw)


class _YieldingLoop(asyncio.SelectorEventLoop):
    """Lets another thread run whenever `is_closed` is called."""

    def is_closed(self) -> bool:
        time.sleep(0.0001)
        return super().is_closed()


def test_threads_with_their_own_event_loops_share_one_model(gw: LocalGateway) -> None:
    llm = gw.chat_model(thinking="disabled")

    def ask(question: str) -> str:
        with asyncio.Runner(loop_factory=_YieldingLoop) as runner:
            return str(runner.run(llm.ainvoke(question)).content)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, QUESTIONS * 2))
    assert answers == _simulated_answers(gw) * 2


def test_tasks_of_one_event_loop_share_one_model(relay: Relay) -> None:
    llm = relay.chat_model(thinking="disabled")

    async def streamed(question: str) -> str:
        return "".join([str(chunk.content) async for chunk in llm.astream(question)])

    async def invoked(question: str) -> str:
        return str((await llm.ainvoke(question)).content)

    async def all_at_once() -> list[str]:
        asks = [(invoked, streamed)[number % 2] for number in range(len(QUESTIONS))]
        calls = zip(asks, QUESTIONS, strict=True)
        return list(await asyncio.gather(*(ask(question) for ask, question in calls)))

    assert asyncio.run(all_at_once()) == _simulated_answers(relay.gw)
    assert relay.open_soon(0) == 0


def test_consecutive_event_loops_share_one_model(relay: Relay) -> None:
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
