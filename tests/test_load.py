"""Five hundred concurrent streams with faults: each gives its completion or a typed error."""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_cf_deepseek import ChatCloudflareDeepSeek
from langchain_cf_deepseek.errors import CFDeepSeekError, CFDeepSeekIncompleteStreamError
from langchain_cf_deepseek.local import Fault, LocalGateway
from langchain_cf_deepseek.local.faults.injector import FaultQueue

STREAMS = 500
MAX_RETRIES = 1
FAULTS = {
    "cut": Fault(share=0.05, seed=1, then="cut", after_chunks=6),
    "busy": Fault(share=0.05, seed=2, status=503, body={"error": {"message": "busy"}}),
    "limited": Fault(share=0.05, seed=3, status=429, body={"error": {"message": "slow down"}}),
}
NO_FAULT = "none"
OUTCOMES = {
    NO_FAULT: "the right answer",
    "cut": "cut, with the beginning of the right answer",
    "busy": "CFDeepSeekAPIError",
    "limited": "CFDeepSeekRateLimitError",
}
"""The outcome of an attempt, by its fault."""

# Different lengths, so that streams with neighbouring numbers differ.
QUESTIONS: dict[str, dict[str, Any]] = {
    f"What is {number:03}?": {"max_tokens": 12 + number % 7} for number in range(STREAMS)
}

Outcome = AIMessageChunk | CFDeepSeekError


class _StartBarrier:
    """Holds every stream after its first chunk until all have arrived there or failed."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release
        self._missing = STREAMS
        self._lock = threading.Lock()

    def arrived(self) -> None:
        with self._lock:
            self._missing -= 1
            if not self._missing:
                self._release()


def _stream_all(llm: ChatCloudflareDeepSeek, **config: Any) -> dict[str, Outcome]:
    released = threading.Event()
    together = _StartBarrier(released.set)

    def one(question: str) -> Outcome:
        total = None
        try:
            for chunk in llm.stream(question, **config, **QUESTIONS[question]):
                if total is None:
                    together.arrived()
                    released.wait()
                total = chunk if total is None else total + chunk
        except CFDeepSeekError as error:
            return error
        finally:
            if total is None:
                together.arrived()
        assert total is not None
        return total

    with ThreadPoolExecutor(STREAMS) as threads:
        return dict(zip(QUESTIONS, threads.map(one, QUESTIONS), strict=True))


def _astream_all(llm: ChatCloudflareDeepSeek, **config: Any) -> dict[str, Outcome]:
    async def all_of_them() -> dict[str, Outcome]:
        released = asyncio.Event()
        together = _StartBarrier(released.set)

        async def one(question: str) -> Outcome:
            total = None
            try:
                async for chunk in llm.astream(question, **config, **QUESTIONS[question]):
                    if total is None:
                        together.arrived()
                        await released.wait()
                    total = chunk if total is None else total + chunk
            except CFDeepSeekError as error:
                return error
            finally:
                if total is None:
                    together.arrived()
            assert total is not None
            return total

        outcomes = await asyncio.gather(*map(one, QUESTIONS))
        return dict(zip(QUESTIONS, outcomes, strict=True))

    return asyncio.run(all_of_them())


@pytest.fixture
def _enough_open_files() -> None:
    """Both ends of every connection are in this process."""
    resource = pytest.importorskip("resource", reason="this system has no such limit")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * STREAMS if hard == resource.RLIM_INFINITY else min(4 * STREAMS, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _faults_by_question(gw: LocalGateway) -> dict[str, list[str]]:
    """Return the fault of each attempt of each stream, from a second queue of the same faults."""
    queue = FaultQueue()
    for fault in FAULTS.values():
        queue.add(fault)
    names = {id(fault): name for name, fault in FAULTS.items()}
    faults_by_question = defaultdict(list)
    for request in gw.requests:
        question = request.body["messages"][0]["content"]
        faults_by_question[question].append(names.get(id(queue._next()[1]), NO_FAULT))
    return faults_by_question


def _expected_outcome(attempts: list[str]) -> str:
    """Return the outcome that a stream must have after the faults of its attempts."""
    *before, last = attempts
    if not set(before) <= {"busy", "limited"} or len(before) > MAX_RETRIES:
        return "fewer attempts"
    if last in {"busy", "limited"} and len(before) < MAX_RETRIES:
        return "more attempts"
    return OUTCOMES[last]


def _describe_outcome(outcome: Outcome, right: AIMessage) -> str:
    if isinstance(outcome, AIMessageChunk):
        alike = outcome.text == right.text and _counts(outcome) == _counts(right)
        return OUTCOMES[NO_FAULT] if alike else "a wrong answer"
    if isinstance(outcome, CFDeepSeekIncompleteStreamError):
        begun = outcome.partial and right.text.startswith(outcome.partial)
        return OUTCOMES["cut"] if begun else "a wrong beginning"
    return type(outcome).__name__


COUNTS = ("input_tokens", "output_tokens", "total_tokens")


def _counts(told: AIMessage) -> list[int]:
    usage: dict[str, Any] = {**(told.usage_metadata or {})}
    return [usage[name] for name in COUNTS]


@pytest.mark.usefixtures("_enough_open_files")
@pytest.mark.parametrize("stream_all", [_stream_all, _astream_all])
def test_concurrent_streams_are_not_mixed_up_lost_or_counted_twice(
    gw: LocalGateway, stream_all: Callable[..., dict[str, Outcome]]
) -> None:
    llm = gw.chat_model(thinking="disabled", max_retries=MAX_RETRIES, timeout=60)
    right = {question: llm.invoke(question, **call) for question, call in QUESTIONS.items()}
    gw.reset()
    for fault in FAULTS.values():
        gw.fault(fault)
    counter = UsageMetadataCallbackHandler()
    outcomes = stream_all(llm, config={"callbacks": [counter]})
    faults_by_question = _faults_by_question(gw)
    ends = {
        question: _describe_outcome(outcome, right[question])
        for question, outcome in outcomes.items()
    }

    assert ends == {
        question: _expected_outcome(faults_by_question[question]) for question in QUESTIONS
    }
    assert {
        fault for attempts in faults_by_question.values() for fault in attempts
    } == OUTCOMES.keys()
    assert faults_by_question.keys() == QUESTIONS.keys()

    answers = [outcome for outcome in outcomes.values() if isinstance(outcome, AIMessageChunk)]
    log_ids = {answer.response_metadata["cloudflare_gateway"]["log_id"] for answer in answers}
    assert len(log_ids) == len(answers)
    usage: dict[str, Any] = {**counter.usage_metadata["deepseek-flash"]}
    assert [usage[name] for name in COUNTS] == [
        sum(counts) for counts in zip(*map(_counts, answers), strict=True)
    ]
