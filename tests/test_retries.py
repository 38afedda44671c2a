"""Which requests are retried, and after which delay; nothing waits here."""

import asyncio
import time
from types import SimpleNamespace
from typing import Any

import pytest

from langchain_cf_deepseek import errors
from langchain_cf_deepseek._http import retries, transport
from langchain_cf_deepseek.local import Fault, LocalGateway
from tests.conftest import PATHS, Ask

RETRIES = 7

BUSY: dict[str, Any] = {"status": 503, "body": {"error": {"message": "Service is too busy."}}}


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Replace the sleep of calls; return its seconds, in order."""
    slept: list[float] = []

    async def asleep(seconds: float) -> None:
        slept.append(seconds)

    # Only the names of this module, because the gateway sleeps too.
    monkeypatch.setattr(transport, "time", SimpleNamespace(sleep=slept.append))
    monkeypatch.setattr(transport, "asyncio", SimpleNamespace(sleep=asleep))
    return slept


def _request_with_faults(gw: LocalGateway, ask: Ask, times: int = RETRIES, **fault: Any) -> None:
    gw.fault(Fault(times=times, **(BUSY | fault)))
    ask(gw.chat_model(max_retries=RETRIES), "Hello")
    assert len(gw.requests) == times + 1


def test_retry_delay_doubles_up_to_eight_seconds(
    gw: LocalGateway, ask: Ask, delays: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retries, "random", SimpleNamespace(uniform=lambda _low, high: high))
    _request_with_faults(gw, ask)
    assert delays == [0.5, 1, 2, 4, 8, 8, 8]


def test_retry_delay_is_shortened_at_random_by_up_to_a_quarter(
    gw: LocalGateway, ask: Ask, delays: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[tuple[float, float]] = []

    def draw(low: float, high: float) -> float:
        drawn.append((low, high))
        return low

    monkeypatch.setattr(retries, "random", SimpleNamespace(uniform=draw))
    _request_with_faults(gw, ask, times=3)
    assert (drawn, delays) == ([(0.75, 1)] * 3, [0.375, 0.75, 1.5])


def test_retry_delays_of_two_clients_that_fail_together_differ(
    gw: LocalGateway, ask: Ask, delays: list[float]
) -> None:
    for _ in range(2):
        gw.reset()
        _request_with_faults(gw, ask, times=3)
    assert delays[:3] != delays[3:]


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "120"}, 120.0),
    ],
)
def test_retry_after_sets_the_delay(
    gw: LocalGateway, ask: Ask, delays: list[float], header: dict[str, str], seconds: float
) -> None:
    _request_with_faults(gw, ask, times=2, headers=header)
    assert delays == [seconds, seconds]


def test_retry_after_above_the_maximum_is_not_retried(
    gw: LocalGateway, ask: Ask, delays: list[float]
) -> None:
    gw.fault(headers={"retry-after": "121"}, **BUSY)
    with pytest.raises(errors.CFDeepSeekAPIError) as caught:
        ask(gw.chat_model(), "Hello")
    assert (caught.value.retry_after, delays, len(gw.requests)) == (121.0, [], 1)


def test_request_is_retried_max_retries_times(
    gw: LocalGateway, ask: Ask, delays: list[float]
) -> None:
    gw.fault(Fault(times=9, **BUSY))
    with pytest.raises(errors.CFDeepSeekAPIError):
        ask(gw.chat_model(max_retries=3), "Hello")
    assert (len(delays), len(gw.requests)) == (3, 4)


def test_permanent_failure_is_not_retried(gw: LocalGateway, ask: Ask, delays: list[float]) -> None:
    gw.fault(status=400, body={"error": {"message": "Wrong."}})
    with pytest.raises(errors.CFDeepSeekInvalidRequestError):
        ask(gw.chat_model(), "Hello")
    assert (delays, len(gw.requests)) == ([], 1)


# Some HTTP libraries ignore the cookies of a host that is an IP address by themselves.
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_cookies_are_not_kept_between_calls(gw: LocalGateway, ask: Ask, host: str) -> None:
    """Cloudflare's tie a client to a server; one that is not ASCII would break a request."""
    llm = gw.chat_model(base_url=gw.base_url().replace("127.0.0.1", host))
    for number in range(3):
        gw.fault(headers={"set-cookie": f"__cf_bm=cookie{number}; Path=/"})
        ask(llm, "Hello")
    assert [request.headers.get("cookie") for request in gw.requests] == [None] * 3


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_cookies_are_not_kept_by_the_client_of_an_event_loop(gw: LocalGateway, host: str) -> None:
    llm = gw.chat_model(base_url=gw.base_url().replace("127.0.0.1", host))

    async def send_three_requests() -> None:
        for number in range(3):
            gw.fault(headers={"set-cookie": f"__cf_bm=cookie{number}; Path=/"})
            await llm.ainvoke("Hello")

    asyncio.run(send_three_requests())
    assert [request.headers.get("cookie") for request in gw.requests] == [None] * 3


@pytest.mark.parametrize("path", ["stream", "astream"])
def test_silence_before_the_first_event_has_a_bound(gw: LocalGateway, path: str) -> None:
    begun = time.monotonic()
    gw.fault(then="stall", after_chunks=0, seconds=10)
    with pytest.raises(errors.CFDeepSeekTimeoutError) as caught:
        PATHS[path](gw.chat_model(max_retries=0, stream_chunk_timeout=0.3), "Hello")
    assert (caught.value.is_retryable, caught.value.partial) == (True, "")
    assert time.monotonic() - begun < 5
